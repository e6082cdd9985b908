"""The cut window of the encoder: its size, and what is decoded again from the padded one."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from faster_whisper import WhisperModel

from tests.fakes.audio import Floats
from voice.stt.encoder_window import (
    GREEDY_LOGPROB,
    MARGIN_SECONDS,
    MIN_LOGPROB,
    WindowedWhisperModel,
    window_frames,
)

PADDED = 3000
EOT = 50_257
TIMES = 50_364
"""The token of the time 0.00 of multilingual models."""
WORDS = {7: " and", 8: " it is late", 9: "."}
TOKENIZER = SimpleNamespace(
    timestamp_begin=TIMES, sot_sequence=(3,), decode=lambda tokens: "".join(WORDS.get(token, "") for token in tokens)
)


@dataclass
class FakeEngine:
    """Stands for the engine below: notes the frames of each encoding, and gives `results` one after the other."""

    results: list[tuple[Any, float, float, float]] = field(default_factory=list)
    encoded: list[int] = field(default_factory=list)
    decoded: list[str] = field(default_factory=list)
    temperatures: list[list[float]] = field(default_factory=list)
    beams: list[int] = field(default_factory=list)
    prompts: list[list[int]] = field(default_factory=list)
    refuses_below: int = 0

    def encode(self, features: Floats) -> str:
        if features.shape[-1] < self.refuses_below:
            raise ValueError("Invalid input features shape")
        self.encoded.append(features.shape[-1])
        return f"{features.shape[-1]} frames"

    def generate(self, encoded: str, prompt: list[int], options: Any) -> Any:
        self.decoded.append(encoded)
        self.prompts.append(prompt)
        self.temperatures.append(options.temperatures)
        self.beams.append(options.beam_size)
        return self.results.pop(0)


@dataclass(frozen=True)
class Options:
    temperatures: list[float]
    no_speech_threshold: float = 0.6
    beam_size: int = 5
    max_new_tokens: int | None = None


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(WhisperModel, "encode", lambda _, features: fake.encode(features))
    monkeypatch.setattr(
        WhisperModel,
        "generate_with_fallback",
        lambda _, encoded, prompt, __, options: fake.generate(encoded, prompt, options),
    )
    return fake


@pytest.fixture
def model() -> WindowedWhisperModel:
    """A model without weights."""
    bare = WindowedWhisperModel.__new__(WindowedWhisperModel)
    bare.max_length, bare.time_precision = 448, 0.02
    return bare


def window(speech_frames: int) -> Floats:
    features = np.zeros((80, PADDED), np.float32)
    features[:, :speech_frames] = -0.5
    return features


def result(
    *times: float,
    tokens: int = 1,
    repeats: int = 1,
    logprob: float = -0.2,
    compression: float = 1.0,
    no_speech: float = 0.1,
    ends: bool = False,
) -> tuple[Any, float, float, float]:
    ids = [7] * tokens + [8] * repeats + [9] * ends + [TIMES + round(time / 0.02) for time in times]
    return SimpleNamespace(sequences_ids=[ids], no_speech_prob=no_speech), logprob, 0.0, compression


def decode(model: WindowedWhisperModel, encoded: Any) -> Any:
    return model.generate_with_fallback(encoded, [1, 2, 3], TOKENIZER, Options([0.0, 0.4]))


@pytest.mark.parametrize("frames", [0, 1, 10, 1599, 1600, 2699, 2700, 2990, 2999, 3000])
def test_a_window_holds_the_speech_and_its_margin_but_is_never_longer_than_the_padded_one(frames: int) -> None:
    size = window_frames(frames, PADDED)
    assert size % 2 == 0
    assert min(PADDED, frames + 100 * MARGIN_SECONDS) <= size <= PADDED
    assert size <= frames + 100 * MARGIN_SECONDS + 64 or size == PADDED


def test_short_speech_is_encoded_without_most_of_the_padding(model: WindowedWhisperModel, engine: FakeEngine) -> None:
    engine.results = [result(0.0, 2.0)]
    encoded = model.encode(window(200))
    assert decode(model, encoded)[1] == -0.2
    assert engine.encoded == [window_frames(200, PADDED)]


def test_the_language_and_the_words_share_one_encoding(model: WindowedWhisperModel, engine: FakeEngine) -> None:
    assert model.encode(window(200)) is model.encode(window(200))
    assert len(engine.encoded) == 1
    model.encode(window(300))
    assert len(engine.encoded) == 2


def test_a_full_window_is_as_ever(model: WindowedWhisperModel, engine: FakeEngine) -> None:
    engine.results = [result(28.0, logprob=-3.0)]
    decode(model, model.encode(window(2995)))
    assert engine.encoded == [PADDED]
    assert engine.temperatures == [[0.0, 0.4]]


@pytest.mark.parametrize(
    "doubtful",
    [
        result(0.0, 2.0, logprob=MIN_LOGPROB - 0.01),
        result(0.0, 2.0, compression=3.0),
        result(0.0, 2.0, no_speech=0.7),
        result(0.0, 2.0, 4.0),
        result(0.0, 2.0, repeats=200),
        result(0.0, 2.0, tokens=0, repeats=2),
        result(0.0, 2.0, tokens=3, repeats=0),
        result(),
    ],
    ids=[
        "improbable",
        "repetitive",
        "no speech",
        "later than the speech",
        "endless",
        "said twice",
        "a word three times",
        "without an end",
    ],
)
def test_what_is_not_clearly_understood_is_decoded_from_the_padded_window(
    doubtful: Any, model: WindowedWhisperModel, engine: FakeEngine
) -> None:
    good = result(0.0, 2.0, logprob=-0.3)
    engine.results = [doubtful, doubtful, good]
    assert decode(model, model.encode(window(200))) is good
    cut = f"{window_frames(200, PADDED)} frames"
    assert engine.decoded == [cut, cut, "3000 frames"]
    assert engine.temperatures == [[0.0], [0.0], [0.0, 0.4]]
    assert engine.beams == [1, 5, 5]


def test_what_is_clear_is_searched_for_once_and_without_a_beam(model: WindowedWhisperModel, engine: FakeEngine) -> None:
    clear = result(0.0, 2.0, logprob=GREEDY_LOGPROB)
    engine.results = [clear]
    assert decode(model, model.encode(window(200))) is clear
    assert engine.beams == [1]


@pytest.mark.parametrize("doubtful", [result(0.0, 2.0, logprob=GREEDY_LOGPROB - 0.01), result(0.0, 2.0, repeats=200)])
def test_what_is_less_clear_is_searched_for_with_a_beam_in_the_same_window(
    doubtful: Any, model: WindowedWhisperModel, engine: FakeEngine
) -> None:
    better = result(0.0, 2.0, logprob=MIN_LOGPROB)
    engine.results = [doubtful, better]
    assert decode(model, model.encode(window(200))) is better
    assert engine.beams == [1, 5]
    assert engine.encoded == [window_frames(200, PADDED)]


def test_an_engine_that_insists_on_30_s_is_given_30_s(model: WindowedWhisperModel, engine: FakeEngine) -> None:
    engine.refuses_below = PADDED
    engine.results = [result(0.0, 2.0)] * 2
    for frames in (200, 300):
        decode(model, model.encode(window(frames)))
    assert engine.encoded == [PADDED, PADDED]
    assert engine.temperatures == [[0.0, 0.4]] * 2


def test_what_is_wrong_with_the_padded_window_too_is_raised(model: WindowedWhisperModel, engine: FakeEngine) -> None:
    engine.refuses_below = PADDED + 1
    with pytest.raises(ValueError, match="Invalid input"):
        model.encode(window(200))


def test_the_moment_behind_the_last_word_of_a_sentence_is_no_window(
    model: WindowedWhisperModel, engine: FakeEngine
) -> None:
    model.begin()
    engine.results = [result(repeats=0, ends=True)]
    decode(model, model.encode(window(200)))
    found, logprob, _, _ = decode(model, model.encode(window(40)))
    assert found.no_speech_prob > Options([0.0]).no_speech_threshold
    assert logprob < -10
    assert len(engine.encoded) == 1
    assert model.encode(window(120)) is not None


def test_a_last_word_without_its_sentence_is_heard_without_hot_words(
    model: WindowedWhisperModel, engine: FakeEngine
) -> None:
    model.begin()
    engine.results = [result(2.0), result(0.2, logprob=-0.3)]
    decode(model, model.encode(window(200)))
    assert decode(model, model.encode(window(40)))[1] == -0.3
    assert engine.prompts == [[1, 2, 3], [3]]


def test_what_is_doubtful_behind_the_last_word_was_not_said(model: WindowedWhisperModel, engine: FakeEngine) -> None:
    model.begin()
    engine.results = [result(2.0), *[result(0.2, logprob=-0.9)] * 2]
    decode(model, model.encode(window(200)))
    assert decode(model, model.encode(window(40)))[1] < -10
    assert PADDED not in engine.encoded


def test_audio_that_is_as_short_is_heard(model: WindowedWhisperModel, engine: FakeEngine) -> None:
    for _ in range(2):
        model.begin()
        assert model.encode(window(10)) is not None
    assert len(engine.encoded) == 2
