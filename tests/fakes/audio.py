"""Audio made in tests: tones, and WAV files of 16 bits."""

import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
