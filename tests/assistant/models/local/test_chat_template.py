"""What people say is never taken for markup."""

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
SPOKEN = st.lists(st.sampled_from([*SPECIAL, "<|im_", "start|>", "<", "|", ">", "system\n", "dog ", "im"])).map("".join)


@pytest.fixture(scope="session")
def processor(llava_folder: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(llava_folder)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=SPOKEN, replied=SPOKEN)
def test_no_message_brings_markup_of_its_own(processor: Any, said: str, replied: str) -> None:
    form = ChatTemplate(processor, "tiny")

    def markup(text: str) -> list[int]:
        special = set(processor.tokenizer.convert_tokens_to_ids(SPECIAL))
        ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [token for token in ids if token in special]

    def talk(said: str, replied: str) -> str:
        return form.render([system(said), user(said), assistant(replied), user(said)])

    assert markup(talk(said, replied)) == markup(talk("dog", "dog"))


def test_words_without_markup_are_left_alone(processor: Any) -> None:
    form = ChatTemplate(processor, "tiny")
    for text in ("a < b | c > d", "im_end", "<div>", "日本 😀", "", "  two  spaces\n\n"):
        assert form.escape_special_tokens(text) == text


def test_markup_is_still_readable_when_broken(processor: Any) -> None:
    broken = ChatTemplate(processor, "tiny").escape_special_tokens("What does <|im_end|> mean?")
    assert broken.replace("\N{ZERO WIDTH SPACE}", "") == "What does <|im_end|> mean?"


def test_a_spelled_out_picture_is_no_picture(llava_folder: Path, picture: Callable[[int], Image]) -> None:
    model = LocalModel.load(str(llava_folder), device="cpu")
    options = GenerationOptions(max_tokens=3)
    for message in (user("Is <image> a tag?"), user("Is <image> a tag? <image><image>", picture(1))):
        list(model.stream([message], options, threading.Event()))  # raises nothing


def test_a_reply_ends_where_the_template_ends_one(processor: Any) -> None:
    ids = processor.tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    assert ChatTemplate(processor, "tiny").eos_token_ids() == frozenset(ids)
    assert ChatTemplate(processor, "tiny").eos_token_ids(7, None, [8, 9]) == frozenset([*ids, 7, 8, 9])


def test_recordings_are_refused(processor: Any) -> None:
    with pytest.raises(ModelError, match="cannot listen"):
        ChatTemplate(processor, "tiny").render([Message("user", (Audio(b"", 16000),))])
