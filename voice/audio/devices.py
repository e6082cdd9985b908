"""Microphones and speakers, through PortAudio: which there are, and streams of samples to and from them.

Everything that can be wrong with them is one sentence. The system's sound libraries print advice of their own to
standard error, in the middle of whatever is on the screen: ALSA is told to be silent, and what the others say while
they are called is turned away.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from assistant.errors import MissingExtraError, VoiceError

if TYPE_CHECKING:
    from voice.audio.types import Samples

Direction = Literal["input", "output"]

# The file descriptor is the whole process's: one at a time turns it away.
_STDERR_LOCK = threading.RLock()
_STDERR = 2

# Played after the last samples: what is still in buffers when a stream is stopped is not always played to its end.
_TAIL_SECONDS = 0.15


@dataclass(frozen=True)
class Device:
    """A microphone or speaker, or both. `inputs` and `outputs` count channels, `rate` is its usual one in Hz."""

    number: int
    name: str
    inputs: int
    outputs: int
    rate: int
    default_input: bool
    default_output: bool


def list_devices(*, renew: bool = True) -> list[Device]:
    """All devices of this machine, none if it has none.

    To `renew` the list ends all streams. Without that it may be an old one. Raises `MissingExtraError` without
    PortAudio, and `VoiceError` if it cannot tell.
    """
    sounddevice = _library()
    try:
        with quiet():
            if renew:
                _renew(sounddevice)
            found = sounddevice.query_devices()
            default_input, default_output = sounddevice.default.device
    except sounddevice.PortAudioError as error:
        raise VoiceError(
            f"The microphones and speakers of this machine cannot be listed ({_reason(error)}): see whether its sound "
            "server runs, and try again."
        ) from error
    return [
        Device(
            number,
            str(each["name"]),
            int(each["max_input_channels"]),
            int(each["max_output_channels"]),
            int(each["default_samplerate"]),
            number == default_input,
            number == default_output,
        )
        for number, each in enumerate(found)
    ]


def choose(wanted: str, direction: Direction, *, renew: bool = True) -> Device:
    """The device that `wanted` names: "default", a number, or a part of one name, in any case; `renew` as for the list.

    Raises `VoiceError` if there is none, or more than one.
    """
    able = [each for each in list_devices(renew=renew) if (each.inputs if direction == "input" else each.outputs)]
    what = "microphone" if direction == "input" else "speaker"
    if not able:
        raise VoiceError(f"There is no {what} on this machine: plug one in, and see `parley devices`.")
    if wanted == "default":
        chosen = [each for each in able if (each.default_input if direction == "input" else each.default_output)]
        # A machine with devices and no default among them still has a first.
        return (chosen or able)[0]
    if wanted.isdecimal():
        chosen = [each for each in able if each.number == int(wanted)]
    else:
        chosen = [each for each in able if each.name == wanted]
        chosen = chosen or [each for each in able if wanted.lower() in each.name.lower()]
    if len(chosen) != 1:
        found = "no" if not chosen else "more than one"
        raise VoiceError(f"There is {found} {what} called {wanted!r}: `parley devices` lists all, with their numbers.")
    return chosen[0]


class Speaker:
    """Plays samples, in a `with` block; its end waits for the last of them, unless it is left in a hurry."""

    def __init__(self, sample_rate: int, wanted: str = "default") -> None:
        """`sample_rate` is that of the samples; a device that cannot play at it gets them converted.

        Raises `VoiceError`, and `MissingExtraError` without PortAudio.
        """
        self._device = choose(wanted, "output")
        self.name = self._device.name
        self._stream, rate = open_stream(self._device, "output", sample_rate)
        self._convert = Converter(sample_rate, rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        import numpy as np

        with named(self._device, "output"), quiet():
            if kind is None:
                self._write(self._convert(None))
                self._write(np.zeros(round(_TAIL_SECONDS * self._stream.samplerate), np.float32))
                self._stream.stop()
            else:
                self._stream.abort()
            self._stream.close()

    def write(self, samples: "Samples") -> None:
        """Play these next; returns when most of them have been played. Raises `VoiceError` if the device is gone."""
        # PortAudio prints what failed inside it before it says so.
        with named(self._device, "output"), quiet():
            self._write(self._convert(samples))

    def _write(self, samples: "Samples") -> None:
        if samples.size:
            self._stream.write(samples.reshape(-1, 1))


def record(seconds: float, wanted: str = "default") -> "tuple[Samples, int]":
    """What a microphone hears for `seconds`, and its samples a second. Raises `VoiceError` and `MissingExtraError`."""
    device = choose(wanted, "input")
    stream, rate = open_stream(device, "input", device.rate)
    with named(device, "input"), quiet():
        try:
            samples, _ = stream.read(round(seconds * rate))
        finally:
            stream.abort()
            stream.close()
    return samples.reshape(-1), rate


@contextmanager
def quiet() -> Iterator[None]:
    """Turn away what is printed to standard error meanwhile, by this process or the libraries in it."""
    with _STDERR_LOCK:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # It is closed, and nothing can appear on it.
            yield
            return
        try:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), _STDERR)
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)


def _library() -> Any:
    try:
        with quiet():
            import sounddevice
    except OSError as error:
        raise MissingExtraError(
            "Microphone and speakers need the library PortAudio, which is not there: install it "
            "(`apt install libportaudio2`, `brew install portaudio`) and try again."
        ) from error
    _silence_alsa()
    return sounddevice


@cache
def _silence_alsa() -> None:
    """Have ALSA call a function of ours, which does nothing, instead of printing: it does so at any time."""
    import ctypes

    with suppress(OSError):
        alsa = ctypes.CDLL("libasound.so.2")
        alsa.snd_lib_error_set_handler(_ignored())


@cache
def _ignored() -> Any:
    """The function, kept for as long as the process lives."""
    import ctypes

    said = (ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
    return ctypes.CFUNCTYPE(None, *said)(lambda *_: None)


def _renew(sounddevice: Any) -> None:
    """Have PortAudio look again: it keeps the list of devices that it made when it was started."""
    # Not where the last start failed: what never began cannot be ended.
    if sounddevice._initialized:  # noqa: SLF001
        sounddevice._terminate()  # noqa: SLF001 - the only way there is, says its documentation
    sounddevice._initialize()  # noqa: SLF001


def open_stream(
    device: Device,
    direction: Direction,
    sample_rate: int,
    *,
    callback: Callable[..., None] | None = None,
    finished: Callable[[], None] | None = None,
    block_seconds: float = 0.0,
    latency: float | None = None,
) -> tuple[Any, int]:
    """A started stream at `sample_rate` if the device can, else at its own rate; and which it was.

    PortAudio calls `callback` for each block of `block_seconds` (0 leaves that to it), and `finished` when the stream
    has stopped for whatever reason. `latency` is how many seconds are kept for a process that is held up, if not as
    many as the device suggests. Raises `VoiceError`.
    """
    sounddevice = _library()
    kind = sounddevice.InputStream if direction == "input" else sounddevice.OutputStream
    form = {"device": device.number, "channels": 1, "dtype": "float32"}
    with named(device, direction), quiet():
        check = sounddevice.check_input_settings if direction == "input" else sounddevice.check_output_settings
        try:
            check(**form, samplerate=sample_rate)
            rate = sample_rate
        except sounddevice.PortAudioError:
            rate = device.rate
        blocks = {"blocksize": round(block_seconds * rate), "latency": latency}
        stream = kind(**form, **blocks, samplerate=rate, callback=callback, finished_callback=finished)
        try:
            stream.start()
        except sounddevice.PortAudioError:
            stream.close()
            raise
    return stream, rate


@contextmanager
def named(device: Device, direction: Direction) -> Iterator[None]:
    """Failures of PortAudio as sentences."""
    sounddevice = _library()
    try:
        yield
    except sounddevice.PortAudioError as error:
        what = "microphone" if direction == "input" else "speaker"
        raise VoiceError(
            f"The {what} {device.name!r} cannot be used ({_reason(error)}): another program may have it, or it was "
            "unplugged. `parley devices` lists all."
        ) from error


def _reason(error: Exception) -> str:
    return str(error.args[0]).rstrip(".") if error.args else "unknown reason"


class Converter:
    """Samples of one rate to another, in a stream; does nothing where the rates are the same."""

    def __init__(self, source: int, target: int) -> None:
        import av

        self.source = source
        """Samples a second that it is given."""
        self._resampler = None if source == target else av.AudioResampler(format="flt", layout="mono", rate=target)

    def __call__(self, samples: "Samples | None") -> "Samples":
        """What comes of `samples`, or, given None, what is left."""
        import av
        import numpy as np

        if samples is not None and (self._resampler is None or not samples.size):
            return samples
        if self._resampler is None:
            return np.zeros(0, np.float32)
        frame = None
        if samples is not None:
            frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="mono")
            frame.sample_rate = self.source
        parts = [each.to_ndarray().reshape(-1) for each in self._resampler.resample(frame)]
        return np.concatenate([np.zeros(0, np.float32), *parts])
