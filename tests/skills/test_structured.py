"""Answers in a shape of one's own: found among words, mended once, and otherwise a failure that shows them."""

import pytest
from pydantic import BaseModel, Field

from assistant.errors import SkillError
from assistant.messages import Image
from assistant.models.scripted import ScriptedModel
from skills import UnfilledSchemaError, VisionClient, ask_json


class Room(BaseModel):
    name: str
    chairs: int = Field(ge=0)
    colours: list[str] = []


GOOD = '{"name": "kitchen", "chairs": 2, "colours": ["red"]}'


@pytest.mark.parametrize(
    "raw",
    [
        GOOD,
        f"Sure! Here it is:\n```json\n{GOOD}\n```\nAnything {{else}}?",
        f"I use {{braces}} and then {GOOD}",
        f'{{"not": "it"}} {GOOD}',
    ],
)
def test_an_answer_is_found_among_words(photo: Image, model: VisionClient, scripted: ScriptedModel, raw: str) -> None:
    scripted.enqueue(raw)
    assert ask_json(model, Room, "Which room?", photo) == Room(name="kitchen", chairs=2, colours=["red"])
    [prompt] = scripted.prompts
    assert prompt[0].images == (photo,)
    assert '"chairs"' in prompt[0].text


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("A kitchen.", "it holds no JSON object"),
        ('{"name": "kitchen", "chairs": ', "its JSON is not valid"),
        ('{"name": "kitchen", "chairs": -1}', "chairs: input should be greater than or equal to 0"),
        ('{"name": "kitchen"}', "chairs: field required"),
        ("{" * 3000, "its JSON is not valid"),
    ],
)
def test_one_that_does_not_fit_is_shown_to_the_model_once(
    photo: Image, model: VisionClient, scripted: ScriptedModel, raw: str, why: str
) -> None:
    scripted.enqueue(raw, GOOD)
    assert ask_json(model, Room, "Which room?", photo).chairs == 2
    again = scripted.prompts[1][0]
    assert why in again.text
    assert raw.strip() in again.text
    assert again.images == (photo,)


def test_after_that_it_is_a_failure_that_carries_the_words(
    photo: Image, model: VisionClient, scripted: ScriptedModel
) -> None:
    scripted.enqueue("A kitchen.", '{"name": 3}', GOOD)
    with pytest.raises(
        UnfilledSchemaError, match="scripted did not answer as a Room, even when asked again: name: "
    ) as caught:
        ask_json(model, Room, "Which room?", photo)
    assert caught.value.raw == '{"name": 3}'
    assert isinstance(caught.value, SkillError)
    assert len(scripted.prompts) == 2
