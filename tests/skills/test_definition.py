"""What is read off a skill's signature, and what becomes of values that do not fit it."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from assistant.errors import AttachmentError, SkillError
from assistant.messages import Image
from skills import Parameter, VisionClient, VisionModel, skill
from skills.definition import as_text


class Tone(BaseModel):
    said: str
    count: int = 1


@skill
def tone_of(
    photo: Image,
    question: str,
    model: VisionModel,
    *,
    style: Annotated[Literal["dry", "warm"], "How to say it."] = "dry",
    loud: bool = False,
    times: Annotated[int, Field(ge=1, le=9)] = 1,
    word: tuple[str, ...] = (),
    other: Image | None = None,
) -> Tone:
    """Say in what tone to speak of a picture.

    It is guessed.
    """
    said = model.ask(f"{question} {style} {loud} {' '.join(word)}", *filter(None, [photo, other]))
    return Tone(said=said, count=times)


def test_its_signature_says_what_it_takes() -> None:
    assert (tone_of.name, tone_of.summary, tone_of.description) == (
        "tone-of",
        "Say in what tone to speak of a picture.",
        "It is guessed.",
    )
    assert tone_of.needs_model
    assert tone_of.result_type is Tone
    assert tone_of.parameters == (
        Parameter("photo", "photo", False, None, (), ""),
        Parameter("question", "text", False, None, (), ""),
        Parameter("style", "choice", True, "dry", ("dry", "warm"), "How to say it."),
        Parameter("loud", "flag", True, False, (), ""),
        Parameter("times", "whole number", True, 1, (), ""),
        Parameter("word", "texts", True, (), (), ""),
        Parameter("other", "photo", True, None, (), ""),
    )


def test_it_can_still_be_called_as_a_function(photo: Image, model: VisionClient) -> None:
    assert tone_of(photo, "Well?", model, loud=True).said == "You said: Well? dry True  (and showed photo.png)"


def test_run_converts_what_people_type(photo: Image, model: VisionClient) -> None:
    values = {"photo": photo, "question": " Well? ", "times": "3", "word": ["a", "b"], "loud": None, "other": photo}
    result = tone_of.run(values, model)
    assert result == Tone(said="You said: Well? dry False a b (and showed photo.png, photo.png)", count=3)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"question": None}, "needs a question"),
        ({"question": "  "}, "is empty"),
        ({"photo": None}, "needs a photo"),
        ({"style": "loud"}, r"--style of the skill tone-of is 'loud': input should be 'dry' or 'warm'\."),
        ({"times": "ten"}, "--times of the skill tone-of is 'ten': input should be a valid integer"),
        ({"times": 10}, "less than or equal to 9"),
        ({"colour": "red"}, "takes no colour; it takes photo, question, style"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    photo: Image, model: VisionClient, values: dict[str, object], sentence: str
) -> None:
    with pytest.raises(SkillError, match=sentence):
        tone_of.run({"photo": photo, "question": "Well?", **values}, model)


def test_a_model_has_to_be_passed(photo: Image) -> None:
    with pytest.raises(SkillError, match="needs a model"):
        tone_of.run({"photo": photo, "question": "Well?"})


def test_what_goes_wrong_in_somebody_elses_skill_is_a_sentence() -> None:
    @skill
    def broken(word: str) -> Tone:
        return Tone(said=word, count=dict[str, int]()["count"])

    with pytest.raises(SkillError, match="The skill broken failed on this: KeyError: 'count'"):
        broken.run({"word": "a"})


def test_an_error_that_people_can_act_on_comes_through_as_it_is() -> None:
    @skill
    def picky(word: str) -> Tone:
        raise AttachmentError(f"{word} is no picture.")

    with pytest.raises(AttachmentError, match="a is no picture"):
        picky.run({"word": "a"})


def test_types_that_nobody_can_type_in_are_refused() -> None:
    @skill
    def odd(words: dict[str, int]) -> Tone:
        return Tone(said=str(words))

    with pytest.raises(SkillError, match=r"takes words as dict\[str, int\], which cannot be entered"):
        _ = odd.parameters


def test_a_result_that_is_no_model_is_refused() -> None:
    @skill  # type: ignore[type-var]
    def bare(word: str) -> str:
        return word

    with pytest.raises(SkillError, match="should return a pydantic model, not str"):
        bare.run({"word": "a"})
    with pytest.raises(SkillError, match="should say that it returns a pydantic model"):
        _ = bare.result_type


def test_a_result_in_words_is_its_own_or_a_line_for_each_field() -> None:
    class Spoken(Tone):
        def __str__(self) -> str:
            return f"“{self.said}”"

    assert as_text(Tone(said="hello")) == "said: hello\ncount: 1"
    assert as_text(Spoken(said="hello")) == "“hello”"
