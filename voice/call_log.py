"""The call log: events of a spoken conversation as JSON lines, to review a call and to see where time went.

docs/call-log.md describes the lines. If the log cannot be written, that is reported once and the conversation goes on.
"""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from assistant.errors import VoiceError
from assistant.events import Event
from assistant.progress import OnNotice
from voice.audio.types import SAMPLE_RATE
from voice.audio.wav import WavFile
from voice.events import (
    EmotionDetected,
    ReplyEnded,
    ReplyPaused,
    SpeechFailed,
    SpeechStarted,
    UtteranceClassified,
    VoiceEvent,
)

if TYPE_CHECKING:
    from voice.audio.types import Samples


class CallLog:
    """Append events to a file at once, and save utterances as WAV files.

    Times are event-loop times; the file has seconds since the call began.
    """

    def __init__(self, path: Path | None, audio_dir: Path | None, on_notice: OnNotice) -> None:
        """Open the log.

        Args:
            path: File to append to; None writes no events.
            audio_dir: Folder for WAV files, created when needed; None saves no audio.
            on_notice: Receives one sentence for each of the two that cannot be written.
        """
        self._path = path
        self._audio_dir = audio_dir
        self._on_notice = on_notice
        self._started = time.monotonic()
        self._call = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        self._file: IO[bytes] | None = None
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                # Unbuffered: a line is there in full once it has been written, also after a crash.
                self._file = path.open("ab", buffering=0)
            except OSError as error:
                self._give_up(path, error)

    def on_event(self, event: Event | VoiceEvent) -> None:
        """Write the line of an event of the conversation, if it has one."""
        match event:
            case ReplyPaused(utterance):
                self.write("paused", utterance=utterance.number)
            case UtteranceClassified():
                self._write_utterance(event)
            case EmotionDetected(utterance, emotion):
                parts = {
                    name: {"label": label, "confidence": round(confidence, 3)}
                    for name, (label, confidence) in emotion.parts.items()
                }
                self.write(
                    "mood",
                    utterance=utterance.number,
                    label=emotion.label,
                    confidence=emotion.confidence,
                    parts=parts,
                    instructions=emotion.instructions or None,
                )
            case SpeechStarted(utterance):
                self.write("speaking", utterance=utterance.number)
            case SpeechFailed(error):
                self.write("voice failed", reason=str(error))
            case ReplyEnded():
                self._write_reply(event)

    def write(self, event: str, **fields: Any) -> None:
        """Append a line. Fields whose names end in "ed_at" are event-loop times."""
        if self._file is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "call": self._call, "at": self._since_start(time.monotonic()), "event": event}
        line |= {
            name: self._since_start(value) if name.endswith("ed_at") else _rounded(value)
            for name, value in fields.items()
        }
        try:
            self._file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            assert self._path is not None
            self._give_up(self._path, error)

    @property
    def saves_audio(self) -> bool:
        """True while utterances are saved: asked for, and none has failed."""
        return self._audio_dir is not None

    def save_audio(self, number: int, samples: "Samples") -> str | None:
        """Save the audio of an utterance. Returns the name of the file, or None if none is saved."""
        if self._audio_dir is None:
            return None
        path = self._audio_dir / f"{self._call}-{number:04}.wav"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with WavFile(path, SAMPLE_RATE) as file:
                file.write(samples)
        except (OSError, VoiceError) as error:
            self._audio_dir = None
            reason = error.strerror if isinstance(error, OSError) else error
            self._on_notice(
                f"Audio cannot be saved in {path.parent} ({reason}): the conversation goes on without saving it."
            )
            return None
        return path.name

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._file is not None:
            # Unbuffered: nothing is left to be written that could fail.
            self._file.close()
            self._file = None

    def _write_utterance(self, event: UtteranceClassified) -> None:
        utterance = event.utterance
        end_of_turn = utterance.end_of_turn
        self.write(
            "heard",
            utterance=utterance.number,
            decision=event.decision,
            text=event.transcript.text.strip(),
            language=event.transcript.language,
            pushed=utterance.push_to_talk,
            over_reply=utterance.over_reply,
            started_at=utterance.started_at,
            speech_ended_at=utterance.speech_ended_at,
            done=None if end_of_turn is None else end_of_turn.completion_probability,
            patience_seconds=None if end_of_turn is None else end_of_turn.silence_timeout,
            waited_seconds=utterance.ended_at - utterance.speech_ended_at,
            words_seconds=event.at - utterance.speech_ended_at,
            audio=self.save_audio(utterance.number, utterance.samples) if self.saves_audio else None,
        )

    def _write_reply(self, event: ReplyEnded) -> None:
        reply, kept = event.reply, event.kept
        speech_ended_at = event.utterance.speech_ended_at
        self.write(
            "reply",
            utterance=event.utterance.number,
            text=reply.text,
            kept="" if kept is None else kept.text,
            interrupted=kept is not None and kept.interrupted,
            spoken=reply.is_audible,
            failure=event.failure,
            first_token_seconds=None if reply.first_text_at is None else reply.first_text_at - speech_ended_at,
            first_audio_seconds=None if reply.first_audio_at is None else reply.first_audio_at - speech_ended_at,
            ended_at=reply.ended_at,
        )

    def _since_start(self, at: float | None) -> float | None:
        return None if at is None else round(at - self._started, 3)

    def _give_up(self, path: Path, error: OSError) -> None:
        self.close()
        self._on_notice(f"The log {path} cannot be written ({error.strerror}): the conversation goes on without it.")


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value
