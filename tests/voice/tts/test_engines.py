"""The contract of `TextToSpeech`, held to by every engine that this machine has."""

import shutil
from collections.abc import Iterator

import numpy as np
import pytest

from assistant.progress import no_progress
from assistant.settings import load
from tests.fakes.coqui_voices import NEEDS_COQUI, random_vits
from voice.tts import coqui, espeak, hibari, piper, xtts
from voice.tts.base import TextToSpeech, speak

SENTENCE = "The cat sleeps in the sun, and nobody wakes it."


@pytest.fixture(
    scope="module",
    params=[
        "hibari",
        pytest.param("piper", marks=pytest.mark.slow),
        pytest.param(
            "espeak",
            marks=pytest.mark.skipif(shutil.which(espeak.PROGRAM) is None, reason="needs espeak-ng"),
        ),
        pytest.param("coqui", marks=NEEDS_COQUI),
        pytest.param("xtts", marks=NEEDS_COQUI),
    ],
)
def voice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextToSpeech]:
    loaded: TextToSpeech
    match request.param:
        case "hibari":
            loaded = hibari.Hibari.load()
        case "piper":
            loaded = piper.Piper.load(piper.fetch_english(load().settings.cache_dir, no_progress))
        case "espeak":
            loaded = espeak.Espeak.load()
        case "xtts":
            loaded = xtts.Xtts.load(str(request.getfixturevalue("xtts_folder")), device="cpu")
        case _:
            loaded = coqui.Coqui.load(str(random_vits(tmp_path_factory.mktemp("vits"))), device="cpu")
    yield loaded
    loaded.close()
    loaded.close()


def test_a_longer_sentence_is_longer_audio(voice: TextToSpeech) -> None:
    short = np.concatenate(list(voice.synthesize("Yes.")))
    chunks = list(voice.synthesize(SENTENCE))
    long = np.concatenate(chunks)
    assert voice.sample_rate >= 16_000
    assert all(chunk.dtype == np.float32 and chunk.ndim == 1 for chunk in chunks)
    assert 0.001 < np.abs(long).max() <= 1.0
    # The random weights of the tiny XTTS speak up to its limit, whatever the text.
    if not isinstance(voice, xtts.Xtts):
        assert long.size > 1.5 * short.size
        assert 0.2 < long.size / voice.sample_rate < 8.0


@pytest.mark.parametrize(
    "text", ["", " ", "…", "[[", "-v xx", "<speak>", "日本", "\x00", "é" * 500], ids=lambda text: ascii(text[:9])
)
def test_any_text_is_accepted(text: str, voice: TextToSpeech) -> None:
    assert all(np.isfinite(chunk).all() for chunk in voice.synthesize(text))


def test_a_sentence_that_is_abandoned_does_not_disturb_the_next(voice: TextToSpeech) -> None:
    audio = voice.synthesize(SENTENCE * 20)
    next(audio)
    audio.close()  # type: ignore[attr-defined]
    assert next(voice.synthesize("Yes.")).size


def test_a_text_is_spoken_sentence_by_sentence_as_it_arrives(voice: TextToSpeech) -> None:
    arrived: list[str] = []

    def text() -> Iterator[str]:
        for piece in ("It is a cat. ", "It sleeps.", " It is **grey**."):
            arrived.append(piece)
            yield piece

    audio = speak(text(), voice)
    assert next(audio).size
    assert len(arrived) == 2
    assert sum(samples.size for samples in audio) > voice.sample_rate / 4
    assert list(speak(["—"], voice)) == []
