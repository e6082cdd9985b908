"""A reply on its way to the output: what counts as heard, and when it starts."""

import asyncio

import numpy as np
import pytest

from assistant.errors import ParleyError
from tests.fakes.speech import TTS_RATE, FakeAudioOutput, FakeTextToSpeech
from voice.reply_playback import ReplyPlayback
from voice.speech_synthesizer import SpeechSynthesizer
from voice.spoken_reply import SpokenReply
from voice.tts.base import SENTENCE_GAP_SECONDS

# The rule between the paragraphs is not spoken.
TEXT = "One two three.\n\n---\n\nFour five."


async def speak(text: str, output: FakeAudioOutput) -> tuple[SpokenReply, list[str]]:
    """Write `text`, wait until it has been heard, and return the reply and what it has reported."""
    reports: list[str] = []

    def on_error(error: ParleyError) -> None:
        reports.append(str(error))

    synthesizer = SpeechSynthesizer(FakeTextToSpeech())
    reply = SpokenReply(synthesizer, output, on_start=lambda: reports.append("start"), on_error=on_error)
    async with reply:
        for character in text:
            reply.write(character)
        output.play_limit = float("inf")
        await reply.finish()
        assert reply.delivered_text() == text.strip()
    synthesizer.close()
    return reply, reports


async def test_text_without_sound_is_delivered_with_what_comes_before_it() -> None:
    reply, reports = await speak(TEXT, FakeAudioOutput())
    assert reply.spoken_text == "One two three. Four five."
    assert reports == ["start"]
    assert reply.is_audible


async def test_reply_is_silent_at_its_end_and_echoes_for_a_moment() -> None:
    output = FakeAudioOutput()
    reply, _ = await speak("One two.", output)
    assert output.calls[-1] == "clear"
    assert reply.may_echo
    reply.pause(paused=True)
    assert output.calls[-1] == "clear", "nothing is left to pause"
    assert reply.ended_at is not None
    reply.ended_at -= 2
    assert not reply.may_echo


@pytest.mark.parametrize(
    ("seconds", "heard"), [(0.05, TEXT), (0.15, "One"), (0.31, "One two three.\n\n---"), (0.61, TEXT[:-6])]
)
async def test_delivered_text_ends_with_the_last_word_heard_or_is_what_was_shown_before_the_first(
    seconds: float, heard: str
) -> None:
    output = FakeAudioOutput()
    synthesizer = SpeechSynthesizer(FakeTextToSpeech())
    async with SpokenReply(synthesizer, output) as reply:
        reply.write(TEXT)
        await reply.finish()
        output.play_limit = seconds
        assert reply.delivered_text().rstrip() == heard.rstrip()
    synthesizer.close()


async def test_gap_before_a_sentence_delivers_none_of_its_words() -> None:
    output = FakeAudioOutput()
    playback = ReplyPlayback(output, TTS_RATE, on_start=lambda: None, on_error=print)
    playback.add(0, 4, np.zeros(100, np.float32))
    # The voice has given the gap and not the sentence after it.
    playback.add(5, 9, np.zeros(round(SENTENCE_GAP_SECONDS * TTS_RATE), np.float32))
    output.play_limit = 0.2
    assert playback.delivered("One. Two.") == "One."


async def test_failed_output_is_reported_once_and_all_text_counts_as_delivered() -> None:
    output = FakeAudioOutput(lost=True)
    reply, reports = await speak("One two. Three four.", output)
    assert reports == ["The speaker has gone."]
    assert not reply.is_audible


async def test_a_sentence_that_the_voice_cannot_read_is_left_out_and_reported_once() -> None:
    class EnglishVoice(FakeTextToSpeech):
        language = "en"

    voice, reports = EnglishVoice(), list[str]()
    synthesizer = SpeechSynthesizer(voice)
    output = FakeAudioOutput()
    async with SpokenReply(synthesizer, output, on_error=lambda error: reports.append(str(error))) as reply:
        text = "Hello you.\n\n你好。\n\n再见。\n\nGoodbye."
        reply.write(text)
        await reply.finish()
        assert reply.delivered_text() == text
    synthesizer.close()
    assert voice.sentences == ["Hello you.", "Goodbye."]
    assert len(reports) == 1
    assert "This voice speaks English and cannot read “你好。”, which is Chinese" in reports[0]


async def test_what_was_no_reply_is_not_spoken_on() -> None:
    output = FakeAudioOutput(play_limit=0)
    voice = FakeTextToSpeech()
    synthesizer = SpeechSynthesizer(voice)
    async with SpokenReply(synthesizer, output) as reply:
        reply.write("It may be red. It may be green. ")
        while not output.added_seconds:  # noqa: ASYNC110 - the fake has no event
            await asyncio.sleep(0.01)
        reply.discard()
        assert output.added_seconds == 0
        reply.write("It is red.")
        output.play_limit = float("inf")
        await reply.finish()
        assert reply.delivered_text() == "It is red."
    assert output.added_seconds == 0
    synthesizer.close()
