"""What hears whether somebody is done: the real network on the bundled voice, and what happens without it."""

from pathlib import Path

import numpy as np
import pytest

from assistant.errors import ModelError, VoiceError
from assistant.progress import no_progress
from assistant.settings import load
from benchmarks.utterances import broken_off, silence, spoken, whole
from parley.factory.voice import build_end_of_turn_model, build_tts
from voice.turns import smart_turn
from voice.turns.smart_turn import SmartTurn


def test_what_is_no_network_is_named(tmp_path: Path) -> None:
    for content in (b"no network", b""):
        path = tmp_path / "turn.onnx"
        path.write_bytes(content)
        with pytest.raises(VoiceError, match=r"turn\.onnx is not Smart Turn, or is damaged: delete it"):
            SmartTurn.load(path)
    with pytest.raises(VoiceError, match="is not Smart Turn"):
        SmartTurn.load(tmp_path / "gone.onnx")


def test_where_it_cannot_be_fetched_silence_decides_and_that_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Path:
        raise ModelError("The package index cannot be reached: connect and try again.")

    monkeypatch.setattr(smart_turn, "fetch_bundled", fail)
    notices: list[str] = []
    assert build_end_of_turn_model(load().settings, note=notices.append) is None
    assert notices == [
        "The package index cannot be reached: connect and try again. Until then silence decides when a turn is over."
    ]


@pytest.mark.slow
def test_it_hears_who_is_done_and_who_thinks() -> None:
    settings = load().settings
    notices: list[str] = []
    judge, mouth = build_end_of_turn_model(settings, no_progress, notices.append), build_tts(settings)
    assert judge is not None, notices

    def done(sound: object) -> float:
        return judge(np.concatenate([silence(0.4), sound, silence(0.3)]).astype(np.float32))

    # The voice says nothing twice in the same way: two of three.
    sentences = ("Give me three | reasons to visit Portugal.", "What is the | capital of France?", "Is there a | dog?")
    assert sum(done(spoken(whole(each), mouth)) > 0.5 for each in sentences) >= 2
    begun = ("I would like to book a, um,", "We went to the market because", "My order has not arrived, and, um,")
    assert sum(done(spoken(each, mouth)) < 0.1 for each in begun) >= 2
    # More than it looks at, and next to nothing.
    assert 0 <= judge(np.tile(broken_off(sentences[0], mouth), 20)) <= 1
    assert 0 <= judge(np.zeros(0, np.float32)) <= 1
