"""One utterance of the user: its audio, its transcription, and when things happened."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from assistant.errors import VoiceError
from voice.audio.types import SAMPLE_RATE
from voice.stt.base import Transcript, join_transcripts

if TYPE_CHECKING:
    from voice.audio.types import Samples


class SpokenText(Protocol):
    """A reply that is, or was, spoken: `voice.spoken_reply.SpokenReply`."""

    @property
    def spoken_text(self) -> str:
        """Everything given to the voice so far."""
        ...


@dataclass
class EndOfTurn:
    """Judgement of the last pause, which ended the turn; times are event-loop times in seconds.

    Attributes:
        paused_at: Time of the `UserPaused` event.
        completion_probability: Result of the end-of-turn model; None without a model, and until it is known.
        silence_timeout: Seconds of silence that were to end the turn; None until they are decided.
    """

    paused_at: float
    completion_probability: float | None = None
    silence_timeout: float | None = None


@dataclass(eq=False)
class Utterance:
    """Speech of the user in one turn, from its onset on; times are event-loop times in seconds.

    Attributes:
        number: Counts the utterances of a conversation, from 1.
        started_at: Time of speech onset.
        push_to_talk: Whether a key said when it started and ended.
        interrupted_reply: Reply whose sound may be in the audio: one being spoken at the onset, or just before.
        over_reply: Whether a reply was in progress at the onset.
        keep_audio: Whether `samples` is needed. If not, chunks are dropped: an hour of television takes 230 MB.
        end_of_turn: Judgement of the last pause; None if the user spoke on until the end.
        speech_ended_at: Time at which the speech ended, before the silence that ended the turn.
        ended_at: Time at which the turn ended.
        chunk_seconds: Duration of the chunks, at which the tail starts.
    """

    number: int
    started_at: float
    push_to_talk: bool = False
    interrupted_reply: SpokenText | None = None
    over_reply: bool = False
    keep_audio: bool = True
    end_of_turn: EndOfTurn | None = None
    speech_ended_at: float = 0.0
    ended_at: float = 0.0
    chunk_seconds: float = 0.0
    # Chunks of a long utterance are final. The tail after them is replaced at each pause.
    _chunks: "list[_Piece]" = field(default_factory=list)
    _tail: "_Piece | None" = None

    @property
    def samples(self) -> "Samples":
        """All audio so far: 16 kHz mono. Without `keep_audio`, that after the last chunk."""
        import numpy as np

        return np.concatenate([np.zeros(0, np.float32), *(piece.samples for piece in self._pieces)])

    @property
    def _pieces(self) -> "list[_Piece]":
        return [*self._chunks, *([self._tail] if self._tail is not None else [])]

    def add_chunk(self, samples: "Samples", transcription: "asyncio.Task[Transcript | VoiceError]") -> None:
        """Append final audio. It replaces the tail, which is a part of it."""
        self._drop_tail()
        self.chunk_seconds += samples.size / SAMPLE_RATE
        # A copy: a view would keep all of it in memory.
        self._chunks.append(_Piece(samples if self.keep_audio else samples[:0].copy(), transcription))

    def set_tail(
        self, samples: "Samples", transcription: "asyncio.Task[Transcript | VoiceError] | None" = None
    ) -> None:
        """Replace the audio after the last chunk. Without a new `transcription`, that of the old tail still holds."""
        if transcription is None:
            assert self._tail is not None
            transcription = self._tail.transcription
        else:
            self._drop_tail()
        self._tail = _Piece(samples, transcription)

    def cancel(self) -> None:
        """Cancel all transcriptions."""
        for piece in self._pieces:
            piece.transcription.cancel()

    def _drop_tail(self) -> None:
        if self._tail is not None:
            self._tail.transcription.cancel()
            self._tail = None

    @property
    def known_transcript(self) -> Transcript | None:
        """The transcript, if all transcriptions have succeeded."""
        results = [piece.transcription.result() for piece in self._pieces if _has_result(piece.transcription)]
        transcripts = [result for result in results if isinstance(result, Transcript)]
        return join_transcripts(transcripts) if transcripts and len(transcripts) == len(self._pieces) else None

    async def transcript(self) -> Transcript:
        """Wait for the transcriptions and join them. Raises `VoiceError` if one failed.

        Raises `CancelledError` if one was cancelled. Cancelling this leaves the transcriptions alone: others wait for
        them as well.
        """
        transcriptions = [piece.transcription for piece in self._pieces]
        await asyncio.wait(transcriptions)
        transcripts: list[Transcript] = []
        for transcription in transcriptions:
            result = transcription.result()
            if isinstance(result, VoiceError):
                raise result
            transcripts.append(result)
        return join_transcripts(transcripts)


def _has_result(task: "asyncio.Task[Transcript | VoiceError]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


class _Piece(NamedTuple):
    samples: "Samples"
    transcription: "asyncio.Task[Transcript | VoiceError]"
