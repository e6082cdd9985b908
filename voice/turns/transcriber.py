"""Speech to text on a thread of its own, in the language of the conversation."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from voice.stt.base import MIN_LANGUAGE_PROBABILITY, SpeechToText, Transcript, shift_segment

if TYPE_CHECKING:
    from voice.audio.types import Samples


class Transcriber:
    """Transcribe audio one piece after the other."""

    def __init__(self, stt: SpeechToText, language: str | None = None) -> None:
        """Create a transcriber.

        Args:
            stt: Called on one thread.
            language: Code of the spoken language; None detects it until `keep_language` is sure.
        """
        self.language = language
        self._stt = stt
        self._executor = ThreadPoolExecutor(1, "stt")

    async def transcribe(self, samples: "Samples", offset_seconds: float = 0.0) -> Transcript:
        """Transcribe 16 kHz mono samples; segment times are later by `offset_seconds`. Raises `VoiceError`."""
        loop = asyncio.get_running_loop()
        transcript = await loop.run_in_executor(self._executor, self._stt.transcribe, samples, self.language)
        segments = tuple(shift_segment(segment, offset_seconds) for segment in transcript.segments)
        return replace(transcript, segments=segments)

    def keep_language(self, transcript: Transcript) -> None:
        """Use the language of `transcript` from now on, if none is set and the detection was sure."""
        if transcript.language_probability >= MIN_LANGUAGE_PROBABILITY:
            self.language = self.language or transcript.language

    def close(self) -> None:
        """Wait for the transcription in progress and end the thread."""
        self._executor.shutdown()
