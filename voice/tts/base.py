"""The protocol of the engines that speak, and how the sentences of a text become one stream of sound."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from voice.tts.sentence_splitter import SentenceSplitter
from voice.tts.text_cleanup import speakable

if TYPE_CHECKING:
    from voice.audio.types import Samples


class TextToSpeech(Protocol):
    """A voice. Synchronous and not thread-safe: its owner calls it from one thread at a time."""

    @property
    def sample_rate(self) -> int:
        """How many of its samples are a second."""
        ...

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        """Yield the sound of a speakable sentence, piece by piece as it is made.

        Text without a letter or digit may give nothing. Abandoning the iterator stops the work. Raises `VoiceError`
        where the engine fails.
        """
        ...

    def close(self) -> None:
        """Free its memory. Calling it twice is fine."""
        ...


BREATH_SECONDS = 0.2
"""The silence between two sentences."""


@runtime_checkable
class OneLanguage(Protocol):
    """A voice that speaks one language, whatever it is given."""

    @property
    def language(self) -> str:
        """Its code, like "en"."""
        ...


def language_of(voice: TextToSpeech, otherwise: str) -> str:
    """The language that `voice` reads aloud: its own if it has only one."""
    return voice.language if isinstance(voice, OneLanguage) else otherwise


def speak(written: Iterable[str], voice: TextToSpeech, language: str = "en") -> "Iterator[Samples]":
    """The sound of a markdown text that may still be on its way, with a breath between sentences.

    `language` counts for a voice that has several. Yields nothing for a text with nothing to say. Raises `VoiceError`.
    """
    spoken = False
    for sentence in sentences(written, language_of(voice, language)):
        for samples in say(sentence, voice, after_another=spoken):
            spoken = True
            yield samples


def say(sentence: str, voice: TextToSpeech, *, after_another: bool) -> "Iterator[Samples]":
    """The sound of a speakable sentence, with a breath before it if it comes `after_another`. Raises `VoiceError`."""
    import numpy as np

    first = True
    for samples in voice.synthesize(sentence):
        if first and after_another:
            yield np.zeros(round(BREATH_SECONDS * voice.sample_rate), np.float32)
        first = False
        yield samples


def sentences(written: Iterable[str], language: str = "en") -> Iterator[str]:
    """What there is to say in a markdown text, each sentence as soon as it has arrived."""
    splitter = SentenceSplitter()
    for text in written:
        for piece in splitter.feed(text):
            if said := speakable(piece, language):
                yield said
    for piece in splitter.finish():
        if said := speakable(piece, language):
            yield said
