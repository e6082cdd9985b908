"""Questions, streams and turns of an `Assistant`."""

import asyncio
from pathlib import Path

import pytest

from parley import Assistant

pytestmark = pytest.mark.usefixtures("nobodys_machine")


def test_a_question_about_an_image_is_answered(assistant: Assistant, photo: str) -> None:
    assert assistant.ask("What is this?", photo) == "You said: What is this? (and showed dog.png)"


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
