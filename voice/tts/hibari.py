"""hibari: the bundled English voice, a hundred times faster than real time on one core.

`hibari-tts` (Apache-2.0) contains the voice, a lexicon and its own phonemes; it needs numpy and onnxruntime only.
"""

import importlib.util
import re
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import MissingExtraError, VoiceError, first_line
from assistant.progress import Progress
from voice.tts.engine import VoiceEngine, onnx_error_types
from voice.tts.voice_languages import HIBARI_LANGUAGES

if TYPE_CHECKING:
    from assistant.settings import Settings
    from voice.audio.types import Samples

THREADS = 1
"""Threads of onnxruntime. On a busy machine a second one doubles the processor time, from 10 to 20 ms for a second of
audio, and the wait; on an idle one nobody would hear what it saves."""

MAX_PHONEMES = 300
"""Longest piece that is synthesized at once, about 18 s of speech; 2400 phonemes would take 0.8 GB and 4 s."""

# As loud as Piper's voices: speech at -18.8 dBFS against -17.9; the peaks of 24 sentences reach 0.81.
_GAIN = 2.0
_HOW_TO_INSTALL = (
    "The bundled voice needs the package hibari-tts: run `pip install hibari-tts==0.2.1`, or choose --voice espeak."
)
# [word](/phonemes/) is how hibari is told the phonemes of a word.
_BRACKETS = re.compile(r"[\[\]]+")
# Of a longer word it would say the beginning.
_LONG_WORD = re.compile(r"([^\W\d_]{24})(?=[^\W\d_])")
_LONG_NUMBER = re.compile(r"\d{13,}")
# The letter, where hibari would say the article: "A 1 B 2", "9 A M", "from A to Z", "plan A."
_SPELLED_A = re.compile(
    r"\b(?:(?<=\b[A-Z\d] )A|(?<=\b[A-Z\d], )A"
    r"|A(?=,? (?:\d+,? )?[A-Z]\b|(?:[.,;:!?)]|$)(?!\w)| (?:to|or|and|plus|equals) [A-Z]\b)"
    r"|a(?= (?:squared|cubed|plus|minus|equals|times|over|underscore|at most|at least|less than|greater than)\b))"
    r"(?![\w'’])"
)


class Hibari:
    """The voice of hibari-tts. Implements `TextToSpeech`."""

    language = "en"

    def __init__(self, model: Any) -> None:
        self._model: Any = model
        self.sample_rate: int = model.sample_rate
        self._letters = frozenset(model.g2p.oov.cin)
        """Letters that it knows within a word it does not."""

    @classmethod
    def load(cls) -> "Hibari":
        """Load the voice, and speak once: the first sentence takes ten times as long as the next.

        Raises:
            MissingExtraError: hibari-tts is not installed.
            VoiceError: Its files are damaged.
        """
        try:
            import hibari

            voice = cls(hibari.Hibari(threads=THREADS))
            # An unknown word loads the model that guesses its sounds.
            for _ in voice._pieces("Hello, Xyvonia."):
                pass
        except ImportError as error:
            raise MissingExtraError(_HOW_TO_INSTALL) from error
        except _error_types() as error:
            raise VoiceError(
                f"The files of hibari-tts are damaged ({first_line(error)}): run `pip install --force-reinstall "
                "hibari-tts==0.2.1`."
            ) from error
        return voice

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        try:
            yield from self._pieces(sentence)
        except _error_types() as error:
            raise VoiceError(f"The voice failed on {sentence[:40]!r}: {first_line(error)}.") from error

    def _pieces(self, sentence: str) -> "Iterator[Samples]":
        import numpy as np

        assert self._model is not None, "closed"
        for phonemes in self._phonemes(sentence):
            # The same text always sounds the same: the noise in it has a seed.
            yield np.clip(np.float32(_GAIN) * self._model.from_phonemes(phonemes, seed=0), -1.0, 1.0)

    def _phonemes(self, sentence: str) -> Iterator[str]:
        """Yield the phonemes of a sentence in pieces that are short enough."""
        text = _BRACKETS.sub(" ", unicodedata.normalize("NFC", sentence))
        # "Nguyễn" is "Nguyen" rather than "Nguyn".
        text = "".join(each if each.isascii() or each in self._letters else _base_letter(each) for each in text)
        text = _SPELLED_A.sub("[A](/ˈA/)", text)
        # Its table of number words ends at 10^36.
        text = _LONG_NUMBER.sub(lambda match: " ".join(match[0]), text)
        for phonemes in self._model.phonemize(_LONG_WORD.sub(r"\1 ", text)):
            rest = phonemes
            while len(rest) > MAX_PHONEMES:
                end = rest.rfind(" ", 1, MAX_PHONEMES) + 1 or MAX_PHONEMES
                yield rest[:end]
                rest = rest[end:]
            # What has no letter is a pause, which the caller makes.
            if any(map(str.isalpha, rest)):
                yield rest

    def close(self) -> None:
        self._model = None


def _base_letter(character: str) -> str:
    """Return a Latin letter without its accents, and any other character as it is."""
    base = unicodedata.normalize("NFKD", character)[0]
    return base if base.isascii() and base.isalpha() else character


def _error_types() -> tuple[type[Exception], ...]:
    """Return what onnxruntime and hibari raise for damaged files, and for a text that its rules do not foresee."""
    return (*onnx_error_types(), OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, zlib.error)


def is_installed() -> bool:
    """Tell whether hibari-tts is installed, without importing it."""
    return importlib.util.find_spec("hibari") is not None


def folder() -> Path:
    """Return the folder of the voice's files. Raises `MissingExtraError` if hibari-tts is not installed."""
    spec = importlib.util.find_spec("hibari")
    if spec is None or spec.origin is None:
        raise MissingExtraError(_HOW_TO_INSTALL)
    return Path(spec.origin).with_name("assets")


def _load(_argument: str, _settings: "Settings", _progress: Progress) -> Hibari:
    return Hibari.load()


ENGINE = VoiceEngine(
    kind="hibari",
    usage=("hibari (the bundled one)",),
    load=_load,
    is_installed=is_installed,
    languages=HIBARI_LANGUAGES,
)
