"""Transcription in the language of the conversation, with times from the start of the utterance."""

from collections.abc import Iterator

import pytest

from tests.fakes.speech import FakeSpeechToText, speech
from voice.stt.base import Transcript
from voice.turns.transcriber import Transcriber


@pytest.fixture
def transcriber() -> Iterator[Transcriber]:
    transcriber = Transcriber(FakeSpeechToText("Hello."))
    yield transcriber
    transcriber.close()


async def test_times_are_shifted_by_the_offset(transcriber: Transcriber) -> None:
    transcript = await transcriber.transcribe(speech(0), 30.0)
    assert [(segment.start, segment.end) for segment in transcript.segments] == [(30.0, 31.0)]


def test_first_language_detected_with_confidence_is_kept(transcriber: Transcriber) -> None:
    for language, probability in (("fr", 0.5), ("de", 0.9), ("en", 1.0)):
        transcriber.keep_language(Transcript((), language, probability))
    assert transcriber.language == "de"
