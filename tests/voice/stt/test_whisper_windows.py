"""The bundled Whisper with cut windows and hot words: the same words, more names, and none that nobody said."""

import numpy as np
import pytest

from assistant.settings import Settings, load
from benchmarks.hot_words import NAMES, SENTENCES, sounds_of_nobody
from benchmarks.utterances import QUESTIONS, full_text, synthesize
from parley.factory.voice import build_stt, build_tts
from tests.fakes.audio import Floats
from voice.stt.base import SpeechToText
from voice.stt.hallucinations import normalized_words
from voice.stt.whisper import Whisper
from voice.tts.base import TextToSpeech

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MIN_EQUAL_SHARE = 0.75
"""Share of clean sentences that are the same from a cut window. Where they differ, either may be wrong."""


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load().settings


@pytest.fixture(scope="module")
def tts(settings: Settings) -> TextToSpeech:
    return build_tts(settings)


@pytest.fixture(scope="module")
def stt(settings: Settings) -> SpeechToText:
    return build_stt(settings)


@pytest.fixture(scope="module")
def padded_stt(settings: Settings) -> SpeechToText:
    """Whisper on windows of 30 s."""
    whisper = build_stt(settings)
    assert isinstance(whisper, Whisper)
    whisper.model._is_cutting_supported = False
    return whisper


@pytest.fixture(scope="module")
def told_stt(settings: Settings) -> SpeechToText:
    """Whisper with the invented names as hot words."""
    return build_stt(settings, names=NAMES)


def words(stt: SpeechToText, samples: Floats, language: str | None = "en") -> str:
    return normalized_words(stt.transcribe(samples, language).text)


def test_a_cut_window_has_the_words_of_the_padded_one(
    tts: TextToSpeech, stt: SpeechToText, padded_stt: SpeechToText
) -> None:
    clips = [synthesize(full_text(question), tts) for question in QUESTIONS[:12]]
    differing = [(mine, theirs) for clip in clips if (mine := words(stt, clip)) != (theirs := words(padded_stt, clip))]
    assert len(differing) <= (1 - MIN_EQUAL_SHARE) * len(clips), differing


@pytest.mark.parametrize("seconds", [0.1, 24.9, 25, 29.99, 30, 30.01])
def test_audio_around_the_length_of_a_window_is_transcribed(
    seconds: float, tts: TextToSpeech, stt: SpeechToText
) -> None:
    clips = [np.pad(synthesize(full_text(question), tts), (0, 4000)) for question in QUESTIONS]
    size = round(seconds * 16_000)
    samples = np.concatenate(clips)[:size]
    complete = int(np.searchsorted(np.cumsum([clip.size for clip in clips]), size))
    said = set(normalized_words(" ".join(map(full_text, QUESTIONS[:complete]))).split())
    heard = words(stt, samples).split()
    if complete == 0:
        assert len(heard) <= 2
    else:
        # A few words of the many may be misheard.
        assert len(said & set(heard)) >= 0.8 * len(said), heard


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_the_language_is_found_on_a_cut_window(offset: int, tts: TextToSpeech, stt: SpeechToText) -> None:
    samples = np.pad(synthesize("What is the difference between a lake and a river?", tts), (0, 160 + offset))
    assert stt.transcribe(samples).language == "en"


def test_most_hot_words_are_understood(tts: TextToSpeech, stt: SpeechToText, told_stt: SpeechToText) -> None:
    def understood(engine: SpeechToText) -> int:
        count = 0
        for sentence in SENTENCES[:8]:
            [name] = [name.lower() for name in NAMES if name in sentence]
            count += name in words(engine, synthesize(sentence, tts)).split()
        return count

    assert understood(told_stt) >= max(6, understood(stt))


def test_hot_words_are_not_heard_where_nobody_says_them(tts: TextToSpeech, told_stt: SpeechToText) -> None:
    others = [synthesize(full_text(question), tts) for question in QUESTIONS[12:18]]
    heard = [words(told_stt, samples) for samples in (*others, *sounds_of_nobody())]
    names = {name.lower() for name in NAMES}
    assert not [text for text in heard if names & set(text.split())]
