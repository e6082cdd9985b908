"""Trimming prompts: what goes first, what stays, and what the user is told."""

import pytest

from assistant.conversation.context_window import ContextTrim, ContextWindow, trim_context, trim_notice
from assistant.messages import IMAGE_PLACEHOLDER, Image, Message, assistant, system, user

A, B, C = (Image(name.encode(), "image/png", 4, 3, f"{name}.png") for name in "abc")


def turns(*images: Image | None) -> list[Message]:
    """Return one turn for each item, with that image if it is one."""
    messages = []
    for number, image in enumerate(images):
        messages += [user(f"question {number}", *([image] if image else [])), assistant(f"reply {number}")]
    return messages


def test_an_untrimmed_prompt_is_the_whole_conversation() -> None:
    earlier = turns(A, None)
    assert ContextWindow(system("Be brief.")).prompt(earlier, user("And?")) == [
        system("Be brief."),
        *earlier,
        user("And?"),
    ]


def test_turn_instructions_join_the_system_message() -> None:
    prompt = ContextWindow(system("Be brief.")).prompt([], user("Hi."), "Be kind.")
    assert prompt == [system("Be brief.\nBe kind."), user("Hi.")]
    assert ContextWindow().prompt([], user("Hi."), "Be kind.") == [system("Be kind."), user("Hi.")]


def test_images_go_first_and_the_latest_one_stays() -> None:
    trim = trim_context(turns(A, B, None), user("And?"), ContextTrim())
    assert trim == ContextTrim(without_images=1)
    assert trim_context(turns(A, B, None), user("And?"), trim) == ContextTrim(2, 1), "then turns"


def test_all_earlier_images_go_when_the_new_message_has_one() -> None:
    trim = trim_context(turns(A, B), user("And this?", C), ContextTrim(without_images=1))
    assert trim == ContextTrim(without_images=3)


@pytest.mark.parametrize(("count", "expected"), [(1, 2), (3, 2), (4, 2), (8, 4), (40, 20)])
def test_a_quarter_of_the_turns_goes_at_once_and_at_least_one(count: int, expected: int) -> None:
    assert trim_context(turns(*[None] * count), user("And?"), ContextTrim()) == ContextTrim(messages=expected)


def test_nothing_is_left_to_trim() -> None:
    assert trim_context([], user("And?"), ContextTrim()) is None
    assert trim_context(turns(None), user("And?"), ContextTrim(messages=2)) is None
    window = ContextWindow()
    assert not window.shrink([], user("And?"))
    assert window.trim == ContextTrim()


def test_trimmed_prompts_have_placeholders_and_no_old_turns() -> None:
    window = ContextWindow()
    window.trim = ContextTrim(messages=2, without_images=3)
    prompt = window.prompt(turns(A, B, C), user("And?"))
    assert [message.images for message in prompt] == [(), (), (C,), (), ()]
    assert prompt[0].parts[0] == IMAGE_PLACEHOLDER
    assert prompt[0].had_image
    assert prompt[0].text == "[picture]\n\nquestion 1"


@pytest.mark.parametrize(
    ("trim", "expected"),
    [
        (ContextTrim(2), "its oldest turn is left out from here on"),
        (ContextTrim(4), "its oldest 2 turns are left out from here on"),
        (ContextTrim(0, 1), "its oldest picture is not looked at any more"),
        (ContextTrim(0, 3), "its oldest 2 pictures are not looked at any more"),
        (
            ContextTrim(2, 3),
            "its oldest turn is left out from here on, and its oldest picture is not looked at any more",
        ),
    ],
)
def test_a_notice_says_what_is_left_out(trim: ContextTrim, expected: str) -> None:
    assert trim_notice(turns(A, B, C), trim) == f"The conversation no longer fits the model: {expected}."


def test_each_trim_is_reported_once() -> None:
    window, earlier = ContextWindow(), turns(None, None)
    assert window.take_notice(earlier) is None
    assert window.shrink(earlier, user("And?"))
    assert window.take_notice(earlier) is not None
    assert window.take_notice(earlier) is None
    window.reset()
    assert window.take_notice(earlier) is None
    assert window.prompt(earlier, user("And?")) == [*earlier, user("And?")]
