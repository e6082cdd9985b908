"""A second look at an image: which questions it answers, and when its answer is told."""

import threading
from collections.abc import Sequence

import pytest

from assistant.messages import Message
from assistant.models.pocket import second_look
from assistant.models.pocket.second_look import look_again
from assistant.models.scripted import ScriptedModel
from tests.fakes.skills import make_image

PHOTO = make_image()


@pytest.fixture(autouse=True)
def _confidence_is_the_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = {kind: {"slope": 1.0, "offset": 0.0} for kind in ("yes_no", "count", "colour")}
    monkeypatch.setattr(second_look, "calibration", lambda: fits)


class Judge(ScriptedModel):
    """Gives each candidate the log-probability that it was created with."""

    def __init__(self, *replies: str, **log_probabilities: float) -> None:
        super().__init__(*replies)
        self._log_probabilities = log_probabilities

    def score(self, _: Sequence[Message], candidates: Sequence[str], __: threading.Event) -> list[tuple[float, ...]]:
        return [(self._log_probabilities.get(each.strip("."), -9.0),) for each in candidates]


def look(question: str, model: ScriptedModel, seen: str = "") -> str:
    return look_again(question, PHOTO, seen, model, threading.Event())


@pytest.mark.parametrize("question", ["Is there a dog?", "Do you see a dog?", "are there dogs in it?"])
def test_a_sure_yes_is_told(question: str) -> None:
    assert look(question, Judge(Yes=-0.01, No=-8.0)) == "yes"


def test_answers_that_are_all_next_to_impossible_are_compared_all_the_same() -> None:
    unlikely = Judge(**{"Yes": -2000.0, "No": -2009.0, "I can't tell from the picture": -2009.0})
    assert look("Is there a dog?", unlikely) == "yes"


def test_an_unsure_yes_is_not_told() -> None:
    assert look("Is there a dog?", Judge(Yes=-0.6, No=-0.8)) == ""


def test_the_small_model_may_abstain() -> None:
    assert look("Is there a dog?", Judge(**{"I can't tell from the picture": -0.01})) == ""


def test_a_sure_number_is_told() -> None:
    assert look("How many dogs are there?", Judge("Two.", Two=-1e-6)) == "two"


def test_people_are_counted_where_some_were_seen() -> None:
    two = {"Two": -1e-6}
    assert look("How many people are there?", Judge("Two.", **two), "A dog runs through water.") == ""
    assert look("How many people are there?", Judge("Two.", **two), "A man and a dog run.") == "two"


@pytest.mark.parametrize("question", ["Where do you work?", "Who am I talking to?", "When can I reach you?"])
def test_a_question_about_the_speaker_is_not_about_the_picture(question: str) -> None:
    model = Judge("I can't tell from the picture.")
    assert look(question, model) == ""
    assert not model.prompts


def test_a_guessed_colour_is_not_told() -> None:
    assert look("What colour is the dog?", Judge("Red.", Red=-4.0)) == ""


@pytest.mark.parametrize(
    "question", ["Tell me who you are.", "Wie viele Hunde sind da?", "Is this dangerous?", "Why is there a dog?", ""]
)
def test_the_small_model_is_not_asked_what_it_was_not_measured_on(question: str) -> None:
    model = Judge()
    assert look(question, model) == ""
    assert not model.prompts


@pytest.mark.parametrize("question", ["Where was this taken?", "What is his name?", "How much does it cost?"])
def test_the_small_model_says_that_pictures_do_not_tell_everything(question: str) -> None:
    assert look(question, Judge("I can't tell from the picture.")) == "it does not show that"
    assert look(question, Judge("In the garden.")) == ""


def test_a_model_without_scores_is_not_asked() -> None:
    class Plain:
        info = ScriptedModel().info
        stream = ScriptedModel().stream
        close = ScriptedModel().close

    assert look_again("Is there a dog?", PHOTO, "", Plain(), threading.Event()) == ""
