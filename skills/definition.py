"""Define skills: typed functions with a pydantic result, described by their signature.

    @skill
    def mood(photo: Image, *, model: VisionModel, long: Annotated[bool, "In a sentence."] = False) -> Mood:
        '''Say what mood a picture is in.'''

Parameters are `Image`, `Audio`, `str`, `bool`, `int`, `float`, `Literal["…", …]` and `tuple[str, ...]`, each also as
`… | None`. Those without a default are positional, the others are options; a string in `Annotated` is the help text.
A parameter of type `VisionModel` or `EmotionModels` is a dependency: the caller of the skill supplies it. A skill that
takes long may have a parameter `threading.Event | None`, which is set when nobody waits for the result any more.

A skill with exactly one required image runs over many files. A skill without required parameters accepts files by
media type: an image, a recording or a text goes to the first option of that type.
"""

import inspect
import threading
from collections.abc import Callable, Mapping
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, get_type_hints

from assistant.errors import ParleyError, SkillError
from assistant.messages import Image
from skills.call_check import (
    AUDIO,
    EMOTION_MODELS,
    FLAG,
    IMAGE,
    MODEL,
    TEXT,
    TEXTS,
    Expected,
    check_call,
)
from skills.emotion_models import EmotionModels
from skills.parameters import Parameter, ParameterKind, parse_parameter, strip_annotations
from skills.vision_model import VisionModel

if TYPE_CHECKING:
    from pydantic import BaseModel

Dependency = VisionModel | EmotionModels
"""Models that a skill may require."""

P = ParamSpec("P")
R = TypeVar("R", bound="BaseModel")


def load_image(source: str | Path, *, allow_urls: bool = False) -> Image:
    """Load an image from a path or, if allowed, a URL. Raises `AttachmentError`."""
    from assistant.attachments.images import ImageLoader

    return ImageLoader(allow_urls=allow_urls).load(source).image


def skill(function: Callable[P, R]) -> "Skill[P, R]":
    """Turn a function into a skill. It can still be called as a function."""
    return Skill(function)


