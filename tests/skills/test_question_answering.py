"""Answers with their confidence, and the answer "not visible"."""

import dataclasses
import math
import threading
from collections.abc import Sequence

import pytest

from assistant.errors import SkillError
from assistant.messages import Image
from assistant.models.pocket.confidence import calibrated_confidence, calibration, log_odds
from assistant.models.scripted import ScriptedModel
from skills import VisionClient, vqa


class ModelWithoutScores:
    """A chat model that cannot score."""

    def __init__(self) -> None:
        self._scripted = ScriptedModel("A dog.")
        self.info = self._scripted.info
        self.stream = self._scripted.stream
        self.close = self._scripted.close


class ScoringModel:
    """A chat model with a given probability for each answer, and 1e-6 for all others."""

    def __init__(self, probabilities: dict[str, float], *, reply: str = "", bundled: bool = False) -> None:
        self._probabilities = probabilities
        self._scripted = ScriptedModel(reply or max(probabilities, key=probabilities.__getitem__))
        self.info = dataclasses.replace(self._scripted.info, bundled=bundled)
        self.stream = self._scripted.stream
        self.close = self._scripted.close
        self.prompts: list[str] = []

    def score(
        self, messages: Sequence[object], options: Sequence[str], stop: threading.Event
    ) -> list[tuple[float, ...]]:
        self.prompts.append(messages[-1].text)  # type: ignore[attr-defined]
        return [(math.log(self._probabilities.get(option, 1e-6)), 0.0) for option in options]


def test_the_confidence_of_an_open_answer_is_its_probability(photo: Image) -> None:
    model = ScoringModel({"a dog": 0.6, "not visible": 0.1})
    result = vqa(photo, question="What is it?", model=VisionClient(model))
    assert (result.answer, result.visible, result.calibrated) == ("a dog", True, False)
    assert result.confidence == pytest.approx(0.6)
    assert model.prompts == [
        "What is it? Answer with a word or a short phrase. If the picture does not show it, answer: not visible."
    ]
    assert str(result) == "a dog  (60 % by the model's own, uncalibrated guess)"


def test_the_embedded_model_is_asked_as_it_was_taught_and_its_confidence_is_calibrated(photo: Image) -> None:
    model = ScoringModel({"A dog.": 0.6}, bundled=True)
    result = vqa(photo, question="What is it?", model=VisionClient(model))
    assert model.prompts == ["What is it?"]
    assert result.calibrated
    assert result.confidence == pytest.approx(calibrated_confidence(math.log(0.6), calibration()["open"]))
    assert result.confidence != pytest.approx(0.6, abs=1e-6)


def test_the_shipped_calibration_is_accurate_and_monotonic() -> None:
    measured = calibration()["open"]
    assert measured["questions"] > 500
    assert measured["ece_cross_fitted"] <= 0.08
    confidences = [calibrated_confidence(math.log(p), measured) for p in (1e-12, 0.01, 0.3, 0.7, 0.99, 1.0)]
    assert confidences == sorted(confidences)
    assert all(0 <= confidence <= 1 for confidence in confidences)


def test_log_odds_are_finite() -> None:
    assert log_odds(math.log(0.5)) == pytest.approx(0)
    assert math.isfinite(log_odds(0.0))
    assert math.isfinite(log_odds(-1e6))


def test_a_model_without_scores_answers_without_confidence(photo: Image) -> None:
    result = vqa(photo, question="What is it?", model=VisionClient(ModelWithoutScores()))
    assert (result.answer, result.confidence, str(result)) == ("A dog.", None, "A dog.")
    result = vqa(
        photo, question="Which of these is it?", model=VisionClient(ModelWithoutScores()), choice=("cat", "dog")
    )
    assert (result.answer, result.confidence, result.calibrated) == ("dog", None, False)
    with pytest.raises(SkillError, match=r"answered “A dog\.”, which is none of yes, no"):
        vqa(photo, question="Is it a dog?", model=VisionClient(ModelWithoutScores()), yes_no=True)


