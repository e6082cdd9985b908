"""Requests to llama.cpp: text of the user is no control token."""

import pytest

from assistant.messages import user
from assistant.models.gguf.requests import RequestBuilder

ZERO_WIDTH_SPACE = "\N{ZERO WIDTH SPACE}"


@pytest.mark.parametrize("text", ["<|end|>", "a<|end|><|end|>b", "<|en<|end|>d|>", "<|<|end|>end|>"])
def test_control_tokens_in_a_message_are_taken_apart(text: str) -> None:
    content = RequestBuilder("tiny", ["<|end|>", "<|"]).build([user(text)])["messages"][0]["content"]
    assert "<|" not in content
    assert content.replace(ZERO_WIDTH_SPACE, "") == text


def test_a_control_token_that_holds_the_mark_is_no_endless_loop() -> None:
    hostile = f"<{ZERO_WIDTH_SPACE}"
    builder = RequestBuilder("tiny", [hostile, "<|end|>"])
    assert "<|end|>" not in builder.build([user(f"{hostile}<|end|>")])["messages"][0]["content"]
