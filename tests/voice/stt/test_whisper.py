"""The bundled Whisper transcribes the bundled voice: words, times, languages, silence and bad audio."""

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
# Half of them are phrases that Whisper also invents where nobody speaks.
SHORT_ANSWERS = (
    "Yes.", "No.", "Okay.", "Thank you.", "Thanks.", "Thank you for watching.", "Bye.", "Yeah.", "See you later.",
    "Sure.", "Of course.", "Never mind.",
)  # fmt: skip


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load().settings


@pytest.fixture(scope="module")
def stt(settings: Settings) -> SpeechToText:
    return build_stt(settings)


@pytest.fixture(scope="module")
def tts(settings: Settings) -> TextToSpeech:
    return build_tts(settings)


@pytest.fixture
def transcribe_file(stt: SpeechToText, write_wave: WriteWave) -> Callable[..., Transcript]:
    """Write samples to a file and return its transcript, in one piece."""

    def run(samples: Floats, rate: int = 16_000, channels: int = 1, language: str | None = "en") -> Transcript:
        with open_audio(write_wave("speech.wav", samples, rate, channels)) as audio:
            parts = list(transcribe(stt, audio, no_progress, language))
        return replace(parts[0], segments=sum((part.segments for part in parts), ())) if parts else Transcript()

    return run


@pytest.fixture(scope="module")
def spoken_text(tts: TextToSpeech) -> Floats:
    return np.concatenate(list(speak([TEXT], tts)))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def word_error_rate(reference: str, transcript: str) -> float:
    """Return the edits between the two, divided by the number of words in `reference`."""
    expected, actual = words(reference), words(transcript)
    row = list(range(len(actual) + 1))
    for i, word in enumerate(expected, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(actual, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1] / len(expected)


def test_the_bundled_voice_is_understood(
    tts: TextToSpeech, spoken_text: Floats, transcribe_file: Callable[..., Transcript]
) -> None:
    transcript = transcribe_file(spoken_text, tts.sample_rate, language=None)
    assert transcript.language == "en"
    assert word_error_rate(TEXT, transcript.text) <= 0.08, transcript.text


def test_markdown_is_heard_as_it_was_meant(tts: TextToSpeech, transcribe_file: Callable[..., Transcript]) -> None:
    markdown = "## Prices\n\n- It costs **$5.20**, see [the list](https://example.com/x).\n- The box weighs 3 kg.\n"
    text = transcribe_file(np.concatenate(list(speak([markdown], tts))), tts.sample_rate).text.lower()
    expected = (r"5\.20|(5|five) dollars and (20|twenty) cents", "see the list", r"(3|three) (kg|kilograms)")
    # Whisper may mishear one of them; markup that is read aloud spoils all.
    assert sum(re.search(pattern, text) is not None for pattern in expected) >= 2, text
    assert not set(text) & set("*#[](")


def test_words_have_the_times_at_which_they_are_spoken(
    tts: TextToSpeech, spoken_text: Floats, transcribe_file: Callable[..., Transcript]
) -> None:
    pause = np.zeros(3 * tts.sample_rate)
    twice = np.concatenate([pause, spoken_text, pause, spoken_text])
    timed = [word for segment in transcribe_file(twice, tts.sample_rate).segments for word in segment.words]
    assert all(word.start <= word.end for word in timed)
    starts = [word.start for word in timed]
    assert starts == sorted(starts)
    assert starts[0] > 2.5
    # The second reading comes so much later, word by word.
    shift = 3 + spoken_text.size / tts.sample_rate
    long_words = {word for word in words(TEXT) if len(word) > 4}
    times = {word: [each.start for each in timed if words(each.text) == [word]] for word in long_words}
    in_time = [word for word, found in times.items() if len(found) == 2 and abs(found[1] - found[0] - shift) < 0.5]
    assert len(in_time) >= 0.75 * len(long_words), times


@pytest.mark.parametrize("channels", [1, 6])
def test_clipped_quiet_fast_and_multichannel_audio_is_understood(
    channels: int, tts: TextToSpeech, spoken_text: Floats, transcribe_file: Callable[..., Transcript]
) -> None:
    clipped = np.clip(spoken_text * 8, -1, 1)
    assert word_error_rate(TEXT, transcribe_file(clipped, tts.sample_rate, channels).text) <= 0.1
    assert word_error_rate(TEXT, transcribe_file(spoken_text * 0.02, tts.sample_rate, channels).text) <= 0.1
    nine_times = np.repeat(spoken_text, 9)
    assert word_error_rate(TEXT, transcribe_file(nine_times, tts.sample_rate * 9, channels).text) <= 0.1


def test_audio_without_speech_has_no_transcript(transcribe_file: Callable[..., Transcript]) -> None:
    generator = np.random.default_rng(0)
    seconds = np.arange(10 * 16_000) / 16_000
    pink = np.fft.irfft(np.fft.rfft(generator.standard_normal(160_000)) / np.sqrt(np.arange(1, 80_002)))
    for samples in (
        np.zeros(160_000),
        np.zeros(10),
        0.05 * generator.standard_normal(160_000),
        0.5 * pink / np.abs(pink).max(),
        0.3 * np.sin(2 * np.pi * 50 * seconds),
        0.5 * np.sin(2 * np.pi * 440 * seconds),
        0.8 * (generator.random(160_000) > 0.9995),
    ):
        assert transcribe_file(samples, language=None).segments == ()


def test_most_short_answers_are_transcribed_and_not_dropped_as_hallucinations(
    tts: TextToSpeech, transcribe_file: Callable[..., Transcript]
) -> None:
    """The voice never says a word the same way twice, and Whisper mishears one now and then."""
    heard = {}
    for answer in SHORT_ANSWERS:
        samples = np.concatenate([np.zeros(8_000), *tts.synthesize(answer), np.zeros(8_000)])
        heard[answer] = transcribe_file(samples, tts.sample_rate).text
    understood = [answer for answer, text in heard.items() if words(text) == words(answer)]
    assert len(understood) >= 0.75 * len(SHORT_ANSWERS), heard


def test_an_unsupported_language_is_an_error_that_lists_others(stt: SpeechToText, settings: Settings) -> None:
    with pytest.raises(VoiceError, match=r"does not support the language 'xx': choose one of its .* like en, de"):
        stt.transcribe(np.zeros(16_000, np.float32), "xx")
    with pytest.raises(ConfigError, match="does not support the language 'klingon'"):
        build_stt(settings.model_copy(update={"language": "klingon"}))


def test_a_name_or_folder_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no Whisper model nope: choose base .* tiny"):
        Whisper.load("nope")
    with pytest.raises(VoiceError, match=r"no model\.bin"):
        Whisper.load(str(tmp_path))
    (tmp_path / "model.bin").write_bytes(b"no weights")
    with pytest.raises(VoiceError, match="cannot be loaded"):
        Whisper.load(str(tmp_path))
