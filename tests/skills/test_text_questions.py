"""Questions about the text in an image, which are answered by reading it."""

import dataclasses
import threading
from collections.abc import Sequence

import pytest

from assistant.models.scripted import ScriptedModel
from skills import VisionClient, vqa
from skills.ocr import Line, OcrResult
from skills.text_questions import answer_from_text, asks_for_text
from tests.fakes.skills import make_image, make_text_image


class BundledModel:
    """Passes for the bundled model, which cannot read."""

    def __init__(self, reply: str = "A sign.") -> None:
        scripted = ScriptedModel(reply)
        self.info = dataclasses.replace(scripted.info, bundled=True)
        self.stream = scripted.stream
        self.close = scripted.close

    def score(self, messages: object, options: Sequence[str], stop: threading.Event) -> list[tuple[float, ...]]:
        return [(-0.5,) if option in ("Yes.", "A sign.") else (-3.0,) for option in options]


@pytest.mark.parametrize(
    "question",
    [
        "What does it say?",
        "What's the sign say?",
        "Tell me what it says",
        "What is on the label?",
        "How does the sign read?",
        "Type out the text",
        "Was liest du?",
        "Which number is on the sign?",
        "What number is on the bus?",
        "What is the title?",
        "What's the headline of this page?",
        "What is the number on his shirt?",
        "what is the phone number",
        "Was steht auf dem Schild?",
        "Was steht da?",
        "Lies mir bitte den Text vor.",
        "Kannst du das vorlesen?",
        "Welche Nummer steht auf dem Bus?",
        "Wie lautet die Überschrift?",
        "Was sagt das Plakat?",
    ],
)
def test_questions_about_text_are_told(question: str) -> None:
    assert asks_for_text(question)


@pytest.mark.parametrize(
    "question",
    [
        "What is on the sign's left?",
        "What's the man saying?",
        "What is on the page holder?",
        "Which number of dogs do you see?",
        "What is the number of people?",
        "What is the man doing?",
        "Was steht auf dem Tisch?",
        "Wer steht neben dem Auto?",
        "Wie viele Hunde sind da?",
        "Is she reading a book?",
        "What is this?",
    ],
)
def test_other_questions_are_not(question: str) -> None:
    assert not asks_for_text(question)


def test_vqa_reads_what_the_bundled_model_cannot() -> None:
    photo = make_text_image((40, 40, "PLATFORM"), (40, 160, "NUMBER 42"))
    model = VisionClient(BundledModel())
    answer = vqa(photo, question="What does it say?", model=model)
    assert answer.answer.split() == ["PLATFORM", "NUMBER", "42"]
    assert (answer.visible, answer.model, answer.calibrated) == (True, "read", False)
    assert answer.confidence is not None
    assert answer.confidence > 0.5
    assert vqa(photo, question="Welche Nummer steht da?", model=model).answer == "NUMBER 42"
    empty = vqa(make_image(200, 200), question="What does it say?", model=model)
    assert (empty.answer, empty.visible, empty.confidence) == ("not visible", False, None)


def test_a_title_is_the_largest_text() -> None:
    small = Line(text="by nobody", score=1.0, box=(0, 50, 100, 60))
    title = Line(text="THE TITLE", score=1.0, box=(0, 0, 100, 40))
    found = OcrResult(lines=[title, small])
    assert answer_from_text("What is the title?", found).rows == ["THE TITLE"]
    assert answer_from_text("What does it say?", found) == found
    assert answer_from_text("Which number is on it?", found) == found


def test_an_open_answer_of_yes_or_no_has_the_form_of_a_chosen_one() -> None:
    model = VisionClient(BundledModel("Yes."))
    answers = [
        vqa(make_image(), question="Is it a dog?", model=model),
        vqa(make_image(), question="Is it a dog?", model=model, yes_no=True),
        vqa(make_image(), question="Is it a dog?", model=model, choice=("yes", "no")),
    ]
    assert {str(answer) for answer in answers} == {str(answers[0])}
    assert (answers[0].answer, answers[0].calibrated) == ("yes", True)
