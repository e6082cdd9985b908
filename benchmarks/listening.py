"""What it costs to listen while nobody speaks: memory, and the share of one core.

A process of its own loads all that `parley voice` loads, and hears half a minute in real time, in blocks of 20 ms,
through the echo canceller and the turn-taking: a quiet room, then one with noise (pink, 40 dB below full scale).
PortAudio's own threads are not in it.
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
from benchmarks.utterances import silence
from voice.audio.types import SAMPLE_RATE

if TYPE_CHECKING:
    from voice.audio.types import Samples

SECONDS = 30
GOAL_PERCENT = 5.0
_BLOCK = SAMPLE_RATE // 50


def measure(runs: int) -> list[Figure]:  # noqa: ARG001 - half a minute is many runs
    """Both rooms, and the memory that is held meanwhile."""
    command = [sys.executable, "-m", "benchmarks.listening"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    quiet, noisy, memory = (float(line) for line in lines[-3:])
    return [
        Figure("one core, listening to a quiet room", "%", (quiet,), GOAL_PERCENT),
        Figure("one core, listening to noise", "%", (noisy,), GOAL_PERCENT),
        Figure("memory while listening, all loaded", "MB", (memory,)),
    ]


def pink(seconds: float) -> "Samples":
    """Noise of a room, 40 dB below full scale."""
    size = round(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(size))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(spectrum.size))), size)
    quiet: Samples = (0.01 * noise / np.sqrt(np.mean(np.square(noise)))).astype(np.float32)
    return quiet


async def listen(sound: "Samples") -> float:
    """The share of one core, in percent, that hearing `sound` in real time takes."""
    from voice.audio.echo_canceller import EchoCanceller
    from voice.turns.vad import SileroVad, UserTurnDetector

    taking, canceller = UserTurnDetector(SileroVad()), EchoCanceller(SAMPLE_RATE)
    unplayed = np.zeros(_BLOCK, np.float32)

    async def microphone() -> "AsyncIterator[tuple[Samples, Samples]]":
        started = time.perf_counter()
        for at in range(0, sound.size, _BLOCK):
            await asyncio.sleep(max(0.0, started + (at + _BLOCK) / SAMPLE_RATE - time.perf_counter()))
            yield sound[at : at + _BLOCK], unplayed

    spent, started = time.process_time(), time.perf_counter()
    async for samples in canceller.process_stream(microphone()):
        taking.process(samples)
    return 100 * (time.process_time() - spent) / (time.perf_counter() - started)


def main() -> None:
    """Load, listen, tell."""
    from assistant.settings import load
    from parley.factory.models import build_model
    from parley.factory.voice import build_end_of_turn_model, build_stt, build_tts

    settings = load({"model": "pocket"}).settings
    loaded = (build_stt(settings), build_end_of_turn_model(settings), build_tts(settings), build_model(settings))
    print(asyncio.run(listen(silence(SECONDS))))
    print(asyncio.run(listen(pink(SECONDS))))
    print(psutil.Process().memory_info().rss / 1e6)
    assert all(loaded)


if __name__ == "__main__":
    main()
