"""Reasoning between tags in the text of a reply, wherever the chunks cut it."""

import random
from collections.abc import Sequence

import pytest

from assistant.events import TextWasReasoning
from assistant.messages import Reasoning
from assistant.models.base import ReplyItem
from assistant.models.think_tags import ThinkTags, ends_with_opening_tag, opened


def read(chunks: Sequence[str]) -> tuple[str, str]:
    """Return the reasoning and the text in the end."""
    tags = ThinkTags()
    items = [item for chunk in chunks for item in tags.push(chunk)] + tags.flush()
    reasoning, text = "", ""
    for item in items:
        match item:
            case str():
                text += item
            case Reasoning():
                reasoning += item.text
            case TextWasReasoning():
                reasoning, text = reasoning + text, ""
    return reasoning, text


REPLIES = {
    "<think>It is red.</think>Red.": ("It is red.", "Red."),
    "<think>\nIt is red.\n</think>\n\nRed.": ("\nIt is red.\n", "Red."),
    "\n <think>hm</think> Red.": ("hm", "Red."),
    "<think></think>\n\nRed.": ("", "Red."),
    "<think>never closed": ("never closed", ""),
    "It is red.\n</think>\n\nRed.": ("It is red.\n", "Red."),
    "</think>Red.": ("", "Red."),
    "[THINK]hm[/THINK]Red.": ("hm", "Red."),
    "◁think▷hm◁/think▷Red.": ("hm", "Red."),
    "<thinking>hm</thinking>Red.": ("hm", "Red."),
    "<think>1 < 2, </thin and <b></think>Red.": ("1 < 2, </thin and <b>", "Red."),
    "<think>a</think>Red.\n<think>b</think>\nAnd round.": ("ab", "Red.\nAnd round."),
    "<think>a</think></think>Red.": ("a", "Red."),
    "Red.": ("", "Red."),
    "": ("", ""),
}
"""Complete replies, with their reasoning and text."""

UNCHANGED = [
    "Models write <think> before they reason.",
    "They end with `</think>`, and begin with '<think>'.",
    "```xml\n<think>\nhm\n</think>\n```\nThat is all.",
    "a < b, [1], <thin, <p>, </p> and ◁",
    "Use <think>",
]
"""Texts that explain tags, or hold something similar."""


@pytest.mark.parametrize("reply", REPLIES)
def test_reasoning_is_told_from_the_text(reply: str) -> None:
    assert read([reply]) == REPLIES[reply]


@pytest.mark.parametrize("text", UNCHANGED)
def test_a_text_about_tags_stays_text(text: str) -> None:
    assert read([text]) == ("", text)


@pytest.mark.parametrize("reply", [*REPLIES, *UNCHANGED])
def test_chunks_may_cut_a_reply_anywhere(reply: str) -> None:
    whole = read([reply])
    assert read([*reply]) == whole
    choose = random.Random(reply)
    for _ in range(50):
        cuts = sorted(choose.randrange(len(reply) + 1) for _ in range(choose.randint(1, 4)))
        chunks = [reply[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
        assert read(chunks) == whole


def test_reasoning_is_passed_on_before_it_ends() -> None:
    tags = ThinkTags()
    assert tags.push("<think>It is") == [Reasoning("It is")]
    assert tags.push(" red") == [Reasoning(" red")]


@pytest.mark.parametrize(
    ("end", "opens"), [("<think>\n", True), ("[THINK]", True), ("</think>\n\n", False), ("", False)]
)
def test_a_prompt_may_end_inside_the_reasoning(end: str, opens: bool) -> None:
    assert ends_with_opening_tag(f"<|im_start|>assistant\n{end}") is opens


def test_white_space_without_end_is_passed_on() -> None:
    tags = ThinkTags()
    assert sum(len(item) for _ in range(100) for item in tags.push(" ") if isinstance(item, str)) > 30


def test_what_the_template_has_opened_is_reasoning_from_the_first_word() -> None:
    assert read([item for item in opened(["It is ", "red.</think>", "Red."]) if isinstance(item, str)]) == (
        "It is red.",
        "Red.",
    )
    # This server tells them apart itself.
    items: list[ReplyItem] = [Reasoning("It is red."), "Red."]
    assert [*opened(items)] == items
