"""Recordings made here, and the commands for them run as a person would."""

import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
WriteWave = Callable[..., Path]


@pytest.fixture
def nobodys_machine(unset: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def wave_bytes(samples: Floats, rate: int = 16_000, channels: int = 1) -> bytes:
    """A WAV file of 16 bits; the same `samples` in every channel."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        whole = np.clip(np.round(np.asarray(samples) * 32767), -32768, 32767).astype("<i2")
        writer.writeframes(np.repeat(whole, channels).tobytes())
    return file.getvalue()


@pytest.fixture
def write_wave(tmp_path: Path) -> WriteWave:
    def write(name: str, samples: Floats, rate: int = 16_000, channels: int = 1) -> Path:
        path = tmp_path / name
        path.write_bytes(wave_bytes(samples, rate, channels))
        return path

    return write


def tone(seconds: float, rate: int = 16_000, hertz: float = 440.0) -> Floats:
    return np.asarray(0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate))
