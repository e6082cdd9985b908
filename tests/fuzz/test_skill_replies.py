"""Odd replies of models through the skills: a result with the promised types, or an error."""

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from pydantic import BaseModel

from assistant.messages import Image
from assistant.models.base import ModelInfo
from assistant.models.scripted import ScriptedModel
from assistant.text_cleaning import clean_text, to_json
from skills import ask_json, caption, vqa
from skills.captioning import MAX_ALT_TEXT_CHARACTERS, Caption, Style
from skills.definition import as_text
from skills.jsonl_results import make_record
from skills.question_answering import Answer
from skills.vision_model import ScoringUnsupported
from tests.fakes.skills import make_image
from tests.fuzz.harness import fuzz, mutate_bytes, odd_json, odd_text

pytestmark = pytest.mark.slow

STYLES: tuple[Style, ...] = ("short", "detailed", "dense", "alt-text")
REGION_KEYS = ("bbox_2d", "label", "bbox", "x")
ROOM_KEYS = ("name", "chairs", "colours")
PHOTO = make_image(90, 70)


class Room(BaseModel):
    """A schema to be filled in."""

    name: str
    chairs: int
    colours: list[str]


@dataclass(frozen=True)
class Input:
    """A call of a skill, and what the model replies and how likely it calls each answer."""

    skill: Literal["caption", "vqa", "ask_json"]
    replies: tuple[str, ...]
    scores: tuple[float, ...]
    style: Style
    choice: tuple[str, ...]
    bundled: bool
    grounding: bool
    explain: bool


class OddModel:
    """A model that gives the replies of an input in turn."""

    def __init__(self, value: Input) -> None:
        self._value = value
        self._count = 0
        self.info: ModelInfo = replace(
            ScriptedModel().info, bundled=value.bundled, supports_grounding=value.grounding, name="odd"
        )

    def ask(self, question: str, *images: Image, max_tokens: int = 64) -> str:
        self._count += 1
        return self._value.replies[(self._count - 1) % len(self._value.replies)]

    def score(self, question: str, candidates: Sequence[str], *images: Image) -> list[tuple[float, ...]]:
        if not self._value.scores:
            raise ScoringUnsupported("It cannot score.")
        scores = self._value.scores
        return [(scores[index % len(scores)],) for index in range(len(candidates))]


def make_reply(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.35:
        return odd_text(rng)
    if kind < 0.45:
        return rng.choice(("", " \n", "\u200b", "yes", "No.", "I can't tell", "not visible", "Yes, it is. Yes, it is."))
    if kind < 0.6:
        return json.dumps(odd_json(rng, rng.choice((REGION_KEYS, ROOM_KEYS))))
    if kind < 0.8:
        regions = [
            {
                "bbox_2d": [rng.choice((-1, 0, 500, 1e308, 1e9, float("nan"))) for _ in range(4)],
                "label": odd_text(rng, 2),
            }
            for _ in range(rng.randint(1, 3))
        ]
        room = {"name": odd_text(rng, 2), "chairs": rng.choice((2, "2", 2.0, True, None)), "colours": ["red"]}
        text = json.dumps(rng.choice((regions, room)))
        return mutate_bytes(rng, text.encode(), 2).decode("utf-8", "replace") if rng.random() < 0.5 else text
    if kind < 0.85:
        return rng.choice(('{"a":', "[", "{")) * rng.choice((5, 3000, 20_000))
    return "A dog. " * rng.choice((1, 3, 2000))


def make_input(rng: random.Random) -> Input:
    scores = tuple(rng.choice((-0.1, -5.0, -1e4, 0.0, -1e-12, -800.0)) for _ in range(rng.randint(0, 4)))
    return Input(
        rng.choice(("caption", "vqa", "ask_json")),
        tuple(make_reply(rng) for _ in range(rng.randint(1, 3))),
        scores,
        rng.choice(STYLES),
        rng.choice(((), (), ("yes", "no"), ("cat", "dog", odd_text(rng, 2) or "x"))),
        rng.random() < 0.3,
        rng.random() < 0.5,
        rng.random() < 0.3,
    )


def use(value: Input) -> None:
    model = OddModel(value)
    result: BaseModel
    match value.skill:
        case "caption":
            result = caption(PHOTO, model=model, style=value.style)
            check_caption(result)
        case "vqa":
            result = vqa(PHOTO, question="What is it?", model=model, choice=value.choice, explain=value.explain)
            check_answer(result, value)
        case "ask_json":
            result = ask_json(PHOTO, question="Which room?", schema=Room, model=model)
    assert type(result).model_validate(result.model_dump()) == result
    assert isinstance(as_text(result), str)
    line = to_json(make_record("a.png", result))
    assert len(line.splitlines()) == 1
    json.loads(line.encode(), parse_constant=no_constant)


def check_caption(result: Caption) -> None:
    assert clean_text(result.text).strip()
    assert result.style != "alt-text" or len(result.text) <= MAX_ALT_TEXT_CHARACTERS
    for region in result.regions:
        left, top, right, bottom = region.box
        assert 0 <= left < right <= PHOTO.width
        assert 0 <= top < bottom <= PHOTO.height
        assert clean_text(region.text).strip()


def check_answer(result: Answer, value: Input) -> None:
    assert clean_text(result.answer).strip()
    assert result.confidence is None or (0 <= result.confidence <= 1 and math.isfinite(result.confidence))
    assert not value.choice or not result.visible or result.answer in {each.strip() for each in value.choice}
    assert result.visible or result.answer == "not visible"
    assert not value.explain or clean_text(result.explanation).strip()


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_odd_replies_are_results_or_errors() -> None:
    fuzz("skill_replies", make_input, use)