class Skill(Generic[P, R]):
    """A function that can be run by name. Its signature is read on first use, which imports pydantic."""

    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R]) -> None:
        update_wrapper(self, function)
        self.name = function.__name__.replace("_", "-")
        """Command name, like "caption"."""
        self._function = function
        self._check: Callable[..., None] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function. Raises `TypeError` if it is called wrongly, and what `run` raises."""
        if not self.is_built_in:
            return self._function(*args, **kwargs)
        values = check_call(self._function.__name__, inspect.signature(self._function), self._expected, args, kwargs)
        supplied = {name: values.pop(name) for name in (self._dependency, self._stop) if name in values}
        return self._function(**self.validate(values), **supplied)  # type: ignore[call-arg]

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self._function) or "").partition("\n")[0]

    @property
    def description(self) -> str:
        """Docstring without its first line."""
        return (inspect.getdoc(self._function) or "").partition("\n")[2].strip()

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Parameters in order, without what the caller supplies. Raises `SkillError` for one that cannot be entered."""
        return tuple(
            parse_parameter(self.name, parameter, self._hints.get(name))
            for name, parameter in inspect.signature(self._function).parameters.items()
            if name not in (self._dependency, self._stop)
        )

    @property
    def needs_model(self) -> bool:
        """True if the skill requires a `VisionModel`."""
        return self._dependency is not None and self._hints[self._dependency] is VisionModel

    @property
    def needs_emotion_models(self) -> bool:
        """True if the skill requires `EmotionModels`."""
        return self._dependency is not None and not self.needs_model

    @property
    def by_media_type(self) -> Mapping[ParameterKind, Parameter]:
        """Map "photo", "sound" and "text" to the parameter that takes a file of that type.

        With required parameters, that is the only required image; without any, the first option of each type.
        """
        required = [each for each in self.parameters if not each.is_option]
        if not required:
            return {each.kind: each for each in reversed(self.parameters) if each.kind in ("photo", "sound", "text")}
        images = [each for each in required if each.kind == "photo"]
        return {"photo": images[0]} if len(images) == 1 else {}

    @property
    def result_type(self) -> "type[BaseModel]":
        """Class of the results. Raises `SkillError` if it is no pydantic model."""
        from pydantic import BaseModel

        result = self._hints.get("return")
        if not (isinstance(result, type) and issubclass(result, BaseModel)):
            raise SkillError(f"The skill {self.name} should say that it returns a pydantic model, not {result}.")
        return result

    def validate(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Convert `values` to the parameter types; None counts as missing. Raises `SkillError`."""
        known = {each.name: each for each in self.parameters}
        if unknown := next((name for name in values if name not in known), None):
            raise SkillError(f"The skill {self.name} takes no {unknown}; it takes {', '.join(known) or 'nothing'}.")
        validated = {}
        for name, parameter in known.items():
            value = values.get(name)
            if value is not None:
                validated[name] = self._validate_value(parameter, value)
            elif not parameter.is_option:
                raise SkillError(f"The skill {self.name} needs a {name}: say which.")
        return validated

    def check(self, function: Callable[..., None]) -> Callable[..., None]:
        """Let `function` check values before a model is loaded; it raises `SkillUsageError`. A decorator.

        It is called with the given values by name, and with `bundled`: True if the bundled model will answer.
        """
        self._check = function
        return function

    def check_usage(self, values: Mapping[str, Any], *, bundled: bool) -> None:
        """Raise `SkillUsageError` if these values cannot be used together, or not by the bundled model."""
        if self._check is not None:
            self._check(**self.validate(values), bundled=bundled)

    @property
    def has_check(self) -> bool:
        """True if `check_usage` may raise an error."""
        return self._check is not None

    def run(
        self,
        values: Mapping[str, Any],
        dependency: Dependency | None = None,
        stop: threading.Event | None = None,
    ) -> "BaseModel":
        """Validate `values`, call the function and return its result.

        Args:
            values: Arguments by name.
            dependency: What a skill with a dependency needs.
            stop: Setting it ends a skill that can be stopped, which raises `Cancelled`.

        Raises:
            SkillError: The values do not fit, the dependency is missing, or a third-party skill raised an exception.
            ModelError: The model failed.
        """
        from pydantic import BaseModel

        arguments = self.validate(values)
        if self._dependency is not None:
            if dependency is None:
                wanted = "a model" if self.needs_model else "emotion models"
                raise SkillError(f"The skill {self.name} needs {wanted}: pass one.")
            arguments[self._dependency] = dependency
        if self._stop is not None:
            arguments[self._stop] = stop
        try:
            result: object = self._function(**arguments)  # type: ignore[call-arg]
        except ParleyError:
            raise
        except Exception as error:
            if self.is_built_in:
                raise
            raise SkillError(f"The skill {self.name} failed on this: {type(error).__name__}: {error}") from error
        if not isinstance(result, BaseModel):
            raise SkillError(f"The skill {self.name} should return a pydantic model, not {type(result).__name__}.")
        return result

    @property
    def is_built_in(self) -> bool:
        """True for the skills that Parley ships."""
        return self._function.__module__.partition(".")[0] == "skills"

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(self._function, include_extras=True)
        except (NameError, TypeError) as error:
            raise SkillError(f"The types of the skill {self.name} cannot be read: {error}.") from error

    @cached_property
    def _dependency(self) -> str | None:
        """Name of the parameter that takes the dependency."""
        return next((name for name, hint in self._hints.items() if hint is VisionModel or hint is EmotionModels), None)

    @cached_property
    def _stop(self) -> str | None:
        """Name of the parameter that takes the event which ends the skill."""
        return next((name for name, hint in self._hints.items() if strip_annotations(hint) is threading.Event), None)

    @cached_property
    def _expected(self) -> dict[str, Expected]:
        """Types of the arguments of a call from Python; `validate` checks calls from elsewhere."""
        kinds = {"photo": IMAGE, "sound": AUDIO, "text": TEXT, "texts": TEXTS, "flag": FLAG}
        expected = {each.name: kinds[each.kind] for each in self.parameters if each.kind in kinds}
        if self._dependency is not None:
            expected[self._dependency] = MODEL if self.needs_model else EMOTION_MODELS
        return expected

    def _validate_value(self, parameter: Parameter, value: Any) -> Any:
        from pydantic import ConfigDict, TypeAdapter, ValidationError

        if parameter.kind in ("photo", "sound"):
            return value
        adapter = TypeAdapter(self._hints[parameter.name], config=ConfigDict(str_strip_whitespace=True))
        try:
            validated = adapter.validate_python(value)
        except ValidationError as error:
            message = error.errors(include_url=False)[0]["msg"]
            raise SkillError(
                f"{parameter.option if parameter.is_option else f'The {parameter.name}'} of the skill {self.name} "
                f"is {value!r}: {message[:1].lower()}{message[1:]}."
            ) from error
        if parameter.kind == "text" and not parameter.is_option and not validated:
            raise SkillError(f"The {parameter.name} for the skill {self.name} is empty: say which.")
        return validated


def as_text(result: "BaseModel") -> str:
    """Format a result for people: by its `__str__` if its class defines one, else one line per field."""
    from pydantic import BaseModel

    if type(result).__str__ is not BaseModel.__str__:
        return str(result)
    return "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in result)
