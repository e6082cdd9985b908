"""An answer in a shape of your own: a pydantic model filled in by the model, checked, and mended once if need be."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from assistant.errors import SkillError
from assistant.messages import Image
from skills.vision_model import VisionModel

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

T = TypeVar("T", bound="BaseModel")

_LONGEST = 512


class UnfilledSchemaError(SkillError):
    """The model could not fill in a schema. `raw` is its last answer, word for word."""

    def __init__(self, model_name: str, schema_name: str, why: str, raw: str) -> None:
        super().__init__(
            f"{model_name} did not answer as a {schema_name}, even when asked again: {why}. "
            "Ask for less at once, or choose a larger model."
        )
        self.raw = raw


def ask_json(model: VisionModel, schema: type[T], question: str, *photos: Image, max_tokens: int = _LONGEST) -> T:
    """The answer to `question` about `photos`, as a `schema`.

    Words around the JSON are passed over. An answer that does not fit is shown to the model once, with what is wrong
    with it. Raises `UnfilledSchemaError` if the second does not fit either, and what the model raises.
    """
    shape = json.dumps(schema.model_json_schema(), ensure_ascii=False)
    asked = f"{question}\n\nAnswer with one JSON object and nothing else. It has to fit this JSON schema:\n{shape}"
    raw = model.ask(asked, *photos, max_tokens=max_tokens)
    filled = _filled(schema, raw)
    if isinstance(filled, str):
        again = f"{asked}\n\nYour answer was:\n{raw}\n\nThat does not fit: {filled}. Answer again, with the JSON alone."
        raw = model.ask(again, *photos, max_tokens=max_tokens)
        filled = _filled(schema, raw)
    if isinstance(filled, str):
        raise UnfilledSchemaError(model.info.name, schema.__name__, filled, raw)
    return filled


def _filled(schema: type[T], raw: str) -> T | str:
    """The first JSON object in `raw` that fits `schema`, or what is wrong with the last that does not."""
    from pydantic import ValidationError

    why = "it holds no JSON object"
    for found in json_objects(raw):
        if found is None:
            why = "its JSON is not valid"
            continue
        try:
            return schema.model_validate(found)
        except ValidationError as error:
            why = _complaint(error)
    return why


def json_objects(raw: str) -> Iterator[dict[str, Any] | None]:
    """The JSON objects in `raw`, whatever words stand around them; None for a brace with which none begins."""
    # Models write line breaks in strings as they are.
    decoder = json.JSONDecoder(strict=False)
    start = raw.find("{")
    while start >= 0:
        try:
            found, end = decoder.raw_decode(raw, start)
        except (ValueError, RecursionError):
            # Cut short, or a bracket in the words around it.
            yield None
            start = raw.find("{", start + 1)
            continue
        yield found
        start = raw.find("{", end)


def _complaint(error: "ValidationError") -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    said = first["msg"][:1].lower() + first["msg"][1:]
    return f"{where}: {said}" if where else said
