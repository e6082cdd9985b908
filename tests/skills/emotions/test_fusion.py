"""Fusion of modalities, and sentences about their disagreement."""

from collections.abc import Mapping
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skills.emotions.fusion import Modality, Reliability, fuse, influence, reliability
from skills.emotions.labels import EMOTIONS
from skills.emotions.probabilities import most_likely
from skills.emotions.result import ModalityResult, describe_disagreement
from tests.fakes.skills import peaked_at

MODALITIES: tuple[Modality, ...] = ("text", "face", "voice")
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


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_shipped_numbers_are_in_range(modality: Modality) -> None:
    fitted = reliability()[modality]
    assert isinstance(fitted["weight"], float)
    assert isinstance(fitted["doubt"], float)
    assert fitted["weight"] > 0
    assert 0 <= fitted["doubt"] < 1
    assert influence(modality) > 0


# Words of 51 % anger and a voice of 95 % neutral once made "fear" and "disgust", which neither shows.
@pytest.mark.parametrize(
    "others",
    [
        {"disgust": 0.12, "fear": 0.09, "joy": 0.05, "neutral": 0.08, "sadness": 0.09, "surprise": 0.06},
        {"disgust": 0.01, "fear": 0.30, "joy": 0.02, "neutral": 0.01, "sadness": 0.10, "surprise": 0.05},
        {"disgust": 0.40, "fear": 0.02, "joy": 0.01, "neutral": 0.01, "sadness": 0.02, "surprise": 0.03},
    ],
)
def test_an_emotion_that_no_part_shows_is_not_named(others: dict[str, float]) -> None:
    voice = dict.fromkeys(EMOTIONS, 0.01) | {"neutral": 0.95, "anger": 0.0001, "surprise": 0.0}
    assert most_likely(fuse({"text": {"anger": 0.51, **others}, "voice": voice}))[0] in {"anger", "neutral"}


def test_parts_that_show_the_same_emotion_are_not_overruled_by_what_is_rare() -> None:
    # Disgust is one in seventy comments: divided by that, 20 % of it would be more than 50 % neutral.
    text = {**dict.fromkeys(EMOTIONS, 0.06), "neutral": 0.5, "disgust": 0.2}
    voice = {**dict.fromkeys(EMOTIONS, 0.06), "neutral": 0.5, "disgust": 0.2}
    assert most_likely(fuse({"text": text, "voice": voice}))[0] == "neutral"


def distributions() -> st.SearchStrategy[dict[str, float]]:
    """Return probabilities of `EMOTIONS`: with equal ones, zeros and certainty, as they occur after rounding."""
    shares = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1e-3), st.floats(0, 1), st.floats(0, 1e6))

    def normalize(values: list[float]) -> dict[str, float]:
        total = sum(values)
        return {name: value / total for name, value in zip(EMOTIONS, values, strict=True)}

    return st.lists(shares, min_size=7, max_size=7).filter(lambda values: sum(values) > 1e-6).map(normalize)


def parts_of_any_modalities() -> st.SearchStrategy[dict[Modality, dict[str, float]]]:
    """Return probabilities by one, two or three modalities."""
    subsets = [each for size in (1, 2, 3) for each in combinations(MODALITIES, size)]
    return st.sampled_from(subsets).flatmap(
        lambda chosen: st.fixed_dictionaries({modality: distributions() for modality in chosen})
    )


@given(parts_of_any_modalities())
def test_fusion_names_what_a_part_shows_and_keeps_every_order_that_all_parts_agree_on(
    parts: Mapping[Modality, Mapping[str, float]],
) -> None:
    fused = fuse(parts)
    label, _ = most_likely(fused)
    assert any(part[label] == max(part.values()) for part in parts.values())
    for higher, lower in permutations(EMOTIONS, 2):
        if all(part[higher] > part[lower] for part in parts.values()):
            assert fused[higher] > fused[lower]
    assert sum(fused.values()) == pytest.approx(1)


def test_only_confident_contradictions_are_a_disagreement() -> None:
    joy = modality_result("text", "joy", 0.8)
    assert describe_disagreement([joy, modality_result("face", "anger", 0.7)]) == (
        "They disagree: the words say joy and the face says anger."
    )
    assert describe_disagreement([joy, modality_result("face", "anger", 0.3)]) == ""
    assert describe_disagreement([joy, modality_result("voice", "joy", 0.9)]) == ""
