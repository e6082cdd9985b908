"""Devices of a simulated call: a microphone that somebody speaks into, and a speaker, both in real time."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.utterances import quiet_room
from voice.audio.types import SAMPLE_RATE

if TYPE_CHECKING:
    from voice.audio.types import Samples

_BLOCK_SAMPLES = SAMPLE_RATE // 50


class SimulatedMicrophone:
    """A quiet room in which clips are said, in blocks of 20 ms, until `close`."""

    def __init__(self) -> None:
        self._clips: list[Samples] = []
        self._closed = False
        self.speech_ended = 0.0
        """Time, on the clock of `time.perf_counter`, at which the latest clip ended."""

    def say(self, clip: "Samples") -> None:
        """Begin to say a clip after those that are still being said."""
        self._clips.append(clip)
        self.speech_ended = 0.0

    def close(self) -> None:
        """End the audio."""
        self._closed = True

    async def blocks(self) -> "AsyncIterator[Samples]":
        """Yield the audio in real time."""
        started = time.perf_counter()
        room = quiet_room(_BLOCK_SAMPLES / SAMPLE_RATE)
        blocks = 0
        while not self._closed:
            blocks += 1
            due = started + blocks * _BLOCK_SAMPLES / SAMPLE_RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if not self._clips:
                yield room
                continue
            clip = self._clips[0]
            block, self._clips[0] = clip[:_BLOCK_SAMPLES], clip[_BLOCK_SAMPLES:]
            if not self._clips[0].size:
                self._clips.pop(0)
                # The time at which it was said; this process may be a little behind.
                self.speech_ended = due - (_BLOCK_SAMPLES - block.size) / SAMPLE_RATE
            yield np.pad(block, (0, _BLOCK_SAMPLES - block.size)) + room


class SimulatedSpeaker:
    """Plays in real time, without a sound. Implements `PausableAudioSink`."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self.clear()

    def clear(self) -> None:
        """Forget what was added."""
        self.started_at: float | None = None
        """Time of the first sound since then."""
        self._added = self._played = 0.0
        self._since: float | None = None
        self._paused = False

    @property
    def played_seconds(self) -> float:
        """Seconds heard of what was added."""
        now = time.perf_counter()
        if self._since is not None:
            self._played = min(self._added, self._played + now - self._since)
        self._since = None if self._paused else now
        return self._played

    def add(self, samples: "Samples") -> None:
        """Play samples after those before."""
        assert self.played_seconds <= self._added
        self.started_at = self.started_at or time.perf_counter()
        self._added += samples.size / self._sample_rate

    def pause(self) -> None:
        """Be silent."""
        self._paused = self.played_seconds >= 0
        self._since = None

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._since = time.perf_counter()
