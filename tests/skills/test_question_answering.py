"""Answers with their confidence: where that comes from, and what is said where the picture does not tell."""

import dataclasses
import math
import threading
from collections.abc import Sequence

import pytest

from assistant.errors import SkillError
from assistant.messages import Image
from assistant.models.scripted import ScriptedModel
from skills import VisionClient, vqa
from skills.confidence import calibrated_confidence, calibration, log_odds


class Unsure:
    """A model that answers and cannot say how likely the answer was."""

    def __init__(self) -> None:
        self._scripted = ScriptedModel("A dog.")
        self.info = self._scripted.info
        self.stream = self._scripted.stream
        self.close = self._scripted.close


class Opinions:
    """A model with a probability for each answer it knows, which one token stands for."""

    def __init__(self, probabilities: dict[str, float], *, bundled: bool = False) -> None:
        self._probabilities = probabilities
        self._scripted = ScriptedModel(max(probabilities, key=probabilities.__getitem__))
        self.info = dataclasses.replace(self._scripted.info, bundled=bundled)
        self.stream = self._scripted.stream
        self.close = self._scripted.close
        self.asked: list[str] = []

    def score(
        self, messages: Sequence[object], options: Sequence[str], stop: threading.Event
    ) -> list[tuple[float, ...]]:
        self.asked.append(messages[-1].text)  # type: ignore[attr-defined]
        return [(math.log(self._probabilities.get(option, 1e-6)), 0.0) for option in options]


def test_an_open_answer_is_as_sure_as_its_words_are_likely(photo: Image) -> None:
    model = Opinions({"a dog": 0.6, "not visible": 0.1})
    result = vqa(photo, "What is it?", VisionClient(model))
    assert (result.answer, result.visible, result.calibrated) == ("a dog", True, False)
    assert result.confidence == pytest.approx(0.6)
    assert model.asked == [
        "What is it? Answer with a word or a short phrase. If the picture does not show it, answer: not visible."
    ]
    assert str(result) == "a dog  (60 % by the model's own, uncalibrated guess)"


def test_the_embedded_model_is_asked_as_it_was_taught_and_its_confidence_is_calibrated(photo: Image) -> None:
    model = Opinions({"A dog.": 0.6}, bundled=True)
    result = vqa(photo, "What is it?", VisionClient(model))
    assert model.asked == ["What is it?"]
    assert result.calibrated
    assert result.confidence == pytest.approx(calibrated_confidence(math.log(0.6), calibration()["open"]))
    assert result.confidence != pytest.approx(0.6, abs=1e-6)


def test_the_calibration_was_measured_and_keeps_the_order() -> None:
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


def test_a_model_without_probabilities_answers_without_confidence(photo: Image) -> None:
    result = vqa(photo, "What is it?", VisionClient(Unsure()))
    assert (result.answer, result.confidence, str(result)) == ("A dog.", None, "A dog.")
    result = vqa(photo, "Which of these is it?", VisionClient(Unsure()), choice=("cat", "dog"))
    assert (result.answer, result.confidence, result.calibrated) == ("dog", None, False)
    with pytest.raises(SkillError, match=r"answered “A dog\.”, which is none of yes, no"):
        vqa(photo, "Is it a dog?", VisionClient(Unsure()), yes_no=True)


@pytest.mark.parametrize(
    ("said", "bundled"),
    [
        ("I can't tell from the picture.", True),
        ("I can't read text in pictures.", True),
        ("I can't see a dog in the picture.", True),
        ("Not visible.", False),
        ("not visible", False),
    ],
)
def test_a_model_that_declines_says_that_it_is_not_visible(photo: Image, said: str, bundled: bool) -> None:
    result = vqa(photo, "Who is it?", VisionClient(Opinions({said: 0.7}, bundled=bundled)))
    assert (result.answer, result.visible) == ("not visible", False)
    assert result.confidence == pytest.approx(0.7)


def test_so_it_is_if_declining_is_likelier_than_the_answer(photo: Image) -> None:
    model = Opinions({"a dog": 0.3, "not visible": 0.29})
    assert vqa(photo, "What is it?", VisionClient(model)).visible
    model = Opinions({"a dog": 0.3})
    model._probabilities["not visible"] = 0.4
    result = vqa(photo, "What is it?", VisionClient(model))
    assert result.answer == "not visible"
    assert result.confidence == pytest.approx(0.4)


def test_yes_or_no_is_the_likelier_of_both_whatever_the_model_would_say(photo: Image) -> None:
    model = Opinions({"Well, that depends.": 0.5, "No": 0.3, "no": 0.06, "yes": 0.12})
    result = vqa(photo, "Is it a dog?", VisionClient(model), yes_no=True)
    assert result.answer == "no"
    assert result.confidence == pytest.approx(0.36 / 0.48, abs=1e-4)
    assert [option.text for option in result.options] == ["yes", "no"]
    assert result.options[0].probability == pytest.approx(0.25, abs=1e-4)


def test_the_choice_is_the_likeliest_of_those_given(photo: Image) -> None:
    model = Opinions({"A sofa.": 0.2, "Sofa.": 0.1, "A bed.": 0.15, "The bed.": 0.05, "A cat.": 0.4}, bundled=True)
    result = vqa(photo, "What is it?", VisionClient(model), choice=("bed", "sofa", "bed"))
    assert (result.answer, result.calibrated) == ("sofa", False)
    assert {option.text: round(option.probability, 3) for option in result.options} == {"bed": 0.4, "sofa": 0.6}


def test_a_choice_may_be_not_visible(photo: Image) -> None:
    model = Opinions({"red": 0.2, "blue": 0.1, "not visible": 0.6})
    result = vqa(photo, "What colour?", VisionClient(model), choice=("red", "blue"))
    assert (result.answer, result.visible) == ("not visible", False)
    assert result.confidence == pytest.approx(0.6 / 0.9, abs=1e-4)


def test_sets_of_answers_that_are_none_are_refused(photo: Image, model: VisionClient) -> None:
    with pytest.raises(SkillError, match="--yes-no and --choice name two sets"):
        vqa(photo, "Well?", model, yes_no=True, choice=("a", "b"))
    with pytest.raises(SkillError, match="needs two different answers"):
        vqa(photo, "Well?", model, choice=("a", "a"))


def test_an_explanation_is_asked_for_with_the_answer(photo: Image, scripted: ScriptedModel) -> None:
    scripted.enqueue("a dog", "It has paws.")
    result = vqa(photo, "What is it?", VisionClient(scripted), explain=True)
    assert result.explanation == "It has paws."
    assert "Your answer was: a dog." in scripted.prompts[-1][0].text
    assert str(result).endswith("\nIt has paws.")
