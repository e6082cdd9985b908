"""Text to speech on a thread of its own."""

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from assistant.async_bridge import ThreadStream, stream_in_thread
from voice.tts.base import TextToSpeech, speak_sentence
from voice.tts.readable import language_of

if TYPE_CHECKING:
    from voice.audio.types import Samples


class SpeechSynthesizer:
    """Synthesize sentences, one after the other."""

    def __init__(self, tts: TextToSpeech) -> None:
        self._tts = tts
        self._executor = ThreadPoolExecutor(1, "tts")

    @property
    def sample_rate(self) -> int:
        """Sample rate of the voice in Hz."""
        return self._tts.sample_rate

    def language_of(self, language: str) -> str:
        """Return the code of the language in which a reply in `language` is read: a voice may know only one."""
        return language_of(self._tts, language)

    def stream(
        self, sentence: str, *, after_another: bool
    ) -> "AbstractAsyncContextManager[ThreadStream[Samples, None]]":
        """Stream the audio of a sentence of plain words; leaving the block stops the synthesis.

        Iterating the stream raises `VoiceError` if the engine fails.

        Args:
            sentence: Result of `spoken_text`.
            after_another: Whether to start with the gap between two sentences.
        """

        def synthesize(stop: threading.Event) -> "Generator[Samples, None, None]":
            for samples in speak_sentence(sentence, self._tts, after_another=after_another):
                if stop.is_set():
                    return
                yield samples

        return stream_in_thread(self._executor, synthesize)

    def close(self) -> None:
        """Wait for the synthesis in progress and end the thread."""
        self._executor.shutdown()
