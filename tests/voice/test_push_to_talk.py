"""Push-to-talk and muting in a spoken conversation."""

import asyncio

import pytest

from assistant.events import Notice
from tests.fakes.spoken_conversation import ConversationHarness
from voice.audio.types import SAMPLE_RATE
from voice.turns.vad import FRAME_SAMPLES

QUESTION = ("What time is it?",)


async def test_push_to_talk_works_while_muted() -> None:
    harness = ConversationHarness("Hello.", "Right.", transcripts=("Hello you.", "Mm-hm."))
    harness.conversation.muted = True
    async with harness.running():
        harness.say(0)
        await harness.processed()
        assert harness.states[-1:] == ["muted"]
        for number in range(2):
            harness.conversation.press_push_to_talk()
            assert harness.states[-1:] == ["hearing"]
            harness.say(number)
            await harness.processed()
            assert harness.conversation.state == "hearing", "it waits, however long they are silent"
            assert len(harness.stt.durations) == number
            harness.conversation.press_push_to_talk()
            await harness.answer(number + 1)
    assert harness.messages[2] == ("Mm-hm.", False), "whoever presses the key means it"


async def test_push_to_talk_is_answered_at_once_whatever_it_sounds_like() -> None:
    harness = ConversationHarness("Well.", transcripts=("I would like, um,",), end_of_turn=lambda _: 0.01)
    async with harness.running():
        harness.conversation.press_push_to_talk()
        harness.start_speaking(0)
        await harness.processed()
        harness.conversation.press_push_to_talk()
        await harness.answer()
    (heard,) = harness.log.of("heard")
    assert (heard["done"], heard["patience_seconds"], heard["waited_seconds"]) == (None, None, 0)


async def test_push_to_talk_replaces_what_is_being_said_without_it() -> None:
    harness = ConversationHarness("One.", "Two.", transcripts=("Well, so,", "Count.", "Go on."))
    async with harness.running():
        harness.start_speaking(0)
        await harness.processed()
        harness.conversation.press_push_to_talk()
        harness.start_speaking(1)
        await harness.processed()
        harness.conversation.press_push_to_talk()
        await harness.answer()
        harness.say(2)
        await harness.answer(2)
    assert harness.questions == ["Count.", "Go on."]


async def test_forgotten_push_to_talk_ends_by_itself_and_says_so() -> None:
    harness = ConversationHarness("It is.", transcripts=QUESTION)
    async with harness.running():
        harness.conversation.press_push_to_talk()
        harness.start_speaking(0)
        harness.be_silent(121 * SAMPLE_RATE // FRAME_SAMPLES)
        await harness.answer()
        assert not harness.conversation.push_to_talk_active
    assert harness.events[0] == Notice("Push-to-talk ended by itself after 120 s: push to go on.")
    assert harness.messages == [("What time is it?", False), ("It is.", False)]


async def test_audio_that_ends_during_push_to_talk_loses_no_turn() -> None:
    harness = ConversationHarness("It is.", transcripts=QUESTION)
    async with harness.running():
        harness.conversation.press_push_to_talk()
        harness.start_speaking(0)
    assert harness.messages == [("What time is it?", False), ("It is.", False)]


async def test_push_to_talk_does_nothing_while_the_conversation_ends() -> None:
    harness = ConversationHarness("One two three.", transcripts=("Count.",))
    harness.output.play_limit = 0.1
    run = asyncio.create_task(harness.run())
    harness.say(0)
    await harness.heard_seconds(0.3)
    harness.conversation.press_push_to_talk()
    harness.start_speaking(0)
    await harness.processed()
    run.cancel()
    # One step: the conversation no longer reads the microphone, and the reply is being stopped.
    await asyncio.sleep(0)
    harness.conversation.press_push_to_talk()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert harness.questions == ["Count."]


async def test_push_to_talk_over_a_reply_pauses_it_and_nothing_said_resumes_it() -> None:
    harness = ConversationHarness("One two three four five. Six.", transcripts=("Count.", ""))
    harness.output.play_limit = 0.3
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        harness.conversation.press_push_to_talk()
        assert harness.output.calls[-1] == "pause"
        harness.say(1)
        await harness.processed()
        harness.conversation.press_push_to_talk()
        await harness.event(Notice)
        assert harness.output.calls[-1] == "resume"
        harness.conversation.press_push_to_talk()
        harness.conversation.press_push_to_talk()
        assert harness.output.calls[-2:] == ["pause", "resume"]
        harness.output.play_limit = float("inf")
        await harness.answer()
    assert len(harness.messages) == 2


@pytest.mark.parametrize("silent_frames", [0, 10])
async def test_muting_discards_all_of_what_is_being_said(silent_frames: int) -> None:
    harness = ConversationHarness("Fine.", transcripts=("On and on.", "How are you?"), end_of_turn=lambda _: 0.01)
    async with harness.running():
        harness.start_speaking(0, frames=1100)
        harness.be_silent(silent_frames)
        await harness.processed()
        harness.conversation.muted = True
        assert harness.conversation.state == "muted"
        harness.be_silent()
        await harness.processed()
        harness.conversation.muted = False
        harness.say(1)
        await harness.answer()
    assert harness.messages[0] == ("How are you?", False)
    assert [line["text"] for line in harness.log.of("heard")] == ["How are you?"]
    assert harness.log.audio.utterance_seconds == [pytest.approx(3, abs=0.5)]
