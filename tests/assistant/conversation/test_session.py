"""Turns of a conversation: their order, how they end early, and what is kept of each."""

import asyncio
import threading
from collections.abc import Generator, Sequence
from contextlib import aclosing, suppress

import pytest

from assistant.conversation.session import Session
from assistant.conversation.turn import TurnOutcome
from assistant.errors import ContextOverflow, EmptyReply, ModelError, OutOfMemory
from assistant.events import Event, Notice, TextDelta, TurnFinished, Usage
from assistant.messages import Image, Message, assistant, system, user
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from tests.fakes.conversation import (
    CAT,
    FailingModel,
    FakeSink,
    OverflowingModel,
    RecordingStore,
    StallingModel,
    ask,
    collect,
    notices,
    reply_text,
    run_turn,
    texts,
)


async def cancel(task: "asyncio.Task[list[Event]]") -> None:
    """Cancel a running turn and wait for its end."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def stop_after(session: Session, message: Message, last: str) -> TurnOutcome:
    """Answer `message`, leave the stream at the text `last`, and return the outcome."""
    turn = session.turn(message)
    async with aclosing(turn):
        async for event in turn:
            if event == TextDelta(last):
                break
    return turn.outcome


async def test_a_turn_streams_its_words_and_ends_with_the_complete_reply() -> None:
    events = await run_turn(Session(ScriptedModel("A cat asleep.")), user("What is it?", CAT))
    assert events[:-1] == [TextDelta("A"), TextDelta(" cat"), TextDelta(" asleep.")]
    finished = events[-1]
    assert isinstance(finished, TurnFinished)
    assert finished.message == assistant("A cat asleep.")
    assert finished.usage.reply_tokens == 3


async def test_the_model_receives_the_instructions_and_every_earlier_turn_with_its_images() -> None:
    model = ScriptedModel("A cat.", "Grey.")
    session = Session(model, system=system("Be brief."))
    await run_turn(session, user("What is it?", CAT))
    await run_turn(session, user("And what colour is it?"))
    assert model.prompts[1] == (
        system("Be brief."),
        user("What is it?", CAT),
        assistant("A cat."),
        user("And what colour is it?"),
    )


async def test_a_resumed_conversation_continues_where_it_ended() -> None:
    model = ScriptedModel("Grey.")
    session = Session(model, messages=[user("What is it?", CAT), assistant("A cat.")])
    await ask(session, "And what colour?")
    assert texts(model.prompts[0]) == ["What is it?", "A cat.", "And what colour?"]


async def test_options_reach_the_model() -> None:
    session = Session(ScriptedModel("one two three"), options=GenerationOptions(max_tokens=2))
    assert await ask(session, "Count.") == "one two"


async def test_a_second_turn_waits_for_the_first() -> None:
    model = ScriptedModel("first reply", "second reply", token_seconds=0.02)
    session = Session(model)
    order: list[str] = []

    async def turn(text: str) -> None:
        async with aclosing(session.turn(user(text))) as events:
            async for event in events:
                label = event.text if isinstance(event, TextDelta) else "end"
                order.append(f"{text}: {label}")

    await asyncio.gather(turn("one"), turn("two"))
    assert order == ["one: first", "one:  reply", "one: end", "two: second", "two:  reply", "two: end"]
    assert texts(model.prompts[1]) == ["one", "first reply", "two"]


class TestStopping:
    async def test_leaving_the_stream_keeps_the_words_that_were_handed_out(self) -> None:
        store = RecordingStore()
        session = Session(ScriptedModel("one two three four", token_seconds=0.005), store=store)
        outcome = await stop_after(session, user("Count."), " two")
        assert outcome.reply == assistant("one two", interrupted=True)
        assert session.messages == [user("Count."), outcome.reply]
        assert store.turns == [("Count.", "one two", True)]
        assert store.usages == [outcome.usage]
        assert outcome.usage.reply_tokens >= 2, "the usage of a stopped reply is known as well"

    async def test_a_turn_that_fails_at_once_reports_that_nothing_was_kept(self) -> None:
        turn = Session(OverflowingModel(max_turns=0)).turn(user("Hello"))
        with suppress(ContextOverflow):
            await collect(turn)
        assert turn.outcome.reply is None

    async def test_a_cancelled_turn_stops_the_model_and_is_kept(self) -> None:
        session = Session(ScriptedModel(" ".join(["word"] * 1000), "Fine.", token_seconds=0.05))
        first_words = asyncio.Event()

        async def turn() -> list[Event]:
            async with aclosing(session.turn(user("Count."))) as events:
                async for _ in events:
                    first_words.set()
            return []

        task = asyncio.create_task(turn())
        await first_words.wait()
        await cancel(task)
        assert session.messages[1].interrupted
        # All words would take 50 s.
        assert 1 <= len(session.messages[1].text.split()) < 1000
        assert await ask(session, "And now?") == "Fine."

    async def test_a_turn_cancelled_before_its_first_word_keeps_the_question(self) -> None:
        model, store = StallingModel(""), RecordingStore()
        task = asyncio.create_task(run_turn(Session(model, store=store), user("Anyone there?")))
        await asyncio.to_thread(model.stalled.wait, 60)
        await cancel(task)
        assert store.turns == [("Anyone there?", "", True)]

    async def test_a_turn_cancelled_while_it_waits_for_another_leaves_no_trace(self) -> None:
        model = StallingModel("")
        session = Session(model)
        first = asyncio.create_task(run_turn(session, user("first")))
        await asyncio.to_thread(model.stalled.wait, 60)
        second = asyncio.create_task(run_turn(session, user("second")))
        await asyncio.sleep(0)
        await cancel(second)
        await cancel(first)
        assert texts(session.messages) == ["first", ""]

    async def test_close_waits_for_the_running_turn_and_frees_the_model(self) -> None:
        model = ScriptedModel("one two", token_seconds=0.02)
        session = Session(model)
        turn = asyncio.create_task(run_turn(session, user("a")))
        await asyncio.sleep(0)
        await session.close()
        assert model.closed
        assert isinstance((await turn)[-1], TurnFinished)


class TestFailures:
    async def test_a_failure_before_the_first_word_leaves_the_conversation_unchanged(self) -> None:
        model, store = ScriptedModel(), RecordingStore()
        model.enqueue(ModelError("The model cannot be run."), "All right.")
        session = Session(model, store=store)
        with pytest.raises(ModelError, match="cannot be run"):
            await ask(session, "Hello?")
        assert session.messages == []
        await ask(session, "Hello again?")
        assert store.turns == [("Hello again?", "All right.", False)]

    async def test_a_failure_after_some_words_keeps_them(self) -> None:
        store = RecordingStore()
        session = Session(FailingModel("A cat on"), store=store)
        with pytest.raises(ModelError, match="out of memory"):
            await ask(session, "What is it?")
        assert session.messages == [user("What is it?"), assistant("A cat on", interrupted=True)]
        assert store.turns == [("What is it?", "A cat on", True)]

    async def test_a_reply_that_runs_out_of_memory_is_kept_and_not_started_again(self) -> None:
        model = FailingModel("Two is", OutOfMemory("hungry"))
        session = Session(model, messages=[user("Count."), assistant("One.")])
        with pytest.raises(ModelError, match="hungry ran out of memory: shorten the conversation"):
            await ask(session, "Go on.")
        assert session.messages[-1] == assistant("Two is", interrupted=True)
        assert len(model.prompts) == 1


class TestLongConversations:
    async def test_the_oldest_turns_are_left_out_which_is_reported_once(self) -> None:
        model = OverflowingModel(max_turns=8)
        session = Session(model)
        for number in range(8):
            await ask(session, str(number))
        events = await run_turn(session, user("8"))
        assert notices(events) == [
            "The conversation no longer fits the model: its oldest 2 turns are left out from here on."
        ]
        assert isinstance(events[0], Notice), "it comes before the reply"
        assert texts([message for message in model.prompts[8] if message.role == "user"]) == list("2345678")
        assert len(session.messages) == 18, "the conversation keeps what the model no longer sees"
        assert notices(await run_turn(session, user("9"))) == []

    async def test_turns_left_out_in_a_stopped_turn_are_reported_in_the_next(self) -> None:
        model = StallingModel("yes", "yes", "yes", "", "yes", context_tokens=40)
        session = Session(model)
        for _ in range(3):
            await ask(session, "one two three four five")
        task = asyncio.create_task(run_turn(session, user(" ".join(["word"] * 30))))
        await asyncio.to_thread(model.stalled.wait, 60)
        await cancel(task)
        [notice] = notices(await run_turn(session, user("And?")))
        assert "left out from here on" in notice

    async def test_several_trims_for_one_prompt_are_one_notice(self) -> None:
        session = Session(ScriptedModel("yes", "yes", "yes", "yes", context_tokens=40))
        for _ in range(3):
            await ask(session, "one two three four five")
        assert notices(await run_turn(session, user(" ".join(["word"] * 30)))) == [
            "The conversation no longer fits the model: its oldest 2 turns are left out from here on."
        ]

    async def test_a_prompt_longer_than_the_context_is_refused_and_trims_nothing(self) -> None:
        model = ScriptedModel(context_tokens=50)
        session = Session(model)
        await ask(session, "Remember the cat.")
        with pytest.raises(ContextOverflow, match="takes 60 tokens and the model has room for 49"):
            await ask(session, " ".join(["word"] * 60))
        await ask(session, "What was it?")
        assert texts(model.prompts[1])[0] == "Remember the cat."

    async def test_images_go_before_turns_and_the_newest_goes_with_its_turn(self) -> None:
        first, second, third = (Image(bytes([number]), "image/png", 4, 3, f"{number}.png") for number in range(3))
        earlier = [user("What is it?", first), assistant("A cat."), user("And it?", second), assistant("A dog.")]
        earlier += [user("Hm."), assistant("Yes.")]
        # 16 tokens an image: room for the text and one of three, later for none but the new one.
        model = ScriptedModel("A cow.", "Bye.", context_tokens=33)
        session = Session(model, messages=earlier)
        assert notices(await run_turn(session, user("And this?", third))) == [
            "The conversation no longer fits the model: its oldest 2 pictures are not looked at any more."
        ]
        assert session.messages[0].images == (first,), "the conversation keeps what the model no longer sees"
        shown = model.prompts[0]
        assert [message.images for message in shown if message.role == "user"] == [(), (), (), (third,)]
        assert shown[0].text == "[picture]\n\nWhat is it?"
        assert notices(await run_turn(session, user("so " * 12))) == [
            "The conversation no longer fits the model: its oldest 3 turns are left out from here on."
        ]
        assert [message.images for message in model.prompts[1] if message.role == "user"] == [(third,), ()]


class TestSaving:
    async def test_an_unwritable_store_ends_no_conversation_and_is_reported_once(self) -> None:
        store = RecordingStore(full=True)
        session = Session(ScriptedModel("one", "two", "three"), store=store)
        first = await run_turn(session, user("a"))
        assert [type(event) for event in first] == [TextDelta, Notice, TurnFinished]
        assert "the disk is full" in notices(first)[0]
        assert notices(await run_turn(session, user("b"))) == []
        assert "the disk is full" in str(session.save_error)
        store.full = False
        await run_turn(session, user("c"))
        assert session.save_error is None
        assert store.turns == [("a", "one", False), ("b", "two", False), ("c", "three", False)]

    async def test_a_turn_is_saved_before_it_is_reported_finished(self) -> None:
        store = RecordingStore()
        async with aclosing(Session(ScriptedModel("one"), store=store).turn(user("a"))) as events:
            async for event in events:
                assert bool(store.turns) == isinstance(event, TurnFinished)
        assert store.turns

    async def test_a_turn_cancelled_while_it_is_saved_is_still_saved(self) -> None:
        writing, may_write = threading.Event(), threading.Event()

        class SlowStore(RecordingStore):
            def append(self, user: Message, reply: Message, usage: Usage) -> None:
                writing.set()
                may_write.wait(60)
                super().append(user, reply, usage)

        store = SlowStore()
        task = asyncio.create_task(run_turn(Session(ScriptedModel("one"), store=store), user("a")))
        await asyncio.to_thread(writing.wait, 60)
        task.cancel()
        may_write.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert store.turns == [("a", "one", False)]

    async def test_queued_notices_are_emitted_by_the_next_turn(self) -> None:
        queue = ["The old history was set aside."]
        session = Session(ScriptedModel("one", "two"), notices=queue)
        first, second = await run_turn(session, user("a")), await run_turn(session, user("b"))
        assert first[0] == Notice("The old history was set aside.")
        assert notices(second) == []
        assert queue == []


class TestSinks:
    async def test_a_turn_ends_when_its_sink_has_finished(self) -> None:
        store, sink = RecordingStore(), FakeSink("one")
        session = Session(ScriptedModel("one two"), store=store)
        turn = asyncio.create_task(collect(session.turn(user("a"), sink)))
        await sink.waiting.wait()
        assert store.turns == []
        sink.may_finish.set()
        assert isinstance((await turn)[-1], TurnFinished)
        assert store.turns == [("a", "one two", False)]

    async def test_a_reply_that_was_only_partly_delivered_is_kept_that_far(self) -> None:
        store, sink = RecordingStore(), FakeSink("one")
        session = Session(ScriptedModel("one two"), store=store)
        turn = asyncio.create_task(collect(session.turn(user("a"), sink)))
        await sink.waiting.wait()
        await cancel(turn)
        assert store.turns == [("a", "one", True)]
        assert session.messages[-1].text == "one"


class TestTurnInstructions:
    async def test_they_hold_for_one_turn_and_are_asked_on_the_model_thread(self) -> None:
        threads: list[str] = []

        class ThreadRecorder(ScriptedModel):
            def stream(
                self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
            ) -> Generator[str, None, Usage]:
                threads.append(threading.current_thread().name)
                return (yield from super().stream(messages, options, stop))

        def instructions() -> str:
            threads.append(threading.current_thread().name)
            return "Be kind."

        model = ThreadRecorder("Sorry.", "Fine.")
        session = Session(model, system=system("Be brief."))
        assert reply_text(await collect(session.turn(user("Where is it?"), turn_instructions=instructions))) == "Sorry."
        assert reply_text(await collect(session.turn(user("Thanks."), turn_instructions=lambda: ""))) == "Fine."
        assert texts(model.prompts[0]) == ["Be brief.\nBe kind.", "Where is it?"]
        assert texts(model.prompts[1]) == ["Be brief.", "Where is it?", "Sorry.", "Thanks."]
        assert len(threads) == 3
        assert len(set(threads)) == 1
        await session.close()

    async def test_a_turn_stopped_while_they_are_computed_is_kept(self) -> None:
        asked, answered = threading.Event(), threading.Event()

        def instructions() -> str:
            asked.set()
            answered.wait(60)
            return ""

        session = Session(ScriptedModel("Fine."))
        task = asyncio.create_task(collect(session.turn(user("Where is it?"), turn_instructions=instructions)))
        await asyncio.to_thread(asked.wait, 60)
        task.cancel()
        answered.set()
        await asyncio.wait([task])
        assert session.messages == [user("Where is it?"), assistant("", interrupted=True)]
        await session.close()


class TestEndsOfReplies:
    """Replies that are cut off, and replies without text."""

    async def test_a_reply_that_is_cut_off_has_one_notice_after_it(self) -> None:
        session = Session(ScriptedModel("one two three four", "done"), options=GenerationOptions(max_tokens=2))
        events = await run_turn(session, user("Count."))
        assert events[:-1] == [
            TextDelta("one"),
            TextDelta(" two"),
            Notice("The reply was cut off at 2 tokens: raise --max-tokens for longer replies."),
        ]
        assert notices(await run_turn(session, user("Go on."))) == []

    async def test_a_reply_in_a_loop_is_ended_with_one_notice_and_kept_as_it_was_shown(self) -> None:
        store = RecordingStore()
        session = Session(ScriptedModel("It rains. " * 200, "done"), store=store)
        events = await run_turn(session, user("Write about the weather."))
        shown = "".join(event.text for event in events if isinstance(event, TextDelta))
        assert shown.startswith("It rains. It rains.")
        assert shown.count("rains") < 30
        assert [notice[:39] for notice in notices(events)] == ["The reply repeated itself and was ended"]
        assert store.turns == [("Write about the weather.", shown, False)]
        assert store.usages[0].finish_reason == "loop"
        assert notices(await run_turn(session, user("Go on."))) == []

    async def test_what_is_said_of_a_reply_in_a_loop_ends_with_it(self) -> None:
        sink = FakeSink("It rains.")
        sink.may_finish.set()
        session = Session(ScriptedModel("It rains. " * 200))
        events = await collect(session.turn(user("Write about the weather."), sink))
        assert len([event for event in events if isinstance(event, TextDelta)]) < 60

    @pytest.mark.parametrize("reply", ["", " \n ", "\u200b"])
    async def test_an_empty_reply_is_an_error_and_leaves_no_trace(self, reply: str) -> None:
        store = RecordingStore()
        session = Session(ScriptedModel(reply, "Yes."), store=store)
        turn = session.turn(user("Are you there?"))
        with pytest.raises(EmptyReply, match="scripted gave no text"):
            await collect(turn)
        assert turn.outcome.reply is None
        assert (session.messages, store.turns) == ([], [])
        assert await ask(session, "And now?") == "Yes."

    async def test_a_stopped_turn_may_be_empty(self) -> None:
        model = StallingModel("")
        session = Session(model)
        task = asyncio.create_task(run_turn(session, user("Hi.")))
        await asyncio.to_thread(model.stalled.wait, 60)
        await cancel(task)
        assert session.messages[-1] == assistant("", interrupted=True)


class TestInvalidUnicode:
    """Text that no file accepts is made valid where it enters."""

    async def test_lone_surrogates_are_replaced_in_messages_and_replies(self) -> None:
        store = RecordingStore()
        session = Session(ScriptedModel("good \udcff", "fine"), store=store)
        image = Image(b"x", "image/png", 1, 1, "bad\udcff.png")
        await run_turn(session, user("bad \udcff", image))
        await ask(session, "next")
        assert store.turns == [("bad \ufffd", "good \ufffd", False), ("next", "fine", False)]
        assert image.name == "bad\ufffd.png"
