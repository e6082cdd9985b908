"""Listening to the user: how long a pause may last, and long utterances."""

import pytest

from tests.fakes.spoken_conversation import ConversationHarness


@pytest.mark.parametrize(
    ("text", "completion_probability", "frames"),
    [
        ("What time is it?", 0.9, 11),
        ("I would like a table for.", 0.3, 25),
        ("I would like a table for two and", 0.9, 62),
        ("I would like a table.", 0.01, 62),
        ("I would like a table.", None, 25),
    ],
)
async def test_silence_that_ends_a_turn_depends_on_words_and_sound(
    text: str, completion_probability: float | None, frames: int
) -> None:
    end_of_turn = None if completion_probability is None else lambda _: completion_probability
    harness = ConversationHarness("Well.", transcripts=(text,), end_of_turn=end_of_turn)
    async with harness.running():
        harness.start_speaking(0)
        harness.be_silent(10)
        await harness.timeout_set(1)
        harness.be_silent(frames - 11)
        await harness.processed()
        assert harness.conversation.state == "hearing", "the user may go on"
        harness.be_silent(1)
        await harness.processed()
        assert harness.states[-1] != "hearing"
        await harness.answer()
    assert harness.messages[0] == (text, False)
    assert len(harness.stt.durations) == 1, "the transcript of the pause is that of the turn"


async def test_turn_that_goes_on_after_a_pause_is_transcribed_again_in_full() -> None:
    transcripts = ("I would like, um,", "I would like a table.")
    harness = ConversationHarness("Well.", transcripts=transcripts, end_of_turn=lambda _: 0.9)
    async with harness.running():
        harness.start_speaking(0)
        harness.be_silent(30)
        await harness.timeout_set(1)
        harness.start_speaking(1)
        harness.be_silent(10)
        await harness.timeout_set(2)
        harness.be_silent(4)
        await harness.answer()
    assert harness.messages[0] == ("I would like a table.", False)
    assert harness.stt.durations[1] > harness.stt.durations[0] + 1


async def test_failed_transcription_of_a_pause_is_no_error_if_the_user_speaks_on() -> None:
    harness = ConversationHarness("It is.", transcripts=("What time", "What time is it?"))
    harness.stt.failures = 1
    async with harness.running():
        harness.start_speaking(0)
        harness.be_silent(12)
        await harness.timeout_set(1)
        harness.say(1)
        await harness.answer()
    assert harness.questions == ["What time is it?"]


async def test_utterance_longer_than_a_segment_is_one_turn() -> None:
    harness = ConversationHarness("That is a lot.", transcripts=("On and on.",))
    harness.start_speaking(0, frames=2187)
    harness.be_silent()
    harness.end_audio()
    await harness.run()
    assert harness.messages == [("On and on. On and on. On and on.", False), ("That is a lot.", False)]
    assert max(harness.stt.durations) <= 31
    (seconds,) = harness.log.audio.utterance_seconds
    assert seconds == pytest.approx(72, abs=0.5), "the audio of all chunks is saved as one"


async def test_audio_of_transcribed_chunks_is_dropped_unless_it_is_saved() -> None:
    harness = ConversationHarness("That is a lot.", transcripts=("On and on.",), keep_audio=False)
    harness.start_speaking(0, frames=2187)
    harness.be_silent()
    harness.end_audio()
    await harness.run()
    assert harness.messages[0] == ("On and on. On and on. On and on.", False)
    (seconds,) = harness.log.audio.utterance_seconds
    assert seconds < 31
