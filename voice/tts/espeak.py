"""espeak-ng speaks: the last resort, a program that most systems have a package of. Clear, and a robot."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from assistant.errors import MissingExtraError, VoiceError
from assistant.languages import suggest

if TYPE_CHECKING:
    from voice.audio.types import Samples

PROGRAM = "espeak-ng"
SAMPLE_RATE = 22_050

_HEADER_BYTES = 44
_CHUNK_BYTES = 8192


class Espeak:
    """espeak-ng with one of its voices, like "en-us" or "de". Keeps the promises of `TextToSpeech`."""

    sample_rate = SAMPLE_RATE

    def __init__(self, program: str, voice: str) -> None:
        self.language = language_code(voice)
        self._command = [program, "-v", voice, "--stdin", "--stdout"]

    @classmethod
    def load(cls, voice: str = "en-us") -> "Espeak":
        """Raises `MissingExtraError` without the program, and `VoiceError` for a voice it does not have."""
        program = shutil.which(PROGRAM)
        if program is None:
            raise MissingExtraError(
                "The program espeak-ng is needed and was not found: install it (`apt install espeak-ng`, "
                "`brew install espeak-ng`), or `pip install 'parley-assistant[voice]'` for a better voice."
            )
        asked = _run(program, "-v", voice, "-q", "--stdin")
        if asked.returncode != 0 or b"does not exist" in asked.stderr:
            # The second column, below its heading.
            listed = _run(program, "--voices").stdout.decode(errors="replace").splitlines()[1:]
            codes = dict.fromkeys(line.split()[1] for line in listed if len(line.split()) > 1)
            raise VoiceError(
                f"espeak-ng has no voice {voice!r}: {suggest(voice, codes)}"
                if codes
                else f"espeak-ng cannot speak with the voice {voice!r} or any other: install it again."
            )
        return cls(program, voice)

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        import numpy as np

        try:
            started = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise _unusable(error) from error
        with started as process:
            assert process.stdin is not None
            assert process.stdout is not None
            # A long sentence and its sound are each more than a pipe holds: one thread writes while this one reads.
            writer = threading.Thread(target=_write, args=(process.stdin, sentence.encode()), daemon=True)
            writer.start()
            try:
                process.stdout.read(_HEADER_BYTES)
                while data := process.stdout.read(_CHUNK_BYTES):
                    yield np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / np.float32(32768)
            except GeneratorExit:
                process.kill()
                raise
            finally:
                writer.join()
        if process.returncode != 0:
            ended = "was killed" if process.returncode < 0 else f"stopped with exit code {process.returncode}"
            raise VoiceError(f"espeak-ng {ended} while it spoke: try `espeak-ng hello` by itself.")

    def close(self) -> None:
        """Nothing is held between sentences."""


def _run(program: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run([program, *arguments], input=b"", capture_output=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unusable(error) from error


def _unusable(error: OSError | subprocess.TimeoutExpired) -> VoiceError:
    why = "it does not answer" if isinstance(error, subprocess.TimeoutExpired) else error.strerror
    return VoiceError(f"The program espeak-ng cannot be run ({why}): install it again, or choose --voice piper.")


def _write(stream: IO[bytes], data: bytes) -> None:
    try:
        with stream:
            stream.write(data)
    except BrokenPipeError:
        # It ended before it had read all, and says so with its exit code.
        pass


def language_code(voice: str) -> str:
    """The language of one of its voices: "en" for "en-us" and for "en+f3"."""
    return re.split(r"[-+_]", voice.lower())[0]
