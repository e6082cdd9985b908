"""Speaking over a reply: what stops it, what lets it go on, and what is kept of it."""

import pytest

from assistant.events import SpeechFinished
from tests.fakes.conversation import AttentiveModel
from tests.fakes.spoken_conversation import ConversationHarness

COUNTING = "One two three four five. Six."


async def test_interrupted_reply_is_kept_as_far_as_it_was_heard() -> None:
    harness = ConversationHarness(
        "One two three four five. Six seven eight nine ten.", "Good.", transcripts=("Count.", "Stop it now.")
    )
    # Five words of a tenth of a second, a gap of two tenths, and two more words.
    harness.output.play_limit = 0.92
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.92)
        harness.start_speaking(1)
        await harness.processed()
        assert harness.output.calls[-1] == "pause", "it is silent as soon as the user speaks"
        harness.say(1)
        await harness.question(2)
        harness.output.play_limit = float("inf")
        await harness.answer()
    assert harness.messages[1] == ("One two three four five. Six seven", True)
    assert harness.messages[2:] == [("Stop it now.", False), ("Good.", False)]
    assert not harness.output.paused


@pytest.mark.parametrize("transcript", ["", "Mm-hm.", "two three four five"])
async def test_coughs_backchannels_and_echo_do_not_interrupt(transcript: str) -> None:
    harness = ConversationHarness(COUNTING, transcripts=("Count.", transcript))
    harness.output.play_limit = 0.3
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        harness.say(1)
        await harness.classified(2)
        assert harness.output.calls[-2:] == ["pause", "resume"]
        harness.output.play_limit = float("inf")
        await harness.answer()
    assert harness.messages == [("Count.", False), (COUNTING, False)]


async def test_reply_stays_paused_until_the_utterance_is_transcribed() -> None:
    harness = ConversationHarness(COUNTING, transcripts=("Count.", "Mm-hm."))
    harness.output.play_limit = 0.3
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        harness.stt.may_finish.clear()
        harness.say(1)
        harness.be_silent()
        await harness.processed()
        assert harness.output.paused
        harness.stt.may_finish.set()
        await harness.until(lambda: not harness.output.paused)
        harness.output.play_limit = float("inf")
        await harness.answer()
    [_, (_, interrupted)] = harness.messages
    assert not interrupted


async def test_echo_of_the_last_words_starts_no_turn() -> None:
    harness = ConversationHarness("One two three four five.", transcripts=("Count.", "three four five"))
    async with harness.running():
        harness.say(0)
        await harness.answer()
        harness.say(1)
        await harness.classified(2)
    assert len(harness.messages) == 2


async def test_with_headphones_nothing_is_an_echo() -> None:
    harness = ConversationHarness(
        "One two three four five.", "Right.", transcripts=("Count.", "three four five"), headphones=True
    )
    async with harness.running():
        harness.say(0)
        await harness.answer()
        harness.say(1)
        await harness.answer(2)
    assert harness.messages[2] == ("three four five", False)


async def test_backchannel_ends_after_a_short_silence_whatever_it_sounds_like() -> None:
    harness = ConversationHarness(COUNTING, transcripts=("Count.", "Um."), end_of_turn=lambda _: 0.01)
    harness.output.play_limit = 0.3
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        harness.start_speaking(1)
        harness.be_silent(10)
        await harness.timeout_set(2)
        harness.be_silent(5)
        await harness.until(lambda: not harness.output.paused)
        harness.output.play_limit = float("inf")
        await harness.answer()
    [_, (_, interrupted)] = harness.messages
    assert not interrupted


async def test_long_utterance_over_a_reply_is_classified_as_a_whole() -> None:
    harness = ConversationHarness(
        COUNTING, "Good.", transcripts=("Count.", "Stop it now please.", "Mm-hm."), end_of_turn=lambda _: 0.01
    )
    harness.output.play_limit = 0.3
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        harness.start_speaking(1, frames=1000)
        harness.start_speaking(2)
        harness.be_silent(10)
        await harness.timeout_set(2)
        harness.be_silent(60)
        await harness.question(2)
        harness.output.play_limit = float("inf")
    assert harness.messages[2] == ("Stop it now please. Mm-hm.", False)
    assert harness.timeouts[1] == 2.0, "a backchannel would end soon"


async def test_reply_does_not_start_over_a_user_who_goes_on() -> None:
    harness = ConversationHarness("One two three.", "Good.", transcripts=("Count.", "And slowly."))
    harness.output.play_limit = 0.0
    async with harness.running():
        harness.say(0)
        harness.start_speaking(1)
        await harness.question()
        await harness.until(lambda: harness.output.paused)
        harness.say(1)
        await harness.question(2)
        harness.output.play_limit = float("inf")
        await harness.answer()
    assert not harness.output.paused


async def test_click_is_a_short_gap_and_no_interruption() -> None:
    harness = ConversationHarness("One two three four five.", transcripts=("Count.",))
    harness.output.play_limit = 0.3
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        harness.click()
        await harness.processed()
        assert harness.output.calls[-2:] == ["pause", "resume"]
        assert harness.log.of("paused") == []
        harness.click(silent_frames=0)
        await harness.processed()
        assert harness.output.paused
        harness.conversation.muted = True
        assert harness.output.calls[-2:] == ["pause", "resume"], "muting is the end of it"
        harness.output.play_limit = float("inf")
        await harness.answer()


async def test_audio_that_ends_in_a_click_lets_the_reply_go_on() -> None:
    harness = ConversationHarness("One two three four five.", transcripts=("Count.",))
    harness.output.play_limit = 0.3
    async with harness.running() as run:
        harness.say(0)
        await harness.heard_seconds(0.3)
        harness.click(silent_frames=0)
        await harness.processed()
        assert harness.output.calls[-1] == "pause"
        harness.end_audio()
        await harness.until(lambda: harness.output.calls[-1] == "resume")
        harness.output.play_limit = float("inf")
        await run
    assert harness.messages[1] == ("One two three four five.", False)


async def test_interrupt_keeps_the_reply_as_far_as_it_was_heard() -> None:
    harness = ConversationHarness(COUNTING, transcripts=("Count.",))
    harness.output.play_limit = 0.2
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.2)
        await harness.conversation.interrupt()
    assert harness.messages == [("Count.", False), ("One two", True)]
    assert harness.events[-1] == SpeechFinished("One two", interrupted=True)


async def test_the_model_waits_while_somebody_speaks_over_the_reply() -> None:
    model = AttentiveModel(COUNTING + "".join(f" Number {number}." for number in range(200)), token_seconds=0.01)
    harness = ConversationHarness(transcripts=("Count.", "Mm-hm."), model=model)
    harness.output.play_limit = 0.3
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        harness.start_speaking(1)
        await harness.processed()
        assert model.pauses == [True]
        harness.be_silent()
        await harness.classified(2)
        await harness.until(lambda: model.pauses == [True, False])
        harness.output.play_limit = float("inf")
        await harness.conversation.interrupt()
    assert len(harness.messages) == 2


async def test_an_interruption_is_answered_by_a_model_that_waited() -> None:
    model = AttentiveModel(" ".join(f"Number {number}." for number in range(200)), "Good.", token_seconds=0.01)
    harness = ConversationHarness(transcripts=("Count.", "Stop it now."), model=model)
    harness.output.play_limit = 0.3
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        harness.say(1)
        await harness.question(2)
        harness.output.play_limit = float("inf")
        await harness.answer()
    assert harness.messages[2:] == [("Stop it now.", False), ("Good.", False)]
