"""Measure what it costs to listen while nobody speaks: memory, and the share of one core.

A process of its own loads everything that `parley voice` loads. It listens for half a minute in real time, in blocks of
20 ms, through the echo canceller and the turn detector: to a quiet room, then to one with noise (pink, 40 dB below full
scale). PortAudio's own threads are not included.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import numpy as np
import psutil

from benchmarks.figures import Figure
from benchmarks.utterances import quiet_room
from voice.audio.types import SAMPLE_RATE

if TYPE_CHECKING:
    from voice.audio.types import Samples

SECONDS = 30
GOAL_PERCENT = 5.0
_BLOCK_SAMPLES = SAMPLE_RATE // 50


def measure(runs: int) -> list[Figure]:  # noqa: ARG001 - half a minute holds 1500 blocks
    """Measure both rooms, and the memory in use meanwhile."""
    command = [sys.executable, "-m", "benchmarks.listening"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    quiet, noisy, memory = (float(line) for line in lines[-3:])
    return [
        Figure("one core, listening to a quiet room", "%", (quiet,), GOAL_PERCENT),
        Figure("one core, listening to noise", "%", (noisy,), GOAL_PERCENT),
        Figure("memory while listening, all loaded", "MB", (memory,)),
    ]


def pink_noise(seconds: float) -> "Samples":
    """Return the noise of a room, 40 dB below full scale."""
    size = round(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(size))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(spectrum.size))), size)
    samples: Samples = (0.01 * noise / np.sqrt(np.mean(np.square(noise)))).astype(np.float32)
    return samples


async def listen(samples: "Samples") -> float:
    """Listen to `samples` in real time. Return the share of one core that it took, in percent."""
    from voice.audio.echo_canceller import EchoCanceller
    from voice.turns.vad import SileroVad, UserTurnDetector

    detector, canceller = UserTurnDetector(SileroVad()), EchoCanceller(SAMPLE_RATE)
    silence = np.zeros(_BLOCK_SAMPLES, np.float32)

    async def microphone() -> "AsyncIterator[tuple[Samples, Samples]]":
        started = time.perf_counter()
        for at in range(0, samples.size, _BLOCK_SAMPLES):
            await asyncio.sleep(max(0.0, started + (at + _BLOCK_SAMPLES) / SAMPLE_RATE - time.perf_counter()))
            yield samples[at : at + _BLOCK_SAMPLES], silence

    cpu_started, started = time.process_time(), time.perf_counter()
    async for block in canceller.process_stream(microphone()):
        detector.process(block)
    return 100 * (time.process_time() - cpu_started) / (time.perf_counter() - started)


def main() -> None:
    """Load everything, and print the three figures, one a line."""
    from assistant.settings import load
    from parley.factory.models import build_model
    from parley.factory.voice import build_end_of_turn_model, build_stt, build_tts

    settings = load({"model": "pocket"}).settings
    loaded = (build_stt(settings), build_end_of_turn_model(settings), build_tts(settings), build_model(settings))
    print(asyncio.run(listen(quiet_room(SECONDS))))
    print(asyncio.run(listen(pink_noise(SECONDS))))
    print(psutil.Process().memory_info().rss / 1e6)
    assert all(loaded)


if __name__ == "__main__":
    main()
