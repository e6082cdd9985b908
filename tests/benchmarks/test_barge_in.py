"""The simulated room: it echoes as loud as it should, a person in it is noticed, and the assistant's voice is not."""

import numpy as np
import pytest

from assistant.settings import load
from benchmarks import barge_in
from parley.factory.voice import build_stt, build_tts
from voice.audio.types import SAMPLE_RATE

pytestmark = pytest.mark.slow


def test_the_echo_is_ten_decibels_softer_and_delayed() -> None:
    size = barge_in.BLOCK_SAMPLES
    room = barge_in.RoomEcho()
    played = np.random.default_rng(0).standard_normal(100 * size).astype(np.float32)
    echo = np.concatenate([room.process(played[at : at + size]) for at in range(0, played.size, size)])
    assert np.abs(echo[: round(barge_in.DELAY_SECONDS * SAMPLE_RATE)]).max() < 1e-6
    late = echo[echo.size // 2 :]
    assert 10 * np.log10(np.mean(late**2) / np.mean(played**2)) == pytest.approx(barge_in.ECHO_DECIBELS, abs=0.5)


def test_most_interruptions_are_noticed_and_the_own_voice_is_ignored() -> None:
    settings = load().settings
    tts, stt = build_tts(settings), build_stt(settings)
    text = "The old captain paints three red boats near the harbour before breakfast. " * 2
    reply = barge_in.synthesize(tts, text)
    empty_room = barge_in.Room(stt)
    empty_room.play(reply, text)
    assert (empty_room.turns, empty_room.pauses, empty_room.paused_at) == ([], 0, None)
    noticed = []
    for words in barge_in.INTERRUPTIONS[:4]:
        room = barge_in.Room(stt)
        room.play(reply, text, barge_in.synthesize(tts, words), at=2.0)
        noticed.append(len(room.turns) == 1 and room.paused_at is not None and 2.0 < room.paused_at < 3.0)
    assert sum(noticed) >= 3, noticed
