"""Turns of a conversation: their order, their ways of ending early, and what is kept of each."""

import asyncio
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import aclosing, suppress

import pytest

from assistant.async_bridge import stream_in_thread, wait_uncancelled
from assistant.conversation.model_command import parse_model_command
from assistant.conversation.session import Session, Turn, TurnOutcome
from assistant.errors import ConfigError, ContextOverflow, HistoryError, ModelError, OutOfMemory
from assistant.events import Event, Notice, TextDelta, TurnFinished, Usage
from assistant.messages import Image, Message, assistant, system, user
from assistant.models.base import GenerationOptions, ModelInfo
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress, no_progress

CAT = Image(b"not decoded here", "image/png", 4, 3, "cat.png")


class Store:
    """Keeps turns in a list, and is full while told to be."""

    def __init__(self) -> None:
        self.turns: list[tuple[str, str, bool]] = []
        self.usages: list[Usage] = []
        self.full = False

    def append(self, user: Message, reply: Message, usage: Usage) -> None:
        if self.full:
            raise HistoryError("The history cannot be written: the disk is full.")
        self.turns.append((user.text, reply.text, reply.interrupted))
        self.usages.append(usage)


class FailingModel(ScriptedModel):
    """Says a few words and then fails."""

    def __init__(self, words: str) -> None:
        super().__init__(words)

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        yield from super().stream(messages, options, stop)
        raise ModelError("The model ran out of memory: attach fewer pictures.")


