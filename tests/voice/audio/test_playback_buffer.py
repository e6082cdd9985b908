"""The playback queue: blocks in order, pauses, what has been heard, and the reference for the echo canceller."""

import numpy as np
import pytest

from tests.fakes.audio import Floats
from voice.audio.playback_buffer import PlaybackBuffer

RATE = 1000
BLOCK = 10


def fill(buffer: PlaybackBuffer, starts_at: float = 0.0) -> list[float]:
    block = np.full(BLOCK, np.nan, np.float32)
    buffer.fill(block, starts_at, RATE)
    return [float(value) for value in block]


def samples(count: int, value: float = 1.0) -> Floats:
    return np.full(count, value, np.float32)


def test_samples_are_played_in_order_and_then_silence() -> None:
    buffer = PlaybackBuffer()
    buffer.add(samples(4, 0.25))
    buffer.add(samples(9, 0.5))
    assert fill(buffer) == [0.25] * 4 + [0.5] * 6
    assert not buffer.empty
    assert fill(buffer) == [0.5] * 3 + [0.0] * 7
    assert buffer.empty


def test_a_pause_is_silent_and_keeps_the_queue() -> None:
    buffer = PlaybackBuffer()
    buffer.add(samples(2 * BLOCK))
    buffer.pause()
    assert fill(buffer) == [0.0] * BLOCK
    buffer.resume()
    assert fill(buffer) == [1.0] * BLOCK


def test_samples_count_as_heard_at_their_time() -> None:
    buffer = PlaybackBuffer()
    buffer.add(samples(BLOCK + 5))
    fill(buffer, starts_at=1.0)
    fill(buffer, starts_at=1.01)
    heard = [buffer.heard_samples(now) for now in (1.0, 1.0099, 1.0101, 1.0149, 1.0151, 2.0)]
    assert heard == [0, 0, BLOCK, BLOCK, BLOCK + 5, BLOCK + 5]


def test_silence_does_not_count_as_heard() -> None:
    buffer = PlaybackBuffer()
    fill(buffer)
    assert buffer.heard_samples(10.0) == 0


def test_clear_drops_the_queue_counts_from_zero_and_resumes() -> None:
    buffer = PlaybackBuffer()
    buffer.add(samples(3 * BLOCK))
    fill(buffer)
    buffer.pause()
    buffer.clear()
    assert buffer.empty
    assert buffer.heard_samples(10.0) == 0
    buffer.add(samples(BLOCK))
    assert fill(buffer) == [1.0] * BLOCK


def test_the_reference_is_what_was_played_since_the_last_read() -> None:
    buffer = PlaybackBuffer()
    buffer.add(samples(BLOCK))
    fill(buffer)
    fill(buffer)
    assert buffer.read_reference() == pytest.approx([1.0] * BLOCK + [0.0] * BLOCK)
    assert buffer.read_reference().size == 0


def test_an_unread_reference_keeps_the_last_two_seconds() -> None:
    buffer = PlaybackBuffer()
    for _ in range(300):
        fill(buffer)
    assert buffer.read_reference().size == 2 * RATE
