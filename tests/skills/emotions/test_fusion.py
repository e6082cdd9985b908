"""Fusion of modalities, and sentences about their disagreement."""

import pytest

from skills.emotions.fusion import Modality, Reliability, fuse, reliability
from skills.emotions.labels import EMOTIONS
from skills.emotions.result import ModalityResult, describe_disagreement
from tests.fakes.skills import peaked_at

TEXT_OVER_FACE: Reliability = {
    "text": {"weight": 1.0, "prior": [1 / 7] * 7},
    "face": {"weight": 0.5, "prior": [1 / 7] * 7},
}


def modality_result(source: Modality, label: str, probability: float) -> ModalityResult:
    return ModalityResult(
        source=source,
        label=label,
        probability=probability,
        probabilities=peaked_at(label, probability),
        weight=0.5,
        by="network",
    )


def test_a_single_modality_is_unchanged() -> None:
    assert fuse({"text": peaked_at("joy", 0.4)}, TEXT_OVER_FACE) == peaked_at("joy", 0.4)


def test_two_modalities_that_agree_are_more_confident() -> None:
    fused = fuse({"text": peaked_at("joy", 0.6), "face": peaked_at("joy", 0.6)}, TEXT_OVER_FACE)
    assert fused["joy"] > 0.6
    assert sum(fused.values()) == pytest.approx(1)


def test_the_modality_with_the_higher_weight_wins_a_contradiction() -> None:
    fused = fuse({"text": peaked_at("joy"), "face": peaked_at("anger")}, TEXT_OVER_FACE)
    assert max(fused, key=fused.__getitem__) == "joy"


def test_a_uniform_modality_changes_nothing() -> None:
    fused = fuse({"text": peaked_at("fear"), "face": dict.fromkeys(EMOTIONS, 1 / 7)}, TEXT_OVER_FACE)
    assert fused == pytest.approx(peaked_at("fear"))


def test_an_emotion_that_one_modality_never_learned_does_not_win_a_contradiction() -> None:
    without_surprise = [1e-4 if name == "surprise" else 1 / 6 for name in EMOTIONS]
    weights: Reliability = {
        "face": {"weight": 1.0, "prior": [1 / 7] * 7},
        "voice": {"weight": 1.0, "prior": without_surprise},
    }
    face = {**dict.fromkeys(EMOTIONS, 0.02), "fear": 0.55, "surprise": 0.35}
    voice = {**dict.fromkeys(EMOTIONS, 0.015), "joy": 0.925, "surprise": 0.0}
    fused = fuse({"face": face, "voice": voice}, weights)
    assert max(fused, key=fused.__getitem__) == "joy"


def test_the_shipped_weights_are_positive() -> None:
    assert {"text", "face", "voice"} <= reliability().keys()
    for fitted in reliability().values():
        if "prior" in fitted:
            assert isinstance(fitted["weight"], float)
            assert fitted["weight"] > 0


def test_only_confident_contradictions_are_a_disagreement() -> None:
    joy = modality_result("text", "joy", 0.8)
    assert describe_disagreement([joy, modality_result("face", "anger", 0.7)]) == (
        "They disagree: the words say joy and the face says anger."
    )
    assert describe_disagreement([joy, modality_result("face", "anger", 0.3)]) == ""
    assert describe_disagreement([joy, modality_result("voice", "joy", 0.9)]) == ""
