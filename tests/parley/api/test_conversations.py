"""Questions, streams and turns of an `Assistant`."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from parley import Assistant, ParleyError, caption, emotion, read, vqa

pytestmark = pytest.mark.usefixtures("nobodys_machine")


def test_a_question_about_an_image_is_answered(assistant: Assistant, photo: str) -> None:
    assert assistant.ask("What is this?", photo) == "You said: What is this? (and showed dog.png)"


@pytest.mark.parametrize("prompt", ["", " \n\t"])
def test_an_empty_prompt_is_an_error(assistant: Assistant, photo: str, prompt: str) -> None:
    async def ask_async() -> str:
        return await assistant.ask_async(prompt)

    calls: list[Callable[[], object]] = [
        lambda: assistant.ask(prompt),
        lambda: assistant.ask(prompt, photo),
        lambda: list(assistant.stream(prompt)),
        lambda: asyncio.run(ask_async()),
    ]
    for call in calls:
        with pytest.raises(ParleyError, match=r"^The prompt is empty: say what you want to know\.$"):
            call()
    assert assistant.ask("And now?") == "You said: And now?"


def test_an_empty_path_is_an_error_that_says_so(assistant: Assistant, photo: str) -> None:
    with pytest.raises(ParleyError, match=r"^The path of an image is empty: name a file\.$"):
        assistant.ask("What is this?", photo, "")
    calls: list[tuple[str, Callable[[], object]]] = [
        ("The photo for the skill caption", lambda: caption("", assistant=assistant)),
        ("The photo for the skill read", lambda: read(" ", assistant=assistant)),
        ("The question for the skill vqa", lambda: vqa(photo, question=" ", assistant=assistant)),
        ("The text for the skill emotion", lambda: emotion(text="", assistant=assistant)),
        ("The face for the skill emotion", lambda: emotion(face="", assistant=assistant)),
        ("The voice for the skill emotion", lambda: emotion(voice="", assistant=assistant)),
    ]
    for what, call in calls:
        with pytest.raises(ParleyError, match=f"^{what} is empty: say which"):
            call()


def test_a_path_object_will_do(assistant: Assistant, photo: str) -> None:
    assert assistant.ask("And?", Path(photo)) == "You said: And? (and showed dog.png)"


def test_a_reply_is_streamed_as_it_is_written(assistant: Assistant) -> None:
    pieces = list(assistant.stream("one two"))
    assert len(pieces) > 1
    assert "".join(pieces) == "You said: one two"


def test_a_conversation_goes_on_across_calls_and_forms(assistant: Assistant) -> None:
    assistant.ask("one")
    list(assistant.stream("two"))
    asyncio.run(assistant.ask_async("three"))
    session = assistant._session
    assert session is not None
    assert [message.text for message in session.messages if message.role == "user"] == ["one", "two", "three"]


def test_words_that_look_like_a_command_are_words(assistant: Assistant) -> None:
    assert assistant.ask("/caption") == "You said: /caption"


def test_plain_calls_work_inside_a_running_event_loop(assistant: Assistant) -> None:
    async def cell() -> tuple[str, str]:
        return assistant.ask("Hi"), "".join(assistant.stream("Hi"))

    assert asyncio.run(cell()) == ("You said: Hi", "You said: Hi")


def test_async_calls_leave_the_loop_free(slow: Assistant) -> None:
    async def main() -> tuple[str, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        reply = await slow.ask_async("one two three")
        ticking.cancel()
        return reply, ticks

    reply, ticks = asyncio.run(main())
    assert reply == "You said: one two three"
    assert ticks > 1


def test_two_async_questions_are_answered_one_after_the_other(assistant: Assistant) -> None:
    async def main() -> list[str]:
        return list(await asyncio.gather(assistant.ask_async("one"), assistant.ask_async("two")))

    assert asyncio.run(main()) == ["You said: one", "You said: two"]
