"""The bundled model as people get it: assembled from its wheel assets, in int8, with images drawn here."""

import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

from assistant.attachments.images import ImageLoader
from assistant.events import Usage
from assistant.messages import IMAGE_PLACEHOLDER, Image, Message, Text, assistant, user
from assistant.models.base import GenerationOptions
from assistant.models.local.chat_template import keep_latest_images
from assistant.models.local.checkpoint import IMAGE_ADAPTER_FILE
from assistant.models.local.model import LocalModel
from assistant.settings import load
from parley.factory.bundled import assemble_pocket
from skills.emotions.text import classify_text
from tests.fakes.generation import complete_with_usage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TEXT_QUESTIONS = ("What is the capital of France?", "Name three colours.", "Why is the sky blue?")


@pytest.fixture(scope="module")
def folder() -> Path:
    return assemble_pocket(load().settings)


@pytest.fixture(scope="module")
def pocket(folder: Path) -> LocalModel:
    return LocalModel.load(str(folder))


def say(model: LocalModel, messages: Sequence[Message], tokens: int = 24) -> tuple[str, Usage]:
    return complete_with_usage(model.stream(messages, GenerationOptions(max_tokens=tokens), threading.Event()))


def draw_image(name: str) -> Image:
    """Draw a stop sign, or a ball on grass."""
    canvas = PIL.Image.new("RGB", (400, 400), "lightskyblue" if name == "sign" else "forestgreen")
    draw = PIL.ImageDraw.Draw(canvas)
    if name == "sign":
        draw.rectangle((190, 200, 210, 400), fill="grey")
        draw.regular_polygon((200, 150, 120), 8, rotation=22, fill="red", outline="white")
        draw.text((150, 125), "STOP", fill="white", font_size=44)
    else:
        draw.ellipse((120, 120, 280, 280), fill="red")
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return ImageLoader().load_bytes(file.getvalue(), f"{name}.png").image


def test_it_names_the_object_and_denies_one_that_is_not_there(pocket: LocalModel) -> None:
    sign = draw_image("sign")
    named, _ = say(pocket, [user("What is this?", sign)])
    assert "sign" in named.lower()
    absent, _ = say(pocket, [user("Is there a horse in the picture?", sign)])
    assert absent.lower().startswith("no")


def test_different_images_get_different_replies(pocket: LocalModel) -> None:
    one, _ = say(pocket, [user("What is this?", draw_image("sign"))])
    other, _ = say(pocket, [user("What is this?", draw_image("ball"))])
    assert one != other


def test_a_follow_up_with_a_warm_cache_gets_the_reply_of_a_cold_one(pocket: LocalModel, folder: Path) -> None:
    first = user("Describe the photo.", draw_image("sign"))
    answer, _ = say(pocket, [first])
    conversation = [first, assistant(answer), user("And what colour is it?")]
    warm, usage = say(pocket, conversation)
    assert usage.cached_tokens > 80, "the image is not prefilled again"
    cold, fresh = say(LocalModel.load(str(folder)), conversation)
    assert fresh.cached_tokens == 0
    assert warm == cold


def test_text_alone_gets_the_reply_of_the_original_decoder(folder: Path, pocket: LocalModel) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM
    from transformers.models.llava import LlavaForConditionalGeneration

    llava = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    text_config: Any = llava.config.get_text_config()
    decoder: Any = LlamaForCausalLM(text_config)
    decoder.model, decoder.lm_head = llava.model.language_model, llava.lm_head
    tokenizer = AutoTokenizer.from_pretrained(folder)
    exact = LocalModel.load(str(folder), quantize="none")
    for question in TEXT_QUESTIONS:
        prompt = (
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        )
        inputs = tokenizer(prompt, return_tensors="pt")
        written = decoder.generate(**inputs, max_new_tokens=24, do_sample=False)[0, inputs.input_ids.shape[1] :]
        expected = tokenizer.decode(written, skip_special_tokens=True)
        assert say(exact, [user(question)])[0] == expected
    capital, _ = say(pocket, [user(TEXT_QUESTIONS[0])])
    assert "Paris" in capital


def test_text_alone_is_answered_without_the_image_adapter(folder: Path, pocket: LocalModel, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if file.name != IMAGE_ADAPTER_FILE:
            (tmp_path / file.name).symlink_to(file)
    bare = LocalModel.load(str(tmp_path))
    assert bare.info.quantization == pocket.info.quantization
    say(pocket, [user("What is this?", draw_image("sign"))])  # The adapter has been in use before.
    for question in TEXT_QUESTIONS:
        assert say(pocket, [user(question)])[0] == say(bare, [user(question)])[0]


def test_a_new_image_replaces_the_previous_one() -> None:
    first, second = user("What is this?", draw_image("sign")), user("And this?", draw_image("ball"))
    conversation = [first, assistant("A sign."), second, assistant("A ball."), user("Is it red?")]
    assert keep_latest_images(conversation, 1) == conversation[2:]
    assert keep_latest_images(conversation, 2) == conversation
    assert keep_latest_images(conversation, None) == conversation


def test_a_dropped_image_counts_as_an_image() -> None:
    left_out = Message("user", (Text("And this?"), IMAGE_PLACEHOLDER))
    conversation = [
        user("What is this?", draw_image("sign")),
        assistant("A sign."),
        left_out,
        assistant("A ball."),
        user("Red?"),
    ]
    assert keep_latest_images(conversation, 1) == conversation[2:]


def test_hidden_states_leave_the_conversation_as_it_was(pocket: LocalModel) -> None:
    conversation = [user("Name three colours.")]
    say(pocket, conversation)
    # From a warm cache, as afterwards: another number of rows rounds differently.
    before, _ = say(pocket, conversation)
    texts = ("<|im_start|>user\n", "I am so happy!", "<|im_end|>\n")
    first = pocket.hidden_states(texts, (2, 5))
    again, used = say(pocket, conversation)
    assert again == before
    assert used.cached_tokens > 0
    assert all(
        np.array_equal(one, other) for one, other in zip(first, pocket.hidden_states(texts, (2, 5)), strict=True)
    )
    assert [states.shape[::2] for states in first] == [(2, 576)] * 3
    deeper = pocket.hidden_states(texts, (5,))
    assert np.array_equal(deeper[1][0], first[1][1])


def test_the_emotion_head_reads_its_hidden_states(pocket: LocalModel) -> None:
    happy, angry = (
        classify_text(text, pocket.hidden_states) for text in ("I am so happy today!", "I am furious, you liar!")
    )
    assert max(happy.probabilities, key=lambda name: happy.probabilities[name]) == "joy"
    assert max(angry.probabilities, key=lambda name: angry.probabilities[name]) == "anger"
