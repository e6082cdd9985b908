"""How somebody seems to feel: when the model is told, what, and by what they are judged."""

from dataclasses import replace

import numpy as np
import pytest

from assistant.models.scripted import ScriptedModel
from assistant.settings import load
from parley.factory.emotion import build_emotion_detector
from skills.emotions.labels import EMOTIONS
from tests.fakes.audio import Floats
from tests.fakes.skills import FakeEmotionModels, peaked_at
from voice.audio.types import SAMPLE_RATE
from voice.empathy import DetectedEmotion, EmotionDetector


@pytest.mark.parametrize("label", EMOTIONS)
def test_the_model_is_told_of_those_who_are_upset_alone(label: str) -> None:
    mood = DetectedEmotion(label, 0.8)
    assert bool(mood.instructions) == bool(mood.distress) == (label in {"anger", "disgust", "fear", "sadness"})
    assert mood.distress in mood.instructions


def test_nobody_is_called_upset_who_may_well_not_be() -> None:
    assert not DetectedEmotion("anger", 0.4).instructions


class Reader:
    """Hears in samples what they are filled with: 0 is how everybody sounds, and above that they shout."""

    def __init__(self) -> None:
        self.usual: list[float] = []

    def extract_features(self, samples: Floats) -> Floats | None:
        return samples[:1] if samples.size else None

    def classify_against_baseline(self, heard: Floats, usual: Floats) -> dict[str, float]:
        self.usual.append(float(usual[0]))
        return peaked_at("anger" if heard[0] > usual[0] + 1 else "neutral")


def sounding(loud: float) -> Floats:
    return np.full(SAMPLE_RATE, loud, np.float32)


class TestByTheSkill:
    @pytest.fixture
    def reader(self, monkeypatch: pytest.MonkeyPatch) -> Reader:
        reader = Reader()
        monkeypatch.setattr("parley.factory.emotion.EmotionBackends.voice_model", lambda _: reader)
        monkeypatch.setattr("parley.factory.emotion.EmotionBackends.text_model", lambda _: None)
        monkeypatch.setattr(
            "parley.factory.emotion.EmotionBackends.hidden_states",
            lambda _, *given: FakeEmotionModels().hidden_states(*given),
        )
        return reader

    @pytest.fixture
    def feel(self, reader: Reader) -> EmotionDetector:
        feel = build_emotion_detector(load({}).settings)
        feel.prepare(ScriptedModel())
        return feel

    def test_a_voice_counts_once_it_is_known(self, feel: EmotionDetector) -> None:
        model = ScriptedModel()
        for _ in range(2):
            mood = feel(model, "What is it?", sounding(5))
            assert mood is not None
            assert set(mood.parts) == {"text"}
        mood = feel(model, "Where is my parcel?", sounding(5))
        assert mood is not None
        assert mood.parts["voice"][0] == "neutral"
        mood = feel(model, "Where is my parcel?", sounding(9))
        assert mood is not None
        assert mood.parts["voice"][0] == "anger"

    def test_without_words_it_is_all_there_is(self, feel: EmotionDetector) -> None:
        assert [feel(ScriptedModel(), "", sounding(0)) for _ in range(2)] == [None, None]
        mood = feel(ScriptedModel(), " ", sounding(3))
        assert mood is not None
        assert mood.label == "anger"
        assert set(mood.parts) == {"voice"}

    def test_how_they_sound_when_upset_is_not_how_they_usually_sound(self, feel: EmotionDetector, reader: Reader) -> None:
        for loud in (1, 3, 9, 2, 9):
            feel(ScriptedModel(), "", sounding(loud))
        assert reader.usual == [2, 2, 2]

    def test_another_conversation_is_with_somebody_else(self, feel: EmotionDetector) -> None:
        for _ in range(2):
            feel(ScriptedModel(), "", sounding(1))
        feel.prepare(ScriptedModel())
        assert feel(ScriptedModel(), "", sounding(9)) is None

    def test_too_little_is_no_mood(self, feel: EmotionDetector) -> None:
        assert feel(ScriptedModel(), "", np.zeros(0, np.float32)) is None


def test_all_is_loaded_beforehand_but_an_embedded_model_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def loads(what: str) -> object:
        loaded.append(what)
        return object()

    monkeypatch.setattr("parley.factory.emotion.build_model", lambda settings, _: loads(settings.model))
    monkeypatch.setattr("parley.factory.emotion.build_voice_emotion_classifier", lambda *_: loads("voices"))
    model = ScriptedModel()
    model.info = replace(model.info, bundled=True)
    feel = build_emotion_detector(load({}).settings)
    feel.prepare(model)
    assert loaded == ["voices"]
    feel.prepare(ScriptedModel())
    assert loaded == ["voices", "pocket"]
