"""Descriptions of the voice engines: how their voices are named, what they need, and how one is loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assistant.atomic_files import make_private_folder, write_atomically
from assistant.errors import VoiceError, first_line

if TYPE_CHECKING:
    from assistant.progress import Progress
    from assistant.settings import Settings
    from voice.tts.base import TextToSpeech


@dataclass(frozen=True)
class License:
    """Terms that a person has to accept before a voice speaks.

    Attributes:
        text: The terms in one sentence, with the address of the full text.
        setting: Boolean setting that accepts them.
        accepted_file: File in the data folder that records the acceptance.
        how_to_accept: End of the error message for a license that is not accepted.
    """

    text: str
    setting: str
    accepted_file: str
    how_to_accept: str

    def is_accepted(self, settings: "Settings") -> bool:
        """Tell whether the license is accepted by a setting or was accepted on this machine before."""
        return bool(getattr(settings, self.setting)) or (settings.data_dir / self.accepted_file).is_file()

    def accept(self, data_dir: Path) -> None:
        """Record the acceptance. Raises `VoiceError` if it cannot be written."""
        file = data_dir / self.accepted_file
        try:
            make_private_folder(data_dir)
            write_atomically(file, f"{self.text}\n".encode())
        except OSError as error:
            raise VoiceError(f"{file} cannot be written: {first_line(error)}.") from error


@dataclass(frozen=True)
class VoiceEngine:
    """A kind of voice. Its names are `kind`, `kind:argument`, or end with `suffix`.

    Attributes:
        kind: Name of the engine in voice names.
        usage: Forms of its voice names, for error messages.
        load: Load the voice that the argument selects, "" if there is none: (argument, settings, progress).
        is_installed: Tell whether the engine's package or program is there, without importing it.
        argument: Whether a name has a part after the colon.
        suffix: Ending of names that are the argument themselves, such as files.
        check: Raise `ConfigError` for an argument that cannot be used, before a license is asked about.
        require: Raise `MissingExtraError` if the engine cannot be imported, before a license is asked about.
        license: Terms to accept first, if any.
        languages: Codes of the languages that its voices speak; empty if that depends on the voice.
    """

    kind: str
    usage: tuple[str, ...]
    load: "Callable[[str, Settings, Progress], TextToSpeech]"
    is_installed: Callable[[], bool]
    argument: Literal["none", "optional", "required"] = "none"
    suffix: str = ""
    check: Callable[[str], object] = lambda _: None
    require: Callable[[], object] = lambda: None
    license: License | None = None
    languages: frozenset[str] = frozenset()


def onnx_error_types() -> tuple[type[Exception], ...]:
    """Return the exceptions that onnxruntime raises; they have no common base class of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    return tuple(each for each in vars(runtime).values() if isinstance(each, type) and issubclass(each, Exception))


def is_english(settings: "Settings") -> bool:
    """Tell whether English is spoken: it is the default while no language is set."""
    return settings.language in ("auto", "en")
