"""The call log: events of a spoken conversation as JSON lines, to review a call and to see where time went.

docs/call-log.md describes the lines. If the log cannot be written, that is reported once and the conversation goes on.
"""

import math
import os
import secrets
import stat
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from assistant.atomic_files import open_private
from assistant.errors import first_line
from assistant.events import Event, Notice, UserTranscript
from assistant.messages import Image
from assistant.progress import OnNotice
from assistant.text_cleaning import to_json, valid_unicode
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
    from voice.audio_folder import AudioFolder


def new_call_id() -> str:
    """Return an id for a call: the time, and a random part that nobody can foresee."""
    return f"{datetime.now(UTC).strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


class CallLog:
    """Append events to a file at once.

    Times are event-loop times; the file has seconds since the call began.
    """

    def __init__(
        self, path: Path | None, on_notice: OnNotice, *, call: str = "", audio: "AudioFolder | None" = None
    ) -> None:
        """Open the log.

        Args:
            path: Regular file to append to; None writes no events. A new one can be read by nobody else.
            on_notice: Receives one sentence if it cannot be written.
            call: Id of the call.
            audio: Saves the audio of utterances and replies, whose names the log has; None saves none.
        """
        self._path = path
        self._on_notice = on_notice
        self._call = call or new_call_id()
        self._audio = audio
        self._started = time.monotonic()
        self._reported = False
        self._lost_lines = 0
        self._turn: int | None = None
        self._file: IO[bytes] | None = None
        if path is not None:
            try:
                self._file = _open(path)
            except (OSError, ValueError) as error:
                # A `ValueError`: there is a zero byte in the name.
                self._report(error)

    def on_event(self, event: Event | VoiceEvent) -> None:
        """Write the line of an event of the conversation, if it has one."""
        match event:
            case ReplyPaused(utterance):
                self.write("paused", utterance=utterance.number)
            case UtteranceClassified():
                self._write_utterance(event)
            case UserTranscript(_, images) if images:
                self.write("pictures shown", utterance=self._turn, pictures=[_describe(image) for image in images])
            case EmotionDetected():
                self._write_mood(event)
            case SpeechStarted(utterance):
                self.write("speaking", utterance=utterance.number)
            case SpeechFailed(error):
                self.write("voice failed", reason=str(error))
            case ReplyEnded():
                self._write_reply(event)
            case Notice(text):
                self.write("notice", text=text)

    def write(self, event: str, **fields: Any) -> None:
        """Append a line. Fields whose names end in "ed_at" are event-loop times."""
        if self._file is None:
            return
        try:
            if self._lost_lines:
                self._append("lost", {"lines": self._lost_lines})
                self._lost_lines = 0
            self._append(event, fields)
        except OSError as error:
            self._lost_lines += 1
            if not self._reported:
                self._report(error)

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._file is not None:
            # Unbuffered: nothing is left to be written that could fail.
            self._file.close()
            self._file = None

    def _append(self, event: str, fields: Mapping[str, Any]) -> None:
        assert self._file is not None
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "call": self._call, "at": self._since_start(time.monotonic()), "event": event}
        line |= {
            name: self._since_start(value) if name.endswith("ed_at") else _plain(value)
            for name, value in fields.items()
        }
        _append(self._file.fileno(), _encode(line))

    def _report(self, error: OSError | ValueError) -> None:
        self._reported = True
        self._on_notice(
            f"The log {self._path} cannot be written ({first_line(error)}): the conversation goes on without it."
        )

    def _write_mood(self, event: EmotionDetected) -> None:
        emotion = event.emotion
        parts = {name: {"label": label, "confidence": value} for name, (label, value) in emotion.parts.items()}
        self.write(
            "mood",
            utterance=event.utterance.number,
            label=emotion.label,
            confidence=emotion.confidence,
            parts=parts,
            instructions=emotion.instructions or None,
        )

    def _write_utterance(self, event: UtteranceClassified) -> None:
        utterance = event.utterance
        end_of_turn = utterance.end_of_turn
        if event.decision == "turn":
            self._turn = utterance.number
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
            audio=None if self._audio is None else self._audio.save_utterance(utterance.number, utterance.samples),
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
            audio=None if self._audio is None else self._audio.save_reply(event.utterance.number),
        )

    def _since_start(self, at: float | None) -> float | None:
        return None if at is None else round(at - self._started, 3)


def _open(path: Path) -> IO[bytes]:
    """Open `path` to append to it. Raises `OSError` if it is no regular file: writing to a pipe might never return."""
    try:
        is_new, is_regular = False, stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        is_new = is_regular = True
    if not is_regular:
        raise OSError("it is no regular file")
    # Unbuffered: a line is there in full once it has been written, also after a crash.
    file = open_private(path, append=True)
    if not is_new and not _ends_with_a_line(path):
        # A crash or another program has left half a line; it stays alone.
        file.write(b"\n")
    return file


def _ends_with_a_line(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.seek(0, os.SEEK_END) == 0 or (file.seek(-1, os.SEEK_END) >= 0 and file.read() == b"\n")
    except OSError:
        # It may be written and not read.
        return True


def _append(descriptor: int, line: bytes) -> None:
    """Append a line, or nothing of it. Raises `OSError`."""
    written = os.write(descriptor, line)
    if written < len(line):
        # The disk is full. Half a line would spoil the next one.
        size = os.fstat(descriptor).st_size
        os.ftruncate(descriptor, size - written)
        raise OSError("the disk is full")


def _encode(line: Mapping[str, Any]) -> bytes:
    return (to_json(line) + "\n").encode()


def _plain(value: Any) -> Any:
    """Return a value that JSON has: floats rounded, text without surrogates."""
    match value:
        case float():
            return round(value, 3) if math.isfinite(value) else None
        case str():
            return valid_unicode(value)
        case Mapping():
            return {str(_plain(key)): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
    return value


def _describe(image: Image) -> dict[str, Any]:
    return {
        "name": image.name,
        "sha256": image.digest,
        "media_type": image.media_type,
        "width": image.width,
        "height": image.height,
        "bytes": len(image.data),
    }
