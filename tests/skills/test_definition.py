"""Skills: what their signature says, validation of values, and errors."""

import threading
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from assistant.errors import AttachmentError, SkillError
from assistant.messages import Image
from skills import Parameter, VisionClient, VisionModel, skill
from skills.definition import as_text


class Greeting(BaseModel):
    said: str
    count: int = 1


@skill
def greeting_for(
    photo: Image,
    question: str,
    model: VisionModel,
    *,
    style: Annotated[Literal["dry", "warm"], "How to say it."] = "dry",
    loud: bool = False,
    times: Annotated[int, Field(ge=1, le=9)] = 1,
    word: tuple[str, ...] = (),
    other: Image | None = None,
) -> Greeting:
    """Say in what tone to speak of a picture.

    It is guessed.
    """
    said = model.ask(f"{question} {style} {loud} {' '.join(word)}", *filter(None, [photo, other]))
    return Greeting(said=said, count=times)


def test_the_signature_describes_the_parameters() -> None:
    assert (greeting_for.name, greeting_for.summary, greeting_for.description) == (
        "greeting-for",
        "Say in what tone to speak of a picture.",
        "It is guessed.",
    )
    assert greeting_for.needs_model
    assert greeting_for.result_type is Greeting
    assert greeting_for.parameters == (
        Parameter("photo", "photo", False, None, (), ""),
        Parameter("question", "text", False, None, (), ""),
        Parameter("style", "choice", True, "dry", ("dry", "warm"), "How to say it."),
        Parameter("loud", "flag", True, False, (), ""),
        Parameter("times", "whole number", True, 1, (), ""),
        Parameter("word", "texts", True, (), (), ""),
        Parameter("other", "photo", True, None, (), ""),
    )


def test_a_skill_can_be_called_as_a_function(photo: Image, model: VisionClient) -> None:
    assert greeting_for(photo, "Well?", model, loud=True).said == "You said: Well? dry True  (and showed photo.png)"


def test_run_converts_strings_to_the_types_of_the_parameters(photo: Image, model: VisionClient) -> None:
    values = {"photo": photo, "question": " Well? ", "times": "3", "word": ["a", "b"], "loud": None, "other": photo}
    result = greeting_for.run(values, model)
    assert result == Greeting(said="You said: Well? dry False a b (and showed photo.png, photo.png)", count=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"question": None}, "needs a question"),
        ({"question": "  "}, "is empty"),
        ({"photo": None}, "needs a photo"),
        ({"style": "loud"}, r"--style of the skill greeting-for is 'loud': input should be 'dry' or 'warm'\."),
        ({"times": "ten"}, "--times of the skill greeting-for is 'ten': input should be a valid integer"),
        ({"times": 10}, "less than or equal to 9"),
        ({"colour": "red"}, "takes no colour; it takes photo, question, style"),
    ],
)
def test_values_that_do_not_fit_are_an_error(
    photo: Image, model: VisionClient, values: dict[str, object], message: str
) -> None:
    with pytest.raises(SkillError, match=message):
        greeting_for.run({"photo": photo, "question": "Well?", **values}, model)


def test_a_missing_model_is_an_error(photo: Image) -> None:
    with pytest.raises(SkillError, match="needs a model"):
        greeting_for.run({"photo": photo, "question": "Well?"})


def test_an_exception_in_a_third_party_skill_is_a_skill_error() -> None:
    @skill
    def broken(word: str) -> Greeting:
        return Greeting(said=word, count=dict[str, int]()["count"])

    with pytest.raises(SkillError, match="The skill broken failed on this: KeyError: 'count'"):
        broken.run({"word": "a"})


def test_a_parley_error_in_a_skill_is_passed_on() -> None:
    @skill
    def picky(word: str) -> Greeting:
        raise AttachmentError(f"{word} is no picture.")

    with pytest.raises(AttachmentError, match="a is no picture"):
        picky.run({"word": "a"})


def test_a_skill_that_takes_long_is_given_the_event_that_ends_it() -> None:
    @skill
    def slow(word: str, *, until: threading.Event | None = None) -> Greeting:
        return Greeting(said=f"{word} {until is not None and until.is_set()}")

    stop = threading.Event()
    stop.set()
    assert [parameter.name for parameter in slow.parameters] == ["word"]
    assert slow.run({"word": "a"}, stop=stop) == Greeting(said="a True")
    assert slow.run({"word": "a"}) == slow("a") == Greeting(said="a False")


def test_a_parameter_type_that_cannot_be_entered_is_an_error() -> None:
    @skill
    def odd(words: dict[str, int]) -> Greeting:
        return Greeting(said=str(words))

    with pytest.raises(SkillError, match=r"takes words as dict\[str, int\], which cannot be entered"):
        _ = odd.parameters


def test_a_result_that_is_no_pydantic_model_is_an_error() -> None:
    @skill  # type: ignore[type-var]
    def bare(word: str) -> str:
        return word

    with pytest.raises(SkillError, match="should return a pydantic model, not str"):
        bare.run({"word": "a"})
    with pytest.raises(SkillError, match="should say that it returns a pydantic model"):
        _ = bare.result_type


def test_as_text_uses_str_or_one_line_per_field() -> None:
    class Quoted(Greeting):
        def __str__(self) -> str:
            return f"“{self.said}”"

    assert as_text(Greeting(said="hello")) == "said: hello\ncount: 1"
    assert as_text(Quoted(said="hello")) == "“hello”"
