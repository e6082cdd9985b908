"""hibari, the bundled voice: a missing or damaged package, letters that are words as well, and long texts."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from assistant.errors import MissingExtraError, VoiceError
from assistant.settings import load
from voice.tts.hibari import MAX_PHONEMES, Hibari, folder, is_installed
from voice.tts.registry import fetch_voice, load_voice


@pytest.fixture(scope="module")
def voice() -> Iterator[Hibari]:
    loaded = Hibari.load()
    yield loaded
    loaded.close()


def phonemes(text: str, voice: Hibari) -> str:
    return " ".join(voice._phonemes(text))


def test_auto_is_the_bundled_voice_for_english() -> None:
    assert isinstance(load_voice(load({"device": "cpu"}).settings), Hibari)


def test_a_missing_package_is_an_error_that_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)
    with pytest.raises(MissingExtraError, match="run `pip install hibari-tts"):
        Hibari.load()


def test_the_voice_needs_no_download() -> None:
    assert is_installed()
    assert (folder() / "hibari.onnx").is_file()
    assert fetch_voice(load().settings) == folder()


def test_a_damaged_file_is_an_error_that_says_how_to_repair_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "voice.onnx").write_bytes(b"no model")
    monkeypatch.setattr("hibari.tts.voice_path", lambda _: str(tmp_path / "voice.onnx"))
    with pytest.raises(VoiceError, match=r"are damaged .*--force-reinstall hibari-tts"):
        Hibari.load()


def test_an_engine_that_fails_is_an_error_about_the_sentence(voice: Hibari, monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    def fail(*_: object) -> None:
        raise RuntimeException("no memory")

    monkeypatch.setattr(voice._model.sess, "run", fail, raising=False)
    with pytest.raises(VoiceError, match=r"The voice failed on 'Good morning' *: no memory"):
        list(voice.synthesize("Good morning"))


@pytest.mark.parametrize(
    "text", ["A 1 B 2 C 3", "at 9 A M or", "from A to Z", "S W 1 A, 1 A A.", "Plan A.", "a squared plus b", "A, B or C"]
)
def test_the_letter_a_is_named(text: str, voice: Hibari) -> None:
    assert "ˈA" in phonemes(text, voice)
    assert "ɐ" not in phonemes(text, voice)


@pytest.mark.parametrize("text", ["A cat sleeps.", "A 3 by 4 grid", "It is a house.", "a 5 dollar bill"])
def test_the_article_stays_an_article(text: str, voice: Hibari) -> None:
    assert "ɐ" in phonemes(text, voice)


@pytest.mark.parametrize("text", ["1" * 40, "pst hmpf grrr", "Łódź and Győr", "x" * 400, "STOP", "it's o'clock"])
def test_text_with_words_is_never_silent(text: str, voice: Hibari) -> None:
    assert sum(chunk.size for chunk in voice.synthesize(text)) > voice.sample_rate / 4


def test_no_letter_of_a_foreign_name_is_lost(voice: Hibari) -> None:
    assert phonemes("Nguyễn", voice) == phonemes("Nguyen", voice)
    assert phonemes("cafe\u0301", voice) == phonemes("café", voice)
    assert len(phonemes("Donaudampfschifffahrtsgesellschaft", voice)) > len(phonemes("Donaudampfschifffahrts", voice))


@pytest.mark.parametrize("text", ["", " ", ".", "?!…", "—", "'", "\ud800", "\x00", "😀", "你好"])
def test_text_without_words_is_silent(text: str, voice: Hibari) -> None:
    assert list(voice.synthesize(text)) == []


def test_a_long_text_is_spoken_in_pieces(voice: Hibari) -> None:
    pieces = list(voice._phonemes("many words " * 400))
    assert max(map(len, pieces)) <= MAX_PHONEMES
    assert "".join(pieces).split() == ("mˈɛni wˈɜɹdz " * 400).split()
    assert max(map(len, voice._phonemes("ninety nine " * 200 + "x" * 5000))) <= MAX_PHONEMES


def test_the_same_text_sounds_the_same_and_is_loud_enough(voice: Hibari) -> None:
    first, second = (np.concatenate(list(voice.synthesize("The cat sleeps in the sun."))) for _ in range(2))
    assert np.array_equal(first, second)
    assert 0.3 < np.abs(first).max() <= 1.0


def test_brackets_do_not_hand_phonemes_to_the_engine(voice: Hibari) -> None:
    assert "hˈI" not in phonemes("Say [cat](/hˈI/) now", voice)
