"""Recording turns: what happens while the store cannot be written."""

import pytest

from assistant.conversation.turn_log import TurnLog
from assistant.errors import HistoryError
from assistant.events import Usage
from assistant.messages import Message, assistant, user
from tests.fakes.conversation import RecordingStore, texts


async def test_turns_that_could_not_be_saved_are_saved_later_in_order() -> None:
    store, reported = RecordingStore(full=True), list[str]()
    log = TurnLog(store=store, on_notice=reported.append)
    await log.append(user("a"), assistant("one"), Usage())
    await log.append(user("b"), assistant("two"), Usage())
    assert "the disk is full" in str(log.save_error)
    assert len(reported) == 1, "one notice, not one a turn"
    assert "the disk is full" in reported[0]
    assert texts(log.messages) == ["a", "one", "b", "two"]
    store.full = False
    await log.append(user("c"), assistant("three"), Usage())
    assert log.save_error is None
    assert store.turns == [("a", "one", False), ("b", "two", False), ("c", "three", False)]


async def test_a_second_failure_is_reported_again() -> None:
    store, reported = RecordingStore(full=True), list[str]()
    log = TurnLog(store=store, on_notice=reported.append)
    for full in (True, False, True):
        store.full = full
        await log.append(user("a"), assistant("one"), Usage())
    assert len(reported) == 2


class PickyStore(RecordingStore):
    """Refuse the turn "bad" with `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def append(self, user: Message, reply: Message, usage: Usage) -> None:
        if user.text == "bad":
            raise self.error
        super().append(user, reply, usage)


@pytest.mark.parametrize("error", [OverflowError("int too large"), HistoryError("The picture cannot be written.")])
async def test_a_turn_that_cannot_be_written_does_not_block_the_others(error: Exception) -> None:
    store, reported = PickyStore(error), list[str]()
    log = TurnLog(store=store, on_notice=reported.append)
    for text in ("a", "bad", "b", "c"):
        await log.append(user(text), assistant("yes"), Usage())
    assert [turn[0] for turn in store.turns] == ["a", "b", "c"]
    assert texts(log.messages)[2] == "bad"
    assert len(reported) == 1
    assert str(error).rstrip(".") in reported[0]


async def test_without_a_store_turns_are_kept_in_memory() -> None:
    log = TurnLog([user("Hi."), assistant("Hello.")])
    await log.append(user("a"), assistant("one"), Usage())
    assert texts(log.messages) == ["Hi.", "Hello.", "a", "one"]
    assert log.save_error is None