@pytest.mark.parametrize(
    ("reply", "bundled"),
    [
        ("I can't tell from the picture.", True),
        ("I can't read text in pictures.", True),
        ("I can't see a dog in the picture.", True),
        ("Not visible.", False),
        ("not visible", False),
    ],
)
def test_a_model_that_abstains_means_not_visible(photo: Image, reply: str, bundled: bool) -> None:
    result = vqa(photo, question="Who is it?", model=VisionClient(ScoringModel({reply: 0.7}, bundled=bundled)))
    assert (result.answer, result.visible) == ("not visible", False)
    assert result.confidence == pytest.approx(0.7)


def test_abstaining_wins_if_it_is_likelier_than_the_answer(photo: Image) -> None:
    model = ScoringModel({"a dog": 0.3, "not visible": 0.29})
    assert vqa(photo, question="What is it?", model=VisionClient(model)).visible
    model = ScoringModel({"a dog": 0.3, "not visible": 0.4}, reply="a dog")
    result = vqa(photo, question="What is it?", model=VisionClient(model))
    assert result.answer == "not visible"
    assert result.confidence == pytest.approx(0.4)


def test_yes_or_no_is_the_likelier_of_both_in_all_spellings(photo: Image) -> None:
    model = ScoringModel({"Well, that depends.": 0.5, "No": 0.3, "no": 0.06, "yes": 0.12})
    result = vqa(photo, question="Is it a dog?", model=VisionClient(model), yes_no=True)
    assert result.answer == "no"
    assert result.confidence == pytest.approx(0.36 / 0.48, abs=1e-4)
    assert [option.text for option in result.options] == ["yes", "no"]
    assert result.options[0].probability == pytest.approx(0.25, abs=1e-4)


def test_the_likeliest_option_is_chosen(photo: Image) -> None:
    model = ScoringModel({"A sofa.": 0.2, "Sofa.": 0.1, "A bed.": 0.15, "The bed.": 0.05, "A cat.": 0.4}, bundled=True)
    result = vqa(photo, question="What is it?", model=VisionClient(model), choice=("bed", "sofa", "bed"))
    assert (result.answer, result.calibrated) == ("sofa", False)
    probabilities = {option.text: option.probability for option in result.options}
    assert probabilities == pytest.approx({"bed": 0.4, "sofa": 0.6}, abs=1e-3)


def test_not_visible_can_be_likelier_than_all_options(photo: Image) -> None:
    model = ScoringModel({"red": 0.2, "blue": 0.1, "not visible": 0.6})
    result = vqa(photo, question="What colour?", model=VisionClient(model), choice=("red", "blue"))
    assert (result.answer, result.visible) == ("not visible", False)
    assert result.confidence == pytest.approx(0.6 / 0.9, abs=1e-4)


def test_contradicting_and_single_options_are_an_error(photo: Image, model: VisionClient) -> None:
    with pytest.raises(SkillError, match="--yes-no and --choice name two sets"):
        vqa(photo, question="Well?", model=model, yes_no=True, choice=("a", "b"))
    with pytest.raises(SkillError, match="One of the answers to choose from is empty"):
        vqa(photo, question="Well?", model=model, choice=("a", " "))
    with pytest.raises(SkillError, match="needs two different answers"):
        vqa(photo, question="Well?", model=model, choice=("a", "a"))


def test_the_explanation_is_a_second_question_with_the_answer(photo: Image, scripted: ScriptedModel) -> None:
    scripted.enqueue("a dog", "It has paws.")
    result = vqa(photo, question="What is it?", model=VisionClient(scripted), explain=True)
    assert result.explanation == "It has paws."
    assert "Your answer was: a dog." in scripted.prompts[-1][0].text
    assert str(result).endswith("\nIt has paws.")
