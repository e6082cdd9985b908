"""Listen to the user: audio in, utterances with their transcription out.

    process(samples) ─▶ UserTurnDetector ─▶ UserStartedSpeaking ─▶ on_start(utterance)
                                         ├─▶ UserPaused ─▶ transcription starts ─▶ Endpointer ─▶ silence timeout
                                         ├─▶ SpeechChunk ─▶ first part of a long utterance, transcribed by itself
                                         └─▶ UserStoppedSpeaking ─▶ on_end(utterance)

The transcription of a pause is the utterance's if the user says no more. If they do, it is cancelled and starts again
at the next pause. A transcription that fails is therefore an error only once the utterance is over.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from assistant.errors import VoiceError
from voice.stt.base import Transcript
from voice.turns.endpointing import Endpointer
from voice.turns.transcriber import Transcriber
from voice.turns.utterance import EndOfTurn, Utterance
from voice.turns.vad import (
    SpeechChunk,
    TurnEvent,
    UserPaused,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    UserTurnDetector,
)

if TYPE_CHECKING:
    from voice.audio.types import Samples


class UserTurnListener:
    """Turn microphone audio into utterances."""

    def __init__(
        self,
        detector: UserTurnDetector,
        transcriber: Transcriber,
        endpointer: Endpointer,
        tasks: asyncio.TaskGroup,
        *,
        on_start: Callable[[Utterance], None],
        on_end: Callable[[Utterance], None],
        on_words: Callable[[Utterance, Transcript], None] = lambda _, __: None,
    ) -> None:
        """Create a listener.

        Args:
            detector: Finds turns in the audio.
            transcriber: Transcribes them.
            endpointer: Decides how long a pause may last.
            tasks: Runs transcription and endpointing. A failure of the end-of-turn model is raised there.
            on_start: Receives each utterance at speech onset.
            on_end: Receives it when the turn is over. Its transcript may still be on its way.
            on_words: Receives the transcript of a pause, while the turn may go on.
        """
        self._detector = detector
        self.transcriber = transcriber
        self._endpointer = endpointer
        self._tasks = tasks
        self._on_start = on_start
        self._on_end = on_end
        self._on_words = on_words
        self._endpointing: asyncio.Task[None] | None = None
        self._count = 0
        self.utterance: Utterance | None = None
        """Utterance that the user is speaking, if they are."""

    @property
    def is_speech_likely(self) -> bool:
        """True while the user speaks, or the last frames sound as if they had started to."""
        return self.utterance is not None or self._detector.speech_onset

    def process(self, samples: "Samples") -> None:
        """Process any number of 16 kHz mono samples."""
        self._handle(self._detector.process(samples))

    def flush(self) -> None:
        """End the open utterance at the end of the audio."""
        self._handle(self._detector.flush())

    def discard(self) -> None:
        """Forget the open utterance."""
        self._detector.reset()
        if self._endpointing is not None:
            self._endpointing.cancel()
        if self.utterance is not None:
            self.utterance.cancel()
            self.utterance = None

    def start(self, *, push_to_talk: bool = False) -> None:
        """Start an utterance."""
        self._count += 1
        self.utterance = Utterance(self._count, asyncio.get_running_loop().time(), push_to_talk)
        self._on_start(self.utterance)

    def end(self, stopped: UserStoppedSpeaking) -> None:
        """End the open utterance."""
        utterance = self.utterance
        assert utterance is not None
        utterance.ended_at = utterance.speech_ended_at = asyncio.get_running_loop().time()
        if stopped.covered_by_pause and utterance.end_of_turn is not None:
            utterance.speech_ended_at = utterance.end_of_turn.paused_at - self._detector.params.pause_secs
            utterance.set_tail(stopped.samples)
        else:
            utterance.end_of_turn = None
            self._transcribe_tail(utterance, stopped.samples)
        self.utterance = None
        self._on_end(utterance)

    def _handle(self, events: list[TurnEvent]) -> None:
        for event in events:
            match event:
                case UserStartedSpeaking():
                    self.start()
                case UserPaused() if self.utterance is not None:
                    self._start_endpointing(event, self.utterance)
                case SpeechChunk(samples) if self.utterance is not None:
                    self.utterance.add_chunk(samples, self._transcribe(self.utterance, samples))
                case UserStoppedSpeaking() if self.utterance is not None:
                    self.end(event)

    def _start_endpointing(self, pause: UserPaused, utterance: Utterance) -> None:
        if self._endpointing is not None:
            self._endpointing.cancel()
        utterance.end_of_turn = EndOfTurn(asyncio.get_running_loop().time())
        self._transcribe_tail(utterance, pause.samples)
        self._endpointing = self._tasks.create_task(self._set_silence_timeout(pause, utterance))

    def _transcribe_tail(self, utterance: Utterance, samples: "Samples") -> None:
        utterance.set_tail(samples, self._transcribe(utterance, samples))

    def _transcribe(self, utterance: Utterance, samples: "Samples") -> "asyncio.Task[Transcript | VoiceError]":
        offset_seconds = utterance.chunk_seconds

        async def attempt() -> Transcript | VoiceError:
            try:
                return await self.transcriber.transcribe(samples, offset_seconds)
            except VoiceError as error:
                return error

        return self._tasks.create_task(attempt())

    async def _set_silence_timeout(self, pause: UserPaused, utterance: Utterance) -> None:
        seconds = await self._endpointer.decide(pause.samples, utterance)
        self._handle(self._detector.set_silence_timeout(pause, seconds))
        # If the turn is over now, its answer begins: to prepare its prompt first would delay that.
        if utterance is self.utterance and (transcript := utterance.known_transcript) is not None:
            self._on_words(utterance, transcript)

    def close(self) -> None:
        """End the threads of transcriber and endpointer, after what they are doing."""
        self.transcriber.close()
        self._endpointer.close()
