"""The command /model NAME inside a conversation."""

import asyncio
import gc
import threading
import time
from contextlib import aclosing
from typing import Any

import pytest

from assistant.conversation.model_command import parse_model_command
from assistant.conversation.session import Session
from assistant.errors import ModelError
from assistant.events import LoadProgress, Notice
from assistant.messages import user
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from tests.fakes.conversation import FakeModelSource, RecordingStore, ask, collect, texts


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/model qwen3-vl-2b", "qwen3-vl-2b"),
        (" /model  ~/my models/x ", "~/my models/x"),
        ("/model", ""),
        ("/models", None),
        ("What is a /model?", None),
    ],
)
def test_command_and_its_name_are_recognized(text: str, name: str | None) -> None:
    assert parse_model_command(text) == name


def test_command_reports_progress_and_leaves_no_trace_in_the_conversation() -> None:
    store = RecordingStore()
    two = ScriptedModel("Two.")

    async def converse() -> None:
        session = Session(ScriptedModel("One."), store=store, models=FakeModelSource(two=two), model_name="one")
        await ask(session, "Count.")
        turn = session.turn(user("/model two"))
        assert turn.is_command
        assert await collect(turn) == [
            LoadProgress("changing to two", 0, 0),
            LoadProgress("fetching", 1, 2),
            Notice("scripted answers from here on."),
        ]
        assert turn.outcome.reply is None
        assert await ask(session, "Go on.") == "Two."

    asyncio.run(converse())
    assert texts(two.prompts[0]) == ["Count.", "One.", "Go on."]
    assert store.turns == [("Count.", "One.", False), ("Go on.", "Two.", False)]


def test_unknown_model_raises_and_the_current_one_goes_on() -> None:
    async def converse() -> None:
        session = Session(ScriptedModel("One."), models=FakeModelSource(), model_name="one")
        with pytest.raises(ModelError, match=r"^There is no model two\.$"):
            await collect(session.turn(user("/model two")))
        assert await ask(session, "Count.") == "One."

    asyncio.run(converse())


def test_without_commands_the_text_goes_to_the_model() -> None:
    model = ScriptedModel("Which model?")

    async def converse() -> None:
        turn = Session(model, models=FakeModelSource(two=ScriptedModel())).turn(user("/model two"), commands=False)
        assert not turn.is_command
        await collect(turn)
        assert turn.outcome.reply is not None

    asyncio.run(converse())
    assert texts(model.prompts[0]) == ["/model two"]


def test_closing_the_turn_ends_the_loading() -> None:
    ended = threading.Event()

    class EndlessSource:
        def fetch(self, name: str, progress: Progress) -> None:
            try:
                while True:
                    progress("fetching", 1, 2)
                    time.sleep(0.01)
            finally:
                ended.set()

        def load(self, name: str, progress: Progress) -> ScriptedModel:
            raise AssertionError("the fetch never ends by itself")

    async def converse() -> None:
        session = Session(ScriptedModel(), models=EndlessSource(), model_name="one")
        async with aclosing(session.turn(user("/model two"))) as turn:
            async for event in turn:
                if event == LoadProgress("fetching", 1, 2):
                    break
        assert ended.is_set()
        await session.close()

    asyncio.run(converse())


def test_closing_the_turn_after_the_change_has_failed_logs_nothing() -> None:
    class FailingSource:
        def fetch(self, name: str, progress: Progress) -> None:
            progress("fetching", 1, 2)
            raise ModelError(f"There is no model {name}.")

        def load(self, name: str, progress: Progress) -> ScriptedModel:
            raise AssertionError("nothing was fetched")

    async def converse() -> list[dict[str, Any]]:
        logged: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
        session = Session(ScriptedModel(), models=FailingSource(), model_name="one")
        async with aclosing(session.turn(user("/model two"))) as turn:
            async for event in turn:
                if event == LoadProgress("fetching", 1, 2):
                    break
            change = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait(change)
        await session.close()
        gc.collect()
        return logged

    assert asyncio.run(converse()) == []
