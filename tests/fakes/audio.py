"""Audio made in tests: tones, WAV files of 16 bits, and a file with two tracks."""

import io
import struct
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
WriteWave = Callable[..., Path]


def wave_bytes(samples: Floats, rate: int = 16_000, channels: int = 1) -> bytes:
    """Return a WAV file of 16 bits; the same `samples` in every channel."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        values = np.clip(np.round(np.asarray(samples) * 32767), -32768, 32767).astype("<i2")
        writer.writeframes(np.repeat(values, channels).tobytes())
    return file.getvalue()


def tone(seconds: float, rate: int = 16_000, hertz: float = 440.0) -> Floats:
    """Return a sine wave of half the full amplitude."""
    return np.asarray(0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate))


def stereo_bytes(left: Floats, right: Floats, rate: int = 16_000) -> bytes:
    """Return a WAV file of 16 bits with two different channels of the same length."""
    return wave_bytes(np.stack([left, right], axis=1).reshape(-1), rate, channels=1).replace(
        _format_chunk(rate, 1), _format_chunk(rate, 2), 1
    )


def _format_chunk(rate: int, channels: int) -> bytes:
    return struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)


def two_tracks(path: Path, first: Floats, second: Floats, rate: int = 16_000) -> Path:
    """Write a file with two mono audio tracks in the format of its suffix."""
    with av.open(path, "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=rate) for _ in range(2)]
        for stream in streams:
            assert isinstance(stream, av.AudioStream)
            stream.layout = "mono"
        for stream, samples in zip(streams, (first, second), strict=True):
            assert isinstance(stream, av.AudioStream)
            data = np.clip(samples * 32767, -32768, 32767).astype("<i2")
            frame = av.AudioFrame.from_ndarray(data[None], format="s16", layout="mono")
            frame.sample_rate = rate
            for packet in (*stream.encode(frame), *stream.encode(None)):
                container.mux(packet)
    return path
