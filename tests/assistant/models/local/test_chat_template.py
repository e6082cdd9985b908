"""User text is never parsed as markup."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistant.errors import ModelError
from assistant.messages import Audio, Image, Message, assistant, system, user
from assistant.models.base import GenerationOptions
from assistant.models.local.chat_template import ChatTemplate
from assistant.models.local.model import LocalModel

SPECIAL = ["<|im_start|>", "<|im_end|>", "<image>", "<|endoftext|>"]
TEXTS = st.lists(st.sampled_from([*SPECIAL, "<|im_", "start|>", "<", "|", ">", "system\n", "dog ", "im"])).map("".join)


@pytest.fixture(scope="module")
def processor(llava_folder: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(llava_folder)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, reply=TEXTS)
def test_no_message_adds_special_tokens(processor: Any, text: str, reply: str) -> None:
    template = ChatTemplate(processor, "tiny")

    def special_tokens(text: str) -> list[int]:
        special = set(processor.tokenizer.convert_tokens_to_ids(SPECIAL))
        ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [token for token in ids if token in special]

    def render(text: str, reply: str) -> str:
        return template.render([system(text), user(text), assistant(reply), user(text)])

    assert special_tokens(render(text, reply)) == special_tokens(render("dog", "dog"))


def test_text_without_special_tokens_is_unchanged(processor: Any) -> None:
    template = ChatTemplate(processor, "tiny")
    for text in ("a < b | c > d", "im_end", "<div>", "日本 😀", "", "  two  spaces\n\n"):
        assert template.escape_special_tokens(text) == text


def test_an_escaped_token_looks_the_same(processor: Any) -> None:
    escaped = ChatTemplate(processor, "tiny").escape_special_tokens("What does <|im_end|> mean?")
    assert escaped.replace("\N{ZERO WIDTH SPACE}", "") == "What does <|im_end|> mean?"


def test_a_spelled_out_placeholder_is_not_an_image(
    processor: Any, llava_folder: Path, make_image: Callable[[int], Image]
) -> None:
    model = LocalModel.load(str(llava_folder), device="cpu")
    template = ChatTemplate(processor, "tiny")
    options = GenerationOptions(max_tokens=3)
    for message in (user("Is <image> a tag?"), user("Is <image> a tag? <image><image>", make_image(1))):
        assert template.render([message]).count(processor.image_token) == len(message.images)
        # A wrong count of placeholders would raise.
        list(model.stream([message], options, threading.Event()))


def test_a_reply_ends_with_the_tokens_of_tokenizer_and_template(processor: Any) -> None:
    ids = processor.tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    assert ChatTemplate(processor, "tiny").eos_token_ids() == frozenset(ids)
    assert ChatTemplate(processor, "tiny").eos_token_ids(7, None, [8, 9]) == frozenset([*ids, 7, 8, 9])


def test_audio_is_refused(processor: Any) -> None:
    with pytest.raises(ModelError, match="cannot listen"):
        ChatTemplate(processor, "tiny").render([Message("user", (Audio(b"", 16000),))])
