"""Smart Turn, the end-of-turn model: the real network on the bundled voice, and what happens without it."""

from pathlib import Path

import numpy as np
import pytest

from assistant.errors import ModelError, VoiceError
from assistant.settings import load
from benchmarks.utterances import full_text, quiet_room, synthesize, synthesize_broken_off
from parley.factory.voice import build_end_of_turn_model, build_tts
from tests.fakes.audio import Floats
from voice.turns import smart_turn
from voice.turns.smart_turn import SmartTurn


def test_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    for content in (b"no network", b""):
        path = tmp_path / "turn.onnx"
        path.write_bytes(content)
        with pytest.raises(VoiceError, match=r"turn\.onnx is not Smart Turn, or is damaged: delete it"):
            SmartTurn.load(path)
    with pytest.raises(VoiceError, match="is not Smart Turn"):
        SmartTurn.load(tmp_path / "gone.onnx")


def test_failed_download_is_a_notice_and_silence_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Path:
        raise ModelError("The package index cannot be reached: connect and try again.")

    monkeypatch.setattr(smart_turn, "fetch_bundled", fail)
    notices: list[str] = []
    assert build_end_of_turn_model(load().settings, on_notice=notices.append) is None
    assert notices == [
        "The package index cannot be reached: connect and try again. Until then silence decides when a turn is over."
    ]


class NoNetwork:
    """Stands for an ONNX Runtime session: notes what it is given."""

    def __init__(self) -> None:
        self.features: list[Floats] = []

    def run(self, _: None, inputs: dict[str, Floats]) -> list[Floats]:
        self.features.append(inputs["input_features"])
        return [np.full((1, 1), 0.5, np.float32)]


def test_the_network_hears_a_longer_pause_than_there_has_been() -> None:
    network = NoNetwork()
    model = SmartTurn(network)
    speech = np.random.default_rng(0).normal(0, 0.1, 8_000).astype(np.float32)
    for pause in (0.2, 0.3):
        model(np.concatenate([speech, np.zeros(round(pause * 16_000), np.float32)]))
    # Frames of 10 ms, at the end of the eight seconds.
    loudness = [each[0].mean(axis=0) for each in network.features]
    pauses = [800 - np.flatnonzero(each > (each.max() + each.min()) / 2)[-1] for each in loudness]
    assert pauses == [pytest.approx(30, abs=3), pytest.approx(40, abs=3)]


@pytest.mark.slow
def test_complete_sentences_sound_complete_and_unfinished_ones_do_not() -> None:
    # The melody of the bundled voice falls at an "um" as at the end of a sentence; Piper's does not.
    settings = load({"voice": "piper"}).settings
    notices: list[str] = []
    model = build_end_of_turn_model(settings, on_notice=notices.append)
    tts = build_tts(settings)
    assert model is not None, notices

    def completion(audio: object) -> float:
        return model(np.concatenate([quiet_room(0.4), audio, quiet_room(0.3)]).astype(np.float32))

    # The voice varies from one synthesis to the next: most of several.
    sentences = (
        "Give me three | reasons to visit Portugal.",
        "What is the | capital of France?",
        "Is there a | dog?",
        "Where do | penguins live?",
        "I live near | the river.",
    )
    assert sum(completion(synthesize(full_text(each), tts)) > 0.5 for each in sentences) >= 3
    unfinished = (
        "I would like to book a, um,",
        "We went to the market because",
        "My order has not arrived, and, um,",
        "I have lost my, um,",
        "She said that the, um,",
    )
    assert sum(completion(synthesize(each, tts)) < 0.1 for each in unfinished) >= 3
    # More than the network looks at, and next to nothing.
    assert 0 <= model(np.tile(synthesize_broken_off(sentences[0], tts), 20)) <= 1
    assert 0 <= model(np.zeros(0, np.float32)) <= 1