class OverflowingModel(ScriptedModel):
    """Has a context that holds `turns` messages of the user, whatever their length."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns = turns

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        count = sum(message.role == "user" for message in messages)
        if count > self.turns:
            raise ContextOverflow(count, self.turns)
        return (yield from super().stream(messages, options, stop))


async def events_of(session: Session, message: Message) -> list[Event]:
    async with aclosing(session.turn(message)) as events:
        return [event async for event in events]


async def say(session: Session, text: str) -> str:
    return "".join(event.text for event in await events_of(session, user(text)) if isinstance(event, TextDelta))


def spoken(messages: Sequence[Message]) -> list[str]:
    return [message.text for message in messages]


def test_a_turn_streams_its_words_and_ends_with_the_whole_reply() -> None:
    events = asyncio.run(events_of(Session(ScriptedModel("A cat asleep.")), user("What is it?", CAT)))
    assert [event.text for event in events[:-1] if isinstance(event, TextDelta)] == ["A", " cat", " asleep."]
    finished = events[-1]
    assert isinstance(finished, TurnFinished)
    assert finished.message == assistant("A cat asleep.")
    assert finished.usage.reply_tokens == 3


def test_the_model_is_shown_every_earlier_turn_with_its_pictures_after_the_instructions() -> None:
    model = ScriptedModel("A cat.", "Grey.")

    async def talk() -> None:
        session = Session(model, system=system("Be brief."))
        await events_of(session, user("What is it?", CAT))
        await events_of(session, user("And what colour is it?"))

    asyncio.run(talk())
    assert model.prompts[1] == (
        system("Be brief."),
        user("What is it?", CAT),
        assistant("A cat."),
        user("And what colour is it?"),
    )


def test_a_resumed_conversation_goes_on_where_it_ended() -> None:
    model = ScriptedModel("Grey.")
    session = Session(model, messages=[user("What is it?", CAT), assistant("A cat.")])
    asyncio.run(say(session, "And what colour?"))
    assert spoken(model.prompts[0]) == ["What is it?", "A cat.", "And what colour?"]


def test_options_reach_the_model() -> None:
    session = Session(ScriptedModel("one two three"), options=GenerationOptions(max_tokens=2))
    assert asyncio.run(say(session, "Count.")) == "one two"


def test_a_second_turn_waits_for_the_first() -> None:
    model = ScriptedModel("first reply", "second reply", token_seconds=0.02)

    async def talk() -> list[str]:
        session = Session(model)
        order: list[str] = []
        note = order.append

        async def turn(text: str) -> None:
            async with aclosing(session.turn(user(text))) as events:
                async for event in events:
                    note(f"{text}: {event.text if isinstance(event, TextDelta) else 'end'}")

        await asyncio.gather(turn("one"), turn("two"))
        return order

    assert asyncio.run(talk()) == ["one: first", "one:  reply", "one: end", "two: second", "two:  reply", "two: end"]
    assert spoken(model.prompts[1]) == ["one", "first reply", "two"]


def test_leaving_the_stream_keeps_the_words_that_were_handed_out() -> None:
    model = ScriptedModel("one two three four", token_seconds=0.005)
    store = Store()

    async def talk() -> Session:
        session = Session(model, store=store)
        async with aclosing(session.turn(user("Count."))) as events:
            async for event in events:
                if isinstance(event, TextDelta) and event.text == " two":
                    break
        return session

    session = asyncio.run(talk())
    assert session.messages == [user("Count."), assistant("one two", interrupted=True)]
    assert store.turns == [("Count.", "one two", True)]
    assert store.usages[0].reply_tokens >= 2, "what a stopped reply took is known as well"


def test_a_stopped_turn_reports_what_was_kept() -> None:
    async def talk() -> TurnOutcome:
        turn = Session(ScriptedModel("one two three four", token_seconds=0.005)).turn(user("Count."))
        async with aclosing(turn):
            async for event in turn:
                if isinstance(event, TextDelta) and event.text == " two":
                    break
        return turn.outcome

    outcome = asyncio.run(talk())
    assert outcome.reply == assistant("one two", interrupted=True)
    assert outcome.usage.reply_tokens >= 2


def test_a_turn_that_fails_at_once_reports_that_nothing_was_kept() -> None:
    async def talk() -> TurnOutcome:
        turn = Session(OverflowingModel(turns=0)).turn(user("Hello"))
        with suppress(ContextOverflow):
            async with aclosing(turn):
                assert [event async for event in turn] == []
        return turn.outcome

    assert asyncio.run(talk()).reply is None


def test_a_cancelled_turn_stops_the_model_within_one_token_and_is_kept() -> None:
    model = ScriptedModel(" ".join(["word"] * 1000), "Fine.", token_seconds=0.01)

    async def talk() -> tuple[float, Session]:
        session = Session(model)
        task = asyncio.create_task(events_of(session, user("Count.")))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        took = time.monotonic() - started
        await say(session, "And now?")
        return took, session

    took, session = asyncio.run(talk())
    assert took < 0.5
    assert session.messages[1].interrupted
    assert 1 < len(session.messages[1].text.split()) < 500
    assert spoken(session.messages[2:]) == ["And now?", "Fine."]


def test_a_turn_cancelled_before_its_first_word_keeps_the_question() -> None:
    store = Store()

    async def talk() -> None:
        session = Session(ScriptedModel("too late", token_seconds=30), store=store)
        task = asyncio.create_task(events_of(session, user("Anyone there?")))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    started = time.monotonic()
    asyncio.run(talk())
    assert time.monotonic() - started < 5
    assert store.turns == [("Anyone there?", "", True)]


def test_a_turn_cancelled_while_it_waits_for_another_leaves_no_trace() -> None:
    async def talk() -> Session:
        session = Session(ScriptedModel("one two three", token_seconds=0.02))
        first = asyncio.create_task(events_of(session, user("first")))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(events_of(session, user("second")))
        await asyncio.sleep(0.01)
        second.cancel()
        await first
        return session

    assert spoken(asyncio.run(talk()).messages) == ["first", "one two three"]


def test_a_failure_before_the_first_word_leaves_the_conversation_as_it_was() -> None:
    model = ScriptedModel()
    model.enqueue(ModelError("The model cannot be run."), "All right.")
    store = Store()

    async def talk() -> Session:
        session = Session(model, store=store)
        with pytest.raises(ModelError, match="cannot be run"):
            await say(session, "Hello?")
        await say(session, "Hello again?")
        return session

    assert spoken(asyncio.run(talk()).messages) == ["Hello again?", "All right."]
    assert store.turns == [("Hello again?", "All right.", False)]


def test_a_failure_after_some_words_keeps_them() -> None:
    store = Store()
    session = Session(FailingModel("A cat on"), store=store)
    with pytest.raises(ModelError, match="out of memory"):
        asyncio.run(say(session, "What is it?"))
    assert session.messages == [user("What is it?"), assistant("A cat on", interrupted=True)]
    assert store.turns == [("What is it?", "A cat on", True)]


def test_a_conversation_too_long_for_the_model_loses_its_oldest_turns_and_says_so_once() -> None:
    model = OverflowingModel(turns=8)

    async def talk() -> list[Event]:
        session = Session(model)
        for number in range(8):
            await say(session, str(number))
        events = await events_of(session, user("8"))
        assert len(session.messages) == 18, "what the model is no longer shown is not lost"
        assert not any(isinstance(event, Notice) for event in await events_of(session, user("9")))
        return events

    events = asyncio.run(talk())
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert notices == ["The conversation no longer fits the model: its oldest 2 turns are left out from here on."]
    assert isinstance(events[0], Notice), "it is said before the reply"
    assert spoken([message for message in model.prompts[8] if message.role == "user"]) == list("2345678")


def test_turns_left_out_of_a_reply_that_was_stopped_at_once_are_told_with_the_next() -> None:
    model = ScriptedModel(context_tokens=40)

    async def talk() -> list[Event]:
        session = Session(model)
        for _ in range(3):
            model.enqueue("yes")
            await say(session, "one two three four five")
        model.enqueue("", "yes")
        model._token_seconds = 30
        task = asyncio.create_task(events_of(session, user(" ".join(["word"] * 30))))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        model._token_seconds = 0
        return await events_of(session, user("And?"))

    notices = [event.text for event in asyncio.run(talk()) if isinstance(event, Notice)]
    assert len(notices) == 1
    assert "left out from here on" in notices[0]


def test_several_turns_dropped_for_one_prompt_are_one_notice() -> None:
    model = ScriptedModel(context_tokens=40)

    async def talk() -> list[Event]:
        session = Session(model)
        for _ in range(3):
            model.enqueue("yes")
            await say(session, "one two three four five")
        return await events_of(session, user(" ".join(["word"] * 30)))

    notices = [event.text for event in asyncio.run(talk()) if isinstance(event, Notice)]
    assert notices == ["The conversation no longer fits the model: its oldest 2 turns are left out from here on."]


def test_a_prompt_longer_than_the_context_is_refused_with_its_length_and_forgets_nothing() -> None:
    model = ScriptedModel(context_tokens=50)

    async def talk() -> None:
        session = Session(model)
        await say(session, "Remember the cat.")
        with pytest.raises(ContextOverflow, match="takes 60 tokens and the model has room for 49"):
            await say(session, " ".join(["word"] * 60))
        await say(session, "What was it?")

    asyncio.run(talk())
    assert spoken(model.prompts[1])[0] == "Remember the cat."


def test_an_unwritable_history_ends_no_conversation_is_said_once_and_caught_up_on_later() -> None:
    store = Store()
    store.full = True

    session = Session(ScriptedModel("one", "two", "three"), store=store)

    async def talk() -> tuple[list[Event], list[Event], HistoryError | None, list[Event]]:
        first, second = await events_of(session, user("a")), await events_of(session, user("b"))
        save_error, store.full = session.save_error, False
        return first, second, save_error, await events_of(session, user("c"))

    first, second, save_error, third = asyncio.run(talk())
    assert save_error is not None
    assert session.save_error is None
    assert [type(event) for event in first] == [TextDelta, Notice, TurnFinished]
    assert isinstance(first[1], Notice)
    assert "the disk is full" in first[1].text
    assert [type(event) for event in second] == [TextDelta, TurnFinished]
    assert [type(event) for event in third] == [TextDelta, TurnFinished]
    assert store.turns == [("a", "one", False), ("b", "two", False), ("c", "three", False)]


def test_what_others_have_to_say_is_passed_on_by_the_turn_that_comes_next() -> None:
    notices = ["The old history was set aside."]
    model = ScriptedModel("one", "two")

    async def talk() -> list[list[Event]]:
        session = Session(model, notices=notices)
        return [await events_of(session, user("a")), await events_of(session, user("b"))]

    first, second = asyncio.run(talk())
    assert first[0] == Notice("The old history was set aside.")
    assert not any(isinstance(event, Notice) for event in second)
    assert notices == []


def test_a_turn_is_durable_before_it_is_reported_finished() -> None:
    store = Store()

    async def talk() -> None:
        async with aclosing(Session(ScriptedModel("one"), store=store).turn(user("a"))) as events:
            async for event in events:
                assert bool(store.turns) == isinstance(event, TurnFinished)

    asyncio.run(talk())
    assert store.turns


def test_a_cancel_while_the_turn_is_written_still_writes_it() -> None:
    written = threading.Event()

    class SlowStore(Store):
        def append(self, user: Message, reply: Message, usage: Usage) -> None:
            written.set()
            time.sleep(0.1)
            super().append(user, reply, usage)

    store = SlowStore()

    async def talk() -> None:
        task = asyncio.create_task(events_of(Session(ScriptedModel("one"), store=store), user("a")))
        await asyncio.to_thread(written.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(talk())
    assert store.turns == [("a", "one", False)]


def test_close_waits_for_the_running_turn_and_frees_the_model() -> None:
    model = ScriptedModel("one two", token_seconds=0.02)

    async def talk() -> list[Event]:
        session = Session(model)
        turn = asyncio.create_task(events_of(session, user("a")))
        await asyncio.sleep(0.01)
        await session.close()
        assert model.closed
        return await turn

    assert isinstance(asyncio.run(talk())[-1], TurnFinished)


def test_a_switch_frees_the_old_model_before_the_new_one_is_made() -> None:
    first, second = ScriptedModel("One."), ScriptedModel("Two.")
    closed: list[bool] = []

    def build() -> ScriptedModel:
        closed.append(first.closed)
        return second

    async def talk() -> Session:
        session = Session(first)
        await events_of(session, user("Count."))
        await session.switch(build)
        await events_of(session, user("Go on."))
        return session

    session = asyncio.run(talk())
    assert closed == [True]
    assert session.messages == [user("Count."), assistant("One."), user("Go on."), assistant("Two.")]
    assert second.prompts == [(user("Count."), assistant("One."), user("Go on."))]


def test_a_switch_to_a_larger_context_brings_back_what_was_left_out() -> None:
    large = ScriptedModel()

    async def talk() -> None:
        session = Session(OverflowingModel(2))
        for number in range(4):
            await events_of(session, user(f"{number}"))
        await session.switch(lambda: large)
        await events_of(session, user("4"))

    asyncio.run(talk())
    assert [message.text for message in large.prompts[0] if message.role == "user"] == ["0", "1", "2", "3", "4"]


def test_a_switch_that_fails_keeps_the_conversation_for_the_next() -> None:
    def fail() -> ScriptedModel:
        raise ModelError("There is no such model.")

    async def talk() -> Session:
        session = Session(ScriptedModel("One."))
        await events_of(session, user("Count."))
        with pytest.raises(ModelError, match="no such model"):
            await session.switch(fail)
        await session.switch(lambda: ScriptedModel("Two."))
        await events_of(session, user("Go on."))
        return session

    assert [message.text for message in asyncio.run(talk()).messages] == ["Count.", "One.", "Go on.", "Two."]


def turn(text: str, reply: str, *pictures: Image) -> list[Message]:
    return [user(text, *pictures), assistant(reply)]


def test_pictures_go_before_turns_and_the_newest_goes_with_its_turn() -> None:
    first, second, third = (Image(bytes([number]), "image/png", 4, 3, f"{number}.png") for number in range(3))
    earlier = [*turn("What is it?", "A cat.", first), *turn("And it?", "A dog.", second), *turn("Hm.", "Yes.")]
    # 16 for each picture: room for the words and one of three, then for none but the new one.
    model = ScriptedModel("A cow.", "Bye.", context_tokens=33)

    async def talk() -> tuple[list[Event], list[Event]]:
        session = Session(model, messages=earlier)
        both = await events_of(session, user("And this?", third)), await events_of(session, user("so " * 12))
        assert session.messages[0].images == (first,), "what the model is no longer shown is not lost"
        return both

    events, later = asyncio.run(talk())
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "The conversation no longer fits the model: its oldest 2 pictures are not looked at any more."
    ]
    shown = model.prompts[0]
    assert [message.images for message in shown if message.role == "user"] == [(), (), (), (third,)]
    assert shown[0].text == "[picture]\n\nWhat is it?"
    assert [event.text for event in later if isinstance(event, Notice)] == [
        "The conversation no longer fits the model: its oldest 3 turns are left out from here on."
    ]
    assert [message.images for message in model.prompts[1] if message.role == "user"] == [(third,), ()]


def test_a_reply_that_ran_out_of_memory_midway_is_kept_and_not_begun_again() -> None:
    class Hungry(ScriptedModel):
        def stream(
            self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
        ) -> Generator[str, None, Usage]:
            yield from super().stream(messages, options, stop)
            if len(messages) > 1:
                raise OutOfMemory("hungry")
            return Usage()

    model = Hungry("One.", "Two is", "Three.")

    async def talk() -> Session:
        session = Session(model)
        await say(session, "Count.")
        with pytest.raises(ModelError, match="hungry ran out of memory: shorten the conversation"):
            await say(session, "Go on.")
        return session

    session = asyncio.run(talk())
    assert session.messages[-1] == assistant("Two is", interrupted=True)
    assert len(model.prompts) == 2


class Shelf:
    """Models by their names; those that are not there are noticed when they are loaded."""

    def __init__(self, **models: ScriptedModel) -> None:
        self.models = models
        self.log: list[str] = []
        self.watched: ScriptedModel | None = None

    def fetch(self, name: str, progress: Progress) -> None:
        if name not in self.models and name != "large":
            raise ModelError(f"There is no model {name}.")
        progress("fetching", 1, 2)
        self.log.append(f"fetch {name}")

    def load(self, name: str, progress: Progress) -> ScriptedModel:
        self.log.append(f"load {name}" + (", the old one freed" if self.watched and self.watched.closed else ""))
        if name == "large":
            raise ModelError("There is not enough memory for large.")
        return self.models[name]


def test_a_model_that_a_person_asks_for_is_fetched_beside_the_old_one_and_loaded_in_its_place() -> None:
    one, two = ScriptedModel("One."), ScriptedModel("Two.")
    shelf = Shelf(one=one, two=two)
    shelf.watched = one
    heard: list[tuple[str, int, int]] = []

    async def talk() -> tuple[str, str]:
        session = Session(one, models=shelf, chosen="one")
        await say(session, "Count.")
        before = await session.change_model("", no_progress)
        after = await session.change_model("two", lambda *step: heard.append(step))
        await say(session, "Go on.")
        return before, after

    before, after = asyncio.run(talk())
    assert before == "scripted answers. Another is chosen with /model NAME, as --model takes it."
    assert after == "scripted answers from here on."
    assert shelf.log == ["fetch two", "load two, the old one freed"]
    assert heard == [("fetching", 1, 2)]
    assert spoken(two.prompts[0]) == ["Count.", "One.", "Go on."]


def test_a_model_that_cannot_be_had_leaves_the_old_one_and_one_that_cannot_be_loaded_brings_it_back() -> None:
    one = ScriptedModel("One.", "Two.", "Three.")
    shelf = Shelf(one=one)

    async def talk() -> None:
        session = Session(one, models=shelf, chosen="one")
        with pytest.raises(ModelError, match=r"^There is no model none\.$"):
            await session.change_model("none", no_progress)
        assert not one.closed
        assert await say(session, "Count.") == "One."
        with pytest.raises(ModelError, match=r"^There is not enough memory for large\. scripted answers on\.$"):
            await session.change_model("large", no_progress)
        assert await say(session, "Go on.") == "Two."
        with pytest.raises(ConfigError, match="cannot be changed"):
            await Session(one).change_model("two", no_progress)

    asyncio.run(talk())
    assert shelf.log == ["fetch large", "load large", "load one"]


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
def test_what_asks_for_a_model(text: str, name: str | None) -> None:
    assert parse_model_command(text) == name


def test_the_thread_bridge_passes_items_none_included_and_the_result() -> None:
    def produce(stop: threading.Event) -> Generator[int | None, None, str]:
        yield 1
        yield None
        return "done"

    async def collect() -> tuple[list[int | None], str | None]:
        session = Session(ScriptedModel())
        async with stream_in_thread(session._executor, produce) as stream:
            items = [item async for item in stream]
        return items, stream.result

    assert asyncio.run(collect()) == ([1, None], "done")


def test_finish_waits_through_cancellation_and_then_lets_it_through() -> None:
    async def talk() -> None:
        done = asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.05)
        task = asyncio.create_task(wait_uncancelled(done))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done.done()

    asyncio.run(talk())


def test_the_scripted_model_echoes_when_its_script_is_over_and_counts_pictures() -> None:
    model = ScriptedModel()
    events = asyncio.run(events_of(Session(model), user("Look.", CAT)))
    finished = events[-1]
    assert isinstance(finished, TurnFinished)
    assert finished.message.text == "You said: Look. (and showed cat.png)"
    assert finished.usage.prompt_tokens == 17
    assert model.info == ModelInfo("scripted", "cpu", "none", 4096)


class TimedSink:
    """Delivers a reply only as far as it is told to."""

    def __init__(self, heard: str = "") -> None:
        self.heard = heard
        self.may_finish = asyncio.Event()
        self.waited_for = asyncio.Event()

    async def finish(self) -> None:
        self.waited_for.set()
        await self.may_finish.wait()

    def delivered_text(self) -> str:
        return self.heard


def test_a_turn_that_is_delivered_ends_with_its_delivery() -> None:
    async def talk() -> None:
        store, delivery = Store(), TimedSink("one")
        session = Session(ScriptedModel("one two"), store=store)
        turn = asyncio.create_task(_collect(session.turn(user("a"), delivery)))
        await delivery.waited_for.wait()
        assert store.turns == []
        delivery.may_finish.set()
        assert isinstance((await turn)[-1], TurnFinished)
        assert store.turns == [("a", "one two", False)]

    asyncio.run(talk())


def test_a_reply_that_was_written_but_not_heard_is_kept_as_far_as_it_was_heard() -> None:
    async def talk() -> None:
        store, delivery = Store(), TimedSink("one")
        session = Session(ScriptedModel("one two"), store=store)
        turn = asyncio.create_task(_collect(session.turn(user("a"), delivery)))
        await delivery.waited_for.wait()
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        assert store.turns == [("a", "one", True)]
        assert session.messages[-1].text == "one"

    asyncio.run(talk())


async def _collect(turn: Turn) -> list[Event]:
    async with aclosing(turn) as events:
        return [event async for event in events]


async def test_advice_holds_for_one_turn_and_is_asked_on_the_models_thread() -> None:
    prompts: list[Sequence[Message]] = []
    threads: list[str] = []

    class Listening(ScriptedModel):
        def stream(
            self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
        ) -> Generator[str, None, Usage]:
            prompts.append(messages)
            threads.append(threading.current_thread().name)
            return (yield from super().stream(messages, options, stop))

    def advice() -> str:
        threads.append(threading.current_thread().name)
        return "Be kind."

    session = Session(Listening("Sorry.", "Fine."), system=system("Be brief."))
    async with aclosing(session.turn(user("Where is it?"), advice=advice)) as events:
        assert [event async for event in events]
    async with aclosing(session.turn(user("Thanks."), advice=lambda: "")) as events:
        assert [event async for event in events]
    assert [each.text for each in prompts[0]] == ["Be brief.\nBe kind.", "Where is it?"]
    assert [each.text for each in prompts[1]] == ["Be brief.", "Where is it?", "Sorry.", "Thanks."]
    assert len(set(threads)) == 1
    await session.close()


async def test_a_turn_that_is_stopped_while_advice_is_asked_is_kept() -> None:
    asked, answered = threading.Event(), threading.Event()

    def advice() -> str:
        asked.set()
        answered.wait(20)
        return ""

    session = Session(ScriptedModel("Fine."))

    async def talk() -> None:
        async with aclosing(session.turn(user("Where is it?"), advice=advice)) as events:
            async for _ in events:
                pass

    task = asyncio.create_task(talk())
    await asyncio.to_thread(asked.wait, 20)
    task.cancel()
    answered.set()
    await asyncio.wait([task])
    assert [(each.text, each.interrupted) for each in session.messages] == [("Where is it?", False), ("", True)]
    await session.close()
