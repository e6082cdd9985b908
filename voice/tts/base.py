"""The protocol of voices, and how a text becomes audio sentence by sentence."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from assistant.progress import OnNotice, no_notice
from assistant.text_cleaning import clean_line
from voice.tts.readable import UnreadableTextError, language_of, left_out, readable_text
from voice.tts.sentence_splitter import SentenceSplitter
from voice.tts.text_cleanup import spoken_text

if TYPE_CHECKING:
    from voice.audio.types import Samples

__all__ = [
    "SENTENCE_GAP_SECONDS",
    "TextToSpeech",
    "language_of",
    "speak",
    "speak_sentence",
    "spoken_sentences",
]

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
            sentence: Text without markup and control characters, as `spoken_text` returns it. Without a letter or
                digit it may yield nothing.

        Raises:
            VoiceError: The engine fails.
        """
        ...

    def close(self) -> None:
        """Free the memory. May be called twice."""
        ...


def speak(
    text: Iterable[str],
    voice: TextToSpeech,
    language: str = "en",
    *,
    text_language: str = "",
    on_notice: OnNotice = no_notice,
) -> "Iterator[Samples]":
    """Synthesize a Markdown text that may still be arriving, with a gap between sentences.

    Args:
        text: The text in pieces of any length.
        voice: The voice that reads it.
        language: Code of the language in which a voice that speaks several reads.
        text_language: Code of the language of the text, if it is known; "" guesses it for each sentence.
        on_notice: Receives at the end what was left out, as the voice cannot read it.

    Yields:
        Chunks of audio; nothing if there is nothing to say.

    Raises:
        VoiceError: The voice fails, or can read nothing of the text.
    """
    spoken = False
    failure: UnreadableTextError | None = None
    omitted: list[str] = []
    for sentence in spoken_sentences(text, language_of(voice, language)):
        try:
            omitted += left_out(sentence, readable_text(sentence, voice, text_language))
            for samples in speak_sentence(sentence, voice, after_another=spoken, text_language=text_language):
                spoken = True
                yield samples
        except UnreadableTextError as error:
            failure = failure or error
    if failure is not None:
        if not spoken:
            raise failure
        on_notice(f"{failure} That was left out.")
    if omitted:
        on_notice(f"This voice cannot read some words, which were left out: {clean_line(' '.join(omitted), 80)}.")


def speak_sentence(
    sentence: str, voice: TextToSpeech, *, after_another: bool, text_language: str = ""
) -> "Iterator[Samples]":
    """Synthesize one sentence, with a gap before it if it comes `after_another`.

    Raises:
        UnreadableTextError: It is in a language or script that the voice does not speak.
        VoiceError: The voice fails.
    """
    import numpy as np

    first = True
    for samples in voice.synthesize(readable_text(sentence, voice, text_language)):
        if first and after_another:
            yield np.zeros(round(SENTENCE_GAP_SECONDS * voice.sample_rate), np.float32)
        first = False
        yield samples


def spoken_sentences(text: Iterable[str], language: str = "en") -> Iterator[str]:
    """Split a Markdown text into the sentences to speak. Each is yielded as soon as it is complete.

    "They cost **$5**. See [this](http://a.b)." yields "They cost 5 dollars." and "See this."
    """
    splitter = SentenceSplitter(language)
    for piece in text:
        for markdown in splitter.feed(piece):
            if sentence := spoken_text(markdown, language):
                yield sentence
    for markdown in splitter.finish():
        if sentence := spoken_text(markdown, language):
            yield sentence
