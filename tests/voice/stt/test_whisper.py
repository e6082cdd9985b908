"""The bundled Whisper listens to the bundled voice: words, times, languages, silence and bad sound."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assistant.errors import ConfigError, VoiceError
from assistant.progress import no_progress
from assistant.settings import Settings, load
from parley.factory.voice import build_stt, build_tts
from tests.fakes.audio import Floats, WriteWave
from voice.audio.decode import open_audio
from voice.stt.base import SpeechToText, Transcript
from voice.stt.long_form import transcribe
from voice.stt.whisper import Whisper
from voice.tts.base import TextToSpeech, speak

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TEXT = (
    "The weather was fine this morning, so we walked along the river to the old mill. "
    "A grey heron stood in the shallow water and did not move. "
    "Later we bought bread, cheese and three bottles of apple juice at the market."
)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load().settings


@pytest.fixture(scope="module")
def ears(settings: Settings) -> SpeechToText:
    return build_stt(settings)


@pytest.fixture(scope="module")
def mouth(settings: Settings) -> TextToSpeech:
    return build_tts(settings)


@pytest.fixture
def heard(ears: SpeechToText, write_wave: WriteWave) -> Callable[..., Transcript]:
    """What is understood of a recording with these samples, all of it in one transcript."""

    def hear(samples: Floats, rate: int = 16_000, channels: int = 1, language: str | None = "en") -> Transcript:
        with open_audio(write_wave("heard.wav", samples, rate, channels)) as recording:
            pieces = list(transcribe(ears, recording, no_progress, language))
        return replace(pieces[0], segments=sum((piece.segments for piece in pieces), ())) if pieces else Transcript()

    return hear


@pytest.fixture(scope="module")
def spoken(mouth: TextToSpeech) -> Floats:
    return np.concatenate(list(speak([TEXT], mouth)))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def errors(said: str, understood: str) -> float:
    """Word error rate: the edits between the two, over the words of `said`."""
    reference, hypothesis = words(said), words(understood)
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(hypothesis, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1] / len(reference)


def test_what_the_voice_says_is_understood(
    mouth: TextToSpeech, spoken: Floats, heard: Callable[..., Transcript]
) -> None:
    transcript = heard(spoken, mouth.sample_rate, language=None)
    assert transcript.language == "en"
    assert errors(TEXT, transcript.text) <= 0.08, transcript.text


def test_speakable_text_is_understood_as_it_was_meant(mouth: TextToSpeech, heard: Callable[..., Transcript]) -> None:
    written = "## Prices\n\n- It costs **$5.20**, see [the list](https://example.com/x).\n- The box weighs 3 kg.\n"
    sound = np.concatenate(list(speak([written], mouth)))
    text = heard(sound, mouth.sample_rate).text.lower()
    assert re.search(r"5\.20|(5|five) dollars and (20|twenty) cents", text), text
    assert "see the list" in text
    assert re.search(r"(3|three) (kg|kilograms)", text), text
    assert not set(text) & set("*#[](")


def test_every_word_is_where_it_is_spoken(
    mouth: TextToSpeech, spoken: Floats, heard: Callable[..., Transcript]
) -> None:
    pause = np.zeros(3 * mouth.sample_rate)
    sound = np.concatenate([pause, spoken, pause, spoken])
    timed = [word for segment in heard(sound, mouth.sample_rate).segments for word in segment.words]
    assert all(word.start <= word.end for word in timed)
    starts = [word.start for word in timed]
    assert starts == sorted(starts)
    length = spoken.size / mouth.sample_rate
    second = [word.start for word in timed if word.text.lower().startswith("weather")]
    assert second == pytest.approx([3.2, 6.2 + length], abs=0.5)


@pytest.mark.parametrize("channels", [1, 6])
def test_clipped_quiet_fast_and_many_channels_are_understood(
    channels: int, mouth: TextToSpeech, spoken: Floats, heard: Callable[..., Transcript]
) -> None:
    clipped = np.clip(spoken * 8, -1, 1)
    assert errors(TEXT, heard(clipped, mouth.sample_rate, channels).text) <= 0.1
    assert errors(TEXT, heard(spoken * 0.02, mouth.sample_rate, channels).text) <= 0.1
    nine_times = np.repeat(spoken, 9)
    assert errors(TEXT, heard(nine_times, mouth.sample_rate * 9, channels).text) <= 0.1


def test_nobody_speaking_is_nothing(heard: Callable[..., Transcript]) -> None:
    noise = np.random.default_rng(0)
    seconds = np.arange(10 * 16_000) / 16_000
    pink = np.fft.irfft(np.fft.rfft(noise.standard_normal(160_000)) / np.sqrt(np.arange(1, 80_002)))
    for sound in (
        np.zeros(160_000),
        np.zeros(10),
        0.05 * noise.standard_normal(160_000),
        0.5 * pink / np.abs(pink).max(),
        0.3 * np.sin(2 * np.pi * 50 * seconds),
        0.5 * np.sin(2 * np.pi * 440 * seconds),
        0.8 * (noise.random(160_000) > 0.9995),
    ):
        assert heard(sound, language=None).segments == ()


def test_short_answers_are_no_phantoms(mouth: TextToSpeech, heard: Callable[..., Transcript]) -> None:
    for answer in ("Yes.", "Okay.", "Thank you.", "Thank you for watching."):
        sound = np.concatenate([np.zeros(8_000), *mouth.synthesize(answer), np.zeros(8_000)])
        assert words(heard(sound, mouth.sample_rate).text) == words(answer)


def test_a_language_it_does_not_know_is_named(ears: SpeechToText, settings: Settings) -> None:
    with pytest.raises(VoiceError, match=r"no language 'xx': choose one of its .* like en, de"):
        ears.transcribe(np.zeros(16_000, np.float32), "xx")
    with pytest.raises(ConfigError, match="no language 'klingon'"):
        build_stt(settings.model_copy(update={"language": "klingon"}))


def test_what_is_no_whisper_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no Whisper called nope: choose base .* tiny"):
        Whisper.load("nope")
    with pytest.raises(VoiceError, match=r"no model\.bin"):
        Whisper.load(str(tmp_path))
    (tmp_path / "model.bin").write_bytes(b"no weights")
    with pytest.raises(VoiceError, match="cannot be loaded"):
        Whisper.load(str(tmp_path))
