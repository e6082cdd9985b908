"""Structured answers: found in the reply, asked for once more, else an error with the reply."""

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
def test_json_is_found_in_the_text_around_it(
    photo: Image, model: VisionClient, scripted: ScriptedModel, raw: str
) -> None:
    scripted.enqueue(raw)
    assert ask_json(photo, question="Which room?", schema=Room, model=model) == Room(
        name="kitchen", chairs=2, colours=["red"]
    )
    [prompt] = scripted.prompts
    assert prompt[0].images == (photo,)
    assert '"chairs"' in prompt[0].text


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("A kitchen.", "it holds no JSON object"),
        ('{"name": "kitchen", "chairs": ', "its JSON is not valid"),
        ('{"name": "kitchen", "chairs": -1}', "chairs: input should be greater than or equal to 0"),
        ('{"name": "kitchen"}', "chairs: field required"),
        ("{" * 3000, "its JSON is not valid"),
    ],
)
def test_an_answer_that_does_not_fit_is_asked_for_once_more(
    photo: Image, model: VisionClient, scripted: ScriptedModel, raw: str, reason: str
) -> None:
    scripted.enqueue(raw, GOOD)
    assert ask_json(photo, question="Which room?", schema=Room, model=model).chairs == 2
    again = scripted.prompts[1][0]
    assert reason in again.text
    assert raw.strip()[:1000] in again.text
    assert again.images == (photo,)


def test_the_second_failure_is_an_error_with_the_raw_answer(
    photo: Image, model: VisionClient, scripted: ScriptedModel
) -> None:
    scripted.enqueue("A kitchen.", '{"name": 3}', GOOD)
    with pytest.raises(
        UnfilledSchemaError, match="scripted did not answer as a Room, even when asked again: name: "
    ) as caught:
        ask_json(photo, question="Which room?", schema=Room, model=model)
    assert caught.value.raw == '{"name": 3}'
    assert isinstance(caught.value, SkillError)
    assert len(scripted.prompts) == 2
