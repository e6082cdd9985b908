"""Microphones and speakers through PortAudio: list them, find one by name, play and record.

Every failure becomes a `VoiceError` with one sentence. System libraries print advice on standard error, in the middle
of whatever is on the screen: ALSA gets an error handler that does nothing, and the output of the others is discarded
while they are called.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Self

from assistant.errors import MissingExtraError, VoiceError
from assistant.stderr import silence_stderr
from voice.audio.resample import Resampler

if TYPE_CHECKING:
    from voice.audio.types import Samples

Direction = Literal["input", "output"]

# Silence played after the last samples: a stopped stream does not always play its buffers to the end.
_TAIL_SECONDS = 0.15

_KIND = {"input": "microphone", "output": "speaker"}


@dataclass(frozen=True)
class Device:
    """A microphone, a speaker, or both. The fields are also the keys of `parley devices --json`.

    Attributes:
        number: PortAudio's index.
        name: Name given by the system.
        inputs: Input channels.
        outputs: Output channels.
        rate: Default sample rate in Hz.
        default_input: Whether the system records from it by default.
        default_output: Whether the system plays on it by default.
    """

    number: int
    name: str
    inputs: int
    outputs: int
    rate: int
    default_input: bool
    default_output: bool


def list_devices(*, rescan: bool = True) -> list[Device]:
    """List all devices of this machine.

    Args:
        rescan: Ask the system again, which ends all open streams. Without it, the list may be out of date.

    Raises:
        MissingExtraError: PortAudio is not installed.
        VoiceError: The devices cannot be listed.
    """
    sounddevice = _import_sounddevice()
    try:
        with silence_stderr():
            if rescan:
                _restart_portaudio(sounddevice)
            devices = sounddevice.query_devices()
            default_input, default_output = sounddevice.default.device
    except sounddevice.PortAudioError as error:
        raise VoiceError(
            f"The microphones and speakers of this machine cannot be listed ({_reason(error)}): see whether its sound "
            "server runs, and try again."
        ) from error
    return [
        Device(
            number,
            str(device["name"]),
            int(device["max_input_channels"]),
            int(device["max_output_channels"]),
            int(device["default_samplerate"]),
            number == default_input,
            number == default_output,
        )
        for number, device in enumerate(devices)
    ]


def find_device(query: str, direction: Direction, *, rescan: bool = True) -> Device:
    """Find the device that `query` names.

    Args:
        query: "default", a number, a full name, or a part of exactly one name in any case.
        direction: Whether to record or to play.
        rescan: As in `list_devices`.

    Raises:
        VoiceError: No device matches, or more than one does.
    """
    devices = list_devices(rescan=rescan)
    able = [device for device in devices if (device.inputs if direction == "input" else device.outputs)]
    kind = _KIND[direction]
    if not able:
        raise VoiceError(f"There is no {kind} on this machine: plug one in, and see `parley devices`.")
    if query == "default":
        default = [each for each in able if (each.default_input if direction == "input" else each.default_output)]
        # Some machines have devices and no default among them.
        return (default or able)[0]
    if query.isdecimal():
        matches = [device for device in able if device.number == int(query)]
    else:
        matches = [device for device in able if device.name == query]
        matches = matches or [device for device in able if query.lower() in device.name.lower()]
    if len(matches) != 1:
        count = "no" if not matches else "more than one"
        raise VoiceError(f"There is {count} {kind} called {query!r}: `parley devices` lists all, with their numbers.")
    return matches[0]


class Speaker:
    """Blocking playback in a `with` block. Leaving it waits for the last samples, unless an exception ends it."""

    def __init__(self, sample_rate: int, device: str = "default") -> None:
        """Open a device.

        Args:
            sample_rate: Rate of the samples in Hz. They are resampled if the device cannot play at it.
            device: Query for `find_device`.

        Raises:
            VoiceError: There is no such device, or it cannot be opened.
            MissingExtraError: PortAudio is not installed.
        """
        self._device = find_device(device, "output")
        self.name = self._device.name
        self._stream, rate = open_stream(self._device, "output", sample_rate)
        self._resampler = Resampler(sample_rate, rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        import numpy as np

        with translate_errors(self._device, "output"), silence_stderr():
            if kind is None:
                self._write(self._resampler.flush())
                self._write(np.zeros(round(_TAIL_SECONDS * self._stream.samplerate), np.float32))
                self._stream.stop()
            else:
                self._stream.abort()
            self._stream.close()

    def write(self, samples: "Samples") -> None:
        """Play samples; return when most of them have been played. Raises `VoiceError` if the device is gone."""
        # PortAudio prints internal failures before it reports them.
        with translate_errors(self._device, "output"), silence_stderr():
            self._write(self._resampler.process(samples))

    def _write(self, samples: "Samples") -> None:
        if samples.size:
            self._stream.write(samples.reshape(-1, 1))


def record(seconds: float, device: str = "default") -> "tuple[Samples, int]":
    """Record from a microphone for `seconds`. Return the samples and their rate in Hz.

    Raises:
        VoiceError: There is no such device, or it cannot be opened.
        MissingExtraError: PortAudio is not installed.
    """
    found = find_device(device, "input")
    stream, rate = open_stream(found, "input", found.rate)
    with translate_errors(found, "input"), silence_stderr():
        try:
            samples, _ = stream.read(round(seconds * rate))
        finally:
            stream.abort()
            stream.close()
    return samples.reshape(-1), rate


def open_stream(
    device: Device,
    direction: Direction,
    sample_rate: int,
    *,
    callback: Callable[..., None] | None = None,
    on_finished: Callable[[], None] | None = None,
    block_seconds: float = 0.0,
    latency: float | None = None,
) -> tuple[Any, int]:
    """Open and start a mono float32 stream.

    Args:
        device: The device to open.
        direction: Whether to record or to play.
        sample_rate: Wanted rate in Hz; the device's own rate is used if it does not support this one.
        callback: Called by PortAudio's thread for each block; None opens a blocking stream.
        on_finished: Called by PortAudio's thread when the stream has stopped for any reason.
        block_seconds: Length of a block; 0 leaves it to PortAudio.
        latency: Seconds of audio to buffer while this process is busy; None uses the device's suggestion.

    Returns:
        The stream, and its sample rate in Hz.

    Raises:
        VoiceError: The stream cannot be opened.
    """
    sounddevice = _import_sounddevice()
    stream_type = sounddevice.InputStream if direction == "input" else sounddevice.OutputStream
    check = sounddevice.check_input_settings if direction == "input" else sounddevice.check_output_settings
    format_ = {"device": device.number, "channels": 1, "dtype": "float32"}
    with translate_errors(device, direction), silence_stderr():
        try:
            check(**format_, samplerate=sample_rate)
            rate = sample_rate
        except sounddevice.PortAudioError:
            rate = device.rate
        buffering = {"blocksize": round(block_seconds * rate), "latency": latency}
        stream = stream_type(**format_, **buffering, samplerate=rate, callback=callback, finished_callback=on_finished)
        try:
            stream.start()
        except sounddevice.PortAudioError:
            stream.close()
            raise
    return stream, rate


@contextmanager
def translate_errors(device: Device, direction: Direction) -> Iterator[None]:
    """Raise PortAudio's errors as `VoiceError`."""
    sounddevice = _import_sounddevice()
    try:
        yield
    except sounddevice.PortAudioError as error:
        raise VoiceError(
            f"The {_KIND[direction]} {device.name!r} cannot be used ({_reason(error)}): another program may have it, "
            "or it was unplugged. `parley devices` lists all."
        ) from error


def _import_sounddevice() -> Any:
    try:
        with silence_stderr():
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
    """Install an error handler that does nothing: ALSA prints at any time, from its own threads."""
    import ctypes

    with suppress(OSError):
        alsa = ctypes.CDLL("libasound.so.2")
        alsa.snd_lib_error_set_handler(_no_op_handler())


@cache
def _no_op_handler() -> Any:
    """Return the handler; the cache keeps it alive as long as the process."""
    import ctypes

    arguments = (ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
    return ctypes.CFUNCTYPE(None, *arguments)(lambda *_: None)


def _restart_portaudio(sounddevice: Any) -> None:
    """Restart PortAudio, which reads the list of devices only at its start."""
    # Where the last start failed there is nothing to terminate.
    if sounddevice._initialized:  # noqa: SLF001
        sounddevice._terminate()  # noqa: SLF001 - its documentation names no other way
    sounddevice._initialize()  # noqa: SLF001


def _reason(error: Exception) -> str:
    return str(error.args[0]).rstrip(".") if error.args else "unknown reason"
