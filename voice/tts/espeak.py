"""espeak-ng: a robotic but clear voice in many languages, the last resort. Most systems have a package of it."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from assistant.errors import ConfigError, MissingExtraError, VoiceError, first_line
from assistant.languages import suggest
from assistant.text_language import scripts_of_language
from voice.tts.engine import VoiceEngine, is_english
from voice.tts.voice_languages import ESPEAK_LANGUAGES

if TYPE_CHECKING:
    from assistant.progress import Progress
    from assistant.settings import Settings
    from voice.audio.types import Samples

PROGRAM = "espeak-ng"
_SAMPLE_RATE = 22_050

_WAV_HEADER_BYTES = 44
_CHUNK_BYTES = 8192


class Espeak:
    """espeak-ng with one of its voices, such as "en-us" or "de". Implements `TextToSpeech`."""

    sample_rate = _SAMPLE_RATE

    def __init__(self, program: str, voice: str) -> None:
        self.language = language_code(voice)
        self.scripts = readable_scripts(self.language)
        self._command = [program, "-v", voice, "--stdin", "--stdout"]

    @classmethod
    def load(cls, voice: str = "en-us") -> "Espeak":
        """Find the program, and check that it has the voice.

        Raises:
            MissingExtraError: The program is not installed.
            ConfigError: It has no such voice.
            VoiceError: It cannot be run.
        """
        program = shutil.which(PROGRAM)
        if program is None:
            raise MissingExtraError(
                "The program espeak-ng is needed and was not found: install it (`apt install espeak-ng`, "
                "`brew install espeak-ng`), or choose --voice hibari, which speaks English."
            )
        result = _run(program, "-v", voice, "-q", "--stdin")
        if result.returncode != 0 or b"does not exist" in result.stderr:
            # The language is the second column of the table, whose first line is a heading.
            rows = _run(program, "--voices").stdout.decode(errors="replace").splitlines()[1:]
            codes = dict.fromkeys(row.split()[1] for row in rows if len(row.split()) > 1)
            if not codes:
                raise VoiceError(f"espeak-ng cannot speak with the voice {voice!r} or any other: install it again.")
            raise ConfigError(f"espeak-ng has no voice {voice!r}: {suggest(voice, codes)}")
        return cls(program, voice)

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        import numpy as np

        try:
            started = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise _cannot_run(error) from error
        with started as process:
            assert process.stdin is not None
            assert process.stdout is not None
            # A long sentence and its audio each exceed a pipe's buffer: a thread writes while this one reads.
            writer = threading.Thread(
                target=_write, args=(process.stdin, sentence.replace("\0", " ").encode(errors="replace")), daemon=True
            )
            writer.start()
            try:
                process.stdout.read(_WAV_HEADER_BYTES)
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
        """Do nothing: nothing is held between sentences."""


def _run(program: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run([program, *arguments], input=b"", capture_output=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _cannot_run(error) from error


def _cannot_run(error: OSError | subprocess.TimeoutExpired) -> VoiceError:
    reason = "it does not answer" if isinstance(error, subprocess.TimeoutExpired) else first_line(error)
    return VoiceError(f"The program espeak-ng cannot be run ({reason}): install it again, or choose --voice hibari.")


def _write(stream: IO[bytes], data: bytes) -> None:
    try:
        with stream:
            stream.write(data)
    except BrokenPipeError:
        # The program ended before it had read everything; its exit code says why.
        pass


def language_code(voice: str) -> str:
    """Return the language of one of espeak's voices: "en" for "en-us" and for "en+f3"."""
    code = re.split(r"[-+_]", voice.rpartition("/")[2].lower())[0]
    return {"cmn": "zh", "nb": "no"}.get(code, code)


def readable_scripts(language: str) -> frozenset[str]:
    """Return the scripts beside Latin that espeak reads in a language.

    Its Japanese knows no kanji ("Chinese letter"), and its Chinese reads the names of tones in many builds.
    """
    return scripts_of_language(language) - {"CJK"} if language in ("ja", "zh", "ko") else scripts_of_language(language)


def _load(argument: str, settings: "Settings", _progress: "Progress") -> Espeak:
    return Espeak.load(argument or ("en-us" if is_english(settings) else settings.language))


ENGINE = VoiceEngine(
    kind="espeak",
    usage=("espeak", "espeak:de"),
    load=_load,
    is_installed=lambda: shutil.which(PROGRAM) is not None,
    argument="optional",
    languages=ESPEAK_LANGUAGES,
)
