"""The emotion detector of empathy mode, built from the classifiers of the emotion skill."""

from dataclasses import replace

import numpy as np
import pytest

from assistant.models.base import ChatModel
from assistant.models.pocket.model import PocketModel
from assistant.models.scripted import ScriptedModel
from assistant.settings import load
from parley.factory.emotion import EmotionBackends, build_emotion_detector
from tests.fakes.audio import Floats
from tests.fakes.describer import scripted_vision
from tests.fakes.skills import FakeEmotionModels, peaked_at
from voice.audio.types import SAMPLE_RATE
from voice.emotion import EmotionDetector


class FakeVoiceClassifier:
    """Takes constant audio: who is louder than their baseline by more than 1 sounds angry."""

    def __init__(self) -> None:
        self.baselines: list[float] = []

    def extract_features(self, samples: Floats) -> Floats | None:
        return samples[:1] if samples.size else None

    def classify_against_baseline(self, features: Floats, baseline: Floats) -> dict[str, float]:
        self.baselines.append(float(baseline[0]))
        return peaked_at("anger" if features[0] > baseline[0] + 1 else "neutral")


def constant_audio(level: float) -> Floats:
    return np.full(SAMPLE_RATE, level, np.float32)


class BundledModel(ScriptedModel):
    """Passes for the bundled model, and remembers that it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.info = replace(self.info, bundled=True)
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_the_model_of_a_later_conversation_replaces_the_own_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    own, of_the_conversation = BundledModel(), BundledModel()
    monkeypatch.setattr("parley.factory.emotion.build_model", lambda *_: own)
    conversation: list[ChatModel] = []
    backends = EmotionBackends(load({}).settings, chat_model=lambda: conversation[0] if conversation else None)
    assert backends.text_model() is own
    conversation.append(of_the_conversation)
    assert backends.text_model() is of_the_conversation
    assert own.closed
    assert not of_the_conversation.closed


def test_a_model_that_has_the_small_one_for_its_images_lends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    small = BundledModel()
    pocket = PocketModel(ScriptedModel(), lambda: scripted_vision(vision_model=small))
    monkeypatch.setattr("parley.factory.emotion.build_model", lambda *_: pytest.fail("one copy is enough"))
    assert EmotionBackends(load({}).settings, chat_model=lambda: pocket).text_model() is small


class TestEmotionDetector:
    @pytest.fixture
    def classifier(self, monkeypatch: pytest.MonkeyPatch) -> FakeVoiceClassifier:
        classifier = FakeVoiceClassifier()
        backends = "parley.factory.emotion.EmotionBackends"
        monkeypatch.setattr(f"{backends}.voice_model", lambda _: classifier)
        monkeypatch.setattr(f"{backends}.text_model", lambda _: None)
        monkeypatch.setattr(
            f"{backends}.hidden_states", lambda _, *arguments: FakeEmotionModels().hidden_states(*arguments)
        )
        return classifier

    @pytest.fixture
    def detector(self, classifier: FakeVoiceClassifier) -> EmotionDetector:
        detector = build_emotion_detector(load({}).settings)
        detector.prepare(ScriptedModel())
        return detector

    def test_voice_counts_once_there_is_a_baseline(self, detector: EmotionDetector) -> None:
        model = ScriptedModel()
        for _ in range(2):
            emotion = detector.detect(model, "What is it?", constant_audio(5))
            assert emotion is not None
            assert set(emotion.parts) == {"text"}
        emotion = detector.detect(model, "Where is my parcel?", constant_audio(5))
        assert emotion is not None
        assert emotion.parts["voice"][0] == "neutral"
        emotion = detector.detect(model, "Where is my parcel?", constant_audio(9))
        assert emotion is not None
        assert emotion.parts["voice"][0] == "anger"

    def test_without_text_the_voice_decides_alone(self, detector: EmotionDetector) -> None:
        model = ScriptedModel()
        assert [detector.detect(model, "", constant_audio(0)) for _ in range(2)] == [None, None]
        emotion = detector.detect(model, " ", constant_audio(3))
        assert emotion is not None
        assert emotion.label == "anger"
        assert set(emotion.parts) == {"voice"}

    def test_distressed_utterances_do_not_shift_the_baseline(
        self, detector: EmotionDetector, classifier: FakeVoiceClassifier
    ) -> None:
        for level in (1, 3, 9, 2, 9):
            detector.detect(ScriptedModel(), "", constant_audio(level))
        assert classifier.baselines == [2, 2, 2]

    def test_each_conversation_has_its_own_baseline(self, detector: EmotionDetector) -> None:
        for _ in range(2):
            detector.detect(ScriptedModel(), "", constant_audio(1))
        detector.prepare(ScriptedModel())
        assert detector.detect(ScriptedModel(), "", constant_audio(9)) is None

    def test_no_audio_and_no_text_is_no_emotion(self, detector: EmotionDetector) -> None:
        assert detector.detect(ScriptedModel(), "", np.zeros(0, np.float32)) is None


def test_prepare_loads_all_models_but_a_bundled_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load_model(name: str) -> object:
        loaded.append(name)
        return object()

    monkeypatch.setattr("parley.factory.emotion.build_model", lambda settings, _: load_model(settings.model))
    monkeypatch.setattr("parley.factory.emotion.build_voice_emotion_classifier", lambda *_: load_model("voices"))
    model = ScriptedModel()
    model.info = replace(model.info, bundled=True)
    detector = build_emotion_detector(load({}).settings)
    detector.prepare(model)
    assert loaded == ["voices"]
    detector.prepare(ScriptedModel())
    assert loaded == ["voices", "pocket-small"]
