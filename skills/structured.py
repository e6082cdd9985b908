"""Structured answers: let a model fill in a pydantic model of yours, and validate the result."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from assistant.errors import SkillError
from assistant.messages import Image
from skills.call_check import IMAGE, MODEL, SCHEMA, TEXT, checked
from skills.replies import ask
from skills.vision_model import VisionModel

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

T = TypeVar("T", bound="BaseModel")

_MAX_TOKENS = 512
# Each brace that begins no object costs a look at the rest of the text, which a hostile reply fills with braces.
_MAX_BRACES = 100


class UnfilledSchemaError(SkillError):
    """The model's answer does not fit the schema.

    Attributes:
        raw: The last answer, unchanged.
    """

    def __init__(self, model_name: str, schema_name: str, reason: str, raw: str) -> None:
        super().__init__(
            f"{model_name} did not answer as a {schema_name}, even when asked again: {reason}. "
            "Ask for less at once, or choose a larger model."
        )
        self.raw = raw


@checked({"images": IMAGE, "question": TEXT, "schema": SCHEMA, "model": MODEL})
def ask_json(*images: Image, question: str, schema: type[T], model: VisionModel, max_tokens: int = _MAX_TOKENS) -> T:
    """Return the answer to a question about images, or about none, as an instance of `schema`.

    Text around the JSON is ignored. If the answer does not fit, the model is asked once more, with its answer and the
    validation error.

    Raises:
        TypeError: The call is wrong.
        UnfilledSchemaError: The second answer does not fit either.
        ModelError: The model failed.
    """
    shape = json.dumps(schema.model_json_schema(), ensure_ascii=False)
    prompt = f"{question}\n\nAnswer with one JSON object and nothing else. It has to fit this JSON schema:\n{shape}"
    raw = ask(model, prompt, *images, max_tokens=max_tokens)
    result = _parse(schema, raw)
    if isinstance(result, str):
        retry = (
            f"{prompt}\n\nYour answer was:\n{raw}\n\nThat does not fit: {result}. Answer again, with the JSON alone."
        )
        raw = ask(model, retry, *images, max_tokens=max_tokens)
        result = _parse(schema, raw)
    if isinstance(result, str):
        raise UnfilledSchemaError(model.info.name, schema.__name__, result, raw)
    return result


def json_objects(text: str) -> Iterator[dict[str, Any] | None]:
    """Yield the JSON objects in a text, and None for each opening brace that does not start one."""
    # Not strict: models write raw line breaks in strings.
    decoder = json.JSONDecoder(strict=False)
    start = text.find("{")
    failures = 0
    while start >= 0 and failures < _MAX_BRACES:
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            # Truncated JSON, or a brace in the text around it.
            yield None
            failures += 1
            start = text.find("{", start + 1)
            continue
        yield found
        start = text.find("{", end)


def _parse(schema: type[T], raw: str) -> T | str:
    """Return the first JSON object in `raw` that fits `schema`, or why the last one does not."""
    from pydantic import ValidationError

    reason = "it holds no JSON object"
    for found in json_objects(raw):
        if found is None:
            reason = "its JSON is not valid"
            continue
        try:
            return schema.model_validate(found)
        except ValidationError as error:
            reason = _describe_error(error)
    return reason


def _describe_error(error: "ValidationError") -> str:
    first = error.errors(include_url=False)[0]
    location = ".".join(map(str, first["loc"]))
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f"{location}: {message}" if location else message
