"""The simulated room is one: it echoes as loud as it says, a person in it is noticed, and its own voice is not."""

import numpy as np
import pytest

from assistant.settings import load
from benchmarks import barge_in
from parley.factory.voice import build_stt, build_tts
from tests.fakes.speech import FakeSpeechToText

pytestmark = pytest.mark.slow


def test_the_echo_is_ten_decibels_softer_and_late() -> None:
    room = barge_in.Room(FakeSpeechToText())
    played = np.random.default_rng(0).standard_normal(100 * barge_in.BLOCK).astype(np.float32)
    echo = np.concatenate(
        [room._echo(played[at : at + barge_in.BLOCK]) for at in range(0, played.size, barge_in.BLOCK)]
    )
    assert np.abs(echo[: round(barge_in.DELAY_SECONDS * 16_000)]).max() < 1e-6
    late = echo[echo.size // 2 :]
    assert 10 * np.log10(np.mean(late**2) / np.mean(played**2)) == pytest.approx(barge_in.ECHO_DECIBELS, abs=0.5)


def test_a_person_is_noticed_and_its_own_voice_is_nobody() -> None:
    settings = load().settings
    mouth, ears = build_tts(settings), build_stt(settings)
    said = "The old captain paints three red boats near the harbour before breakfast. " * 2
    reply = barge_in.sound(mouth, said)
    room = barge_in.Room(ears)
    room.play(reply, said)
    assert (room.turns, room.pauses, room.noticed) == ([], 0, None)
    person = barge_in.sound(mouth, barge_in.INTERRUPTIONS[2])
    room.play(reply, said, person, at=2.0)
    assert "weather" in room.turns[0]
    assert room.noticed is not None
    assert 2.0 < room.noticed < 3.0
