"""The folder in which the utterances and replies of a call are saved, each as a WAV file."""

from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import first_line
from assistant.progress import OnNotice
from voice.audio.types import SAMPLE_RATE
from voice.recordings import RecordingOutput, write_wav

if TYPE_CHECKING:
    from voice.audio.types import Samples


class AudioFolder:
    """Saves what the user said and what was heard of the replies, until that fails."""

    def __init__(self, folder: Path, call: str, output: RecordingOutput, output_rate: int, on_notice: OnNotice) -> None:
        """Create a folder's keeper; the folder is made with the first file.

        Args:
            folder: For the WAV files.
            call: Id of the call, with which their names begin.
            output: Has what was heard of the last reply.
            output_rate: Sample rate of its audio in Hz.
            on_notice: Receives one sentence if a file cannot be written.
        """
        self._folder = folder
        self._call = call
        self._output = output
        self._output_rate = output_rate
        self._on_notice = on_notice
        self._failed = False

    def save_utterance(self, number: int, samples: "Samples") -> str | None:
        """Save the audio of an utterance. Returns the name of the file, or None if none is saved."""
        return self._save(f"{self._call}-{number:04}.wav", samples, SAMPLE_RATE)

    def save_reply(self, number: int) -> str | None:
        """Save what was heard of the reply to utterance `number`, if anything. Returns the name of the file or None."""
        heard = self._output.take_heard()
        return self._save(f"{self._call}-{number:04}-reply.wav", heard, self._output_rate) if heard.size else None

    def _save(self, name: str, samples: "Samples", sample_rate: int) -> str | None:
        if self._failed:
            return None
        try:
            write_wav(self._folder / name, samples, sample_rate)
        except (OSError, ValueError) as error:
            self._failed = True
            self._on_notice(
                f"Audio cannot be saved in {self._folder} ({first_line(error)}): the conversation goes on without "
                "saving it."
            )
            return None
        return name
