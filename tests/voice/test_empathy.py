"""How somebody seems to feel: when the model is told, what, and by what they are judged."""

from dataclasses import replace

import numpy as np
import pytest

from assistant.app import build_feel
from assistant.models.scripted import ScriptedModel
from assistant.settings import load
from skills.emotions.labels import EMOTIONS
from tests.skills.test_emotions import Innards
from voice.empathy import Feel, Mood
from voice.samples import HEARING_RATE


@pytest.mark.parametrize("label", EMOTIONS)
def test_the_model_is_told_of_those_who_are_upset_alone(label: str) -> None:
    mood = Mood(label, 0.8)
    assert bool(mood.instructions) == bool(mood.upset) == (label in {"anger", "disgust", "fear", "sadness"})
    assert mood.upset in mood.instructions


def test_nobody_is_called_upset_who_may_well_not_be() -> None:
    assert not Mood("anger", 0.4).instructions


class TestByTheSkill:
    @pytest.fixture
    def innards(self, monkeypatch: pytest.MonkeyPatch) -> Innards:
        innards = Innards()
        for name in ("states", "tone"):
            monkeypatch.setattr(
                f"assistant.app._Senses.{name}", lambda _, *given, name=name: getattr(innards, name)(*given)
            )
        return innards

    @pytest.fixture
    def feel(self) -> Feel:
        return build_feel(load({}).settings)

    def test_words_and_voice_count_together(self, feel: Feel, innards: Innards) -> None:
        innards.sounds("anger")
        mood = feel(ScriptedModel(), "Where is my parcel?", np.zeros(HEARING_RATE, np.float32))
        assert mood is not None
        assert set(mood.parts) == {"text", "voice"}
        assert mood.parts["voice"][0] == "anger"
        assert innards.read == ["Where is my parcel?"]

    def test_without_words_the_voice_alone(self, feel: Feel, innards: Innards) -> None:
        innards.sounds("sadness")
        mood = feel(ScriptedModel(), "", np.zeros(HEARING_RATE, np.float32))
        assert mood is not None
        assert mood.label == "sadness"
        assert set(mood.parts) == {"voice"}
        assert innards.read == []

    def test_too_little_is_no_mood(self, feel: Feel, innards: Innards) -> None:
        assert feel(ScriptedModel(), "", np.zeros(HEARING_RATE, np.float32)) is None
        assert innards.read == []

    def test_all_is_loaded_beforehand_but_an_embedded_model_that_is_there(
        self, feel: Feel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded: list[str] = []

        def load(what: str) -> object:
            loaded.append(what)
            return object()

        monkeypatch.setattr("assistant.app.build_model", lambda settings, _: load(settings.model))
        monkeypatch.setattr("assistant.app.build_voice_reader", lambda *_: load("voices"))
        model = ScriptedModel()
        model.info = replace(model.info, embedded=True)
        feel.prepare(model)
        assert loaded == ["voices"]
        feel.prepare(ScriptedModel())
        assert loaded == ["voices", "pocket"]
