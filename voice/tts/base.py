"""The protocol of voices, and how a text becomes audio sentence by sentence."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from voice.tts.sentence_splitter import SentenceSplitter
from voice.tts.text_cleanup import spoken_text

if TYPE_CHECKING:
    from voice.audio.types import Samples

SENTENCE_GAP_SECONDS = 0.2
"""Silence between two sentences."""


class TextToSpeech(Protocol):
    """A voice. Synchronous and not thread-safe: the owner calls it from one thread at a time."""

    @property
    def sample_rate(self) -> int:
        """Sample rate of its audio in Hz."""
        ...

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        """Yield the audio of a sentence in chunks, as they are computed. Closing the iterator stops the work.

        Args:
            sentence: Text without markup, as `spoken_text` returns it. Without a letter or digit it may yield nothing.

        Raises:
            VoiceError: The engine fails.
        """
        ...

    def close(self) -> None:
        """Free the memory. May be called twice."""
        ...


@runtime_checkable
class SingleLanguageVoice(Protocol):
    """A voice that speaks one language, whatever text it is given."""

    @property
    def language(self) -> str:
        """Code of the language, such as "en"."""
        ...


def language_of(voice: TextToSpeech, default: str) -> str:
    """Return the language in which `voice` reads: its own if it has only one, else `default`."""
    return voice.language if isinstance(voice, SingleLanguageVoice) else default


def speak(text: Iterable[str], voice: TextToSpeech, language: str = "en") -> "Iterator[Samples]":
    """Synthesize a Markdown text that may still be arriving, with a gap between sentences.

    Args:
        text: The text in pieces of any length.
        voice: The voice that reads it.
        language: Code of the text's language, for a voice that speaks several.

    Yields:
        Chunks of audio; nothing if there is nothing to say.

    Raises:
        VoiceError: The voice fails.
    """
    spoken = False
    for sentence in spoken_sentences(text, language_of(voice, language)):
        for samples in speak_sentence(sentence, voice, after_another=spoken):
            spoken = True
            yield samples


def speak_sentence(sentence: str, voice: TextToSpeech, *, after_another: bool) -> "Iterator[Samples]":
    """Synthesize one sentence, with a gap before it if it comes `after_another`. Raises `VoiceError`."""
    import numpy as np

    first = True
    for samples in voice.synthesize(sentence):
        if first and after_another:
            yield np.zeros(round(SENTENCE_GAP_SECONDS * voice.sample_rate), np.float32)
        first = False
        yield samples


def spoken_sentences(text: Iterable[str], language: str = "en") -> Iterator[str]:
    """Split a Markdown text into the sentences to speak. Each is yielded as soon as it is complete.

    "They cost **$5**. See [this](http://a.b)." yields "They cost 5 dollars." and "See this."
    """
    splitter = SentenceSplitter()
    for piece in text:
        for markdown in splitter.feed(piece):
            if sentence := spoken_text(markdown, language):
                yield sentence
    for markdown in splitter.finish():
        if sentence := spoken_text(markdown, language):
            yield sentence
