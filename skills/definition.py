"""What a skill is: a typed function with a pydantic result, and everything that can be read off its signature.

    @skill
    def mood(photo: Photo, model: VisionModel, *, long: Annotated[bool, "In a sentence."] = False) -> Mood:
        '''Say what mood a picture is in.'''

Its inputs are `Photo`, `Sound`, `str`, `bool`, `int`, `float`, `Literal["…", …]` and `tuple[str, ...]`, each also as
`… | None`. One without a default is given by its place, the others as options; a string in `Annotated` explains one. A
parameter of type `VisionModel` or `Senses` is no input: whoever calls the skill passes such a helper in.

A skill that cannot do without one photo is run over many. One that needs nothing in particular takes what it is given
by its kind: pictures, recordings and words each go to the first option of that kind.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, update_wrapper
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from assistant.errors import AssistantError, SkillError
from assistant.messages import Audio, Image
from skills.emotion_models import Senses
from skills.vision_model import Stopped, VisionModel

if TYPE_CHECKING:
    from pydantic import BaseModel

Photo = Image
"""A picture, as skills take it."""

Sound = Audio
"""A recording, as skills take it."""

Helper = VisionModel | Senses
"""What a skill asks for what it cannot know itself."""

P = ParamSpec("P")
R = TypeVar("R", bound="BaseModel")

Kind = Literal["photo", "sound", "text", "texts", "flag", "choice", "whole number", "number"]

_KINDS: Mapping[Any, Kind] = {
    Photo: "photo",
    Sound: "sound",
    str: "text",
    bool: "flag",
    int: "whole number",
    float: "number",
    tuple[str, ...]: "texts",
}


def load_photo(source: str | Path, *, allow_urls: bool = False) -> Photo:
    """The picture at `source`, a path or (if allowed) a link. Raises `AttachmentError`."""
    from assistant.attachments.images import load_image

    return load_image(source, allow_urls=allow_urls).image


@dataclass(frozen=True)
class Input:
    """One thing that a skill is told. Options have a default, everything else is given by its place."""

    name: str
    kind: Kind
    is_option: bool
    default: Any
    choices: tuple[str, ...]
    help: str

    @property
    def option(self) -> str:
        """How it is written as an option."""
        return f"--{self.name.replace('_', '-')}"


def skill(function: Callable[P, R]) -> "Skill[P, R]":
    """Make a skill of a function; it can be called as before."""
    return Skill(function)


class Skill(Generic[P, R]):
    """A function that people can call by its name. Its signature is looked at when it is first asked for."""

    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R]) -> None:
        update_wrapper(self, function)
        self.name = function.__name__.replace("_", "-")
        """What people call it, like "caption"."""
        self._function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self._function) or "").partition("\n")[0]

    @property
    def description(self) -> str:
        """The rest of its docstring."""
        return (inspect.getdoc(self._function) or "").partition("\n")[2].strip()

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What it is told, in order. Raises `SkillError` if a parameter has a type that nobody could type in."""
        return tuple(self._inputs)

    @property
    def needs_model(self) -> bool:
        """Whether it asks a model."""
        return self._helper is not None and self._hints[self._helper] is VisionModel

    @property
    def needs_senses(self) -> bool:
        """Whether it asks for `Senses`."""
        return self._helper is not None and not self.needs_model

    @property
    def by_kind(self) -> Mapping[Kind, Input]:
        """Which input takes a picture, a recording or words that are given without saying what they are for.

        The one photo that it cannot do without; or, where nothing in particular is needed, the first option of each.
        """
        required = [each for each in self.inputs if not each.is_option]
        if not required:
            return {each.kind: each for each in reversed(self.inputs) if each.kind in ("photo", "sound", "text")}
        photos = [each for each in required if each.kind == "photo"]
        return {"photo": photos[0]} if len(photos) == 1 else {}

    @property
    def result_type(self) -> "type[BaseModel]":
        """The class of its results. Raises `SkillError` if that is no pydantic model."""
        from pydantic import BaseModel

        result = self._hints.get("return")
        if not (isinstance(result, type) and issubclass(result, BaseModel)):
            raise SkillError(f"The skill {self.name} should say that it returns a pydantic model, not {result}.")
        return result

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """`values` as its function wants them; what is None counts as not given. Raises `SkillError`."""
        from pydantic import ConfigDict, TypeAdapter, ValidationError

        known = {each.name: each for each in self.inputs}
        if unknown := next((name for name in values if name not in known), None):
            raise SkillError(f"The skill {self.name} takes no {unknown}; it takes {', '.join(known) or 'nothing'}.")
        checked = {}
        for name, each in known.items():
            value = values.get(name)
            if value is None:
                if not each.is_option:
                    raise SkillError(f"The skill {self.name} needs a {each.name}: say which.")
                continue
            hint = self._hints[name]
            if each.kind in ("photo", "sound"):
                checked[name] = value
                continue
            try:
                checked[name] = TypeAdapter(hint, config=ConfigDict(str_strip_whitespace=True)).validate_python(value)
            except ValidationError as error:
                wanted = error.errors(include_url=False)[0]["msg"]
                raise SkillError(
                    f"{each.option if each.is_option else f'The {name}'} of the skill {self.name} is {value!r}: "
                    f"{wanted[:1].lower()}{wanted[1:]}."
                ) from error
            if each.kind == "text" and not each.is_option and not checked[name]:
                raise SkillError(f"The {name} for the skill {self.name} is empty: say which.")
        return checked

    def run(self, values: Mapping[str, Any], helper: Helper | None = None) -> "BaseModel":
        """Check `values`, call the function and return its result. Raises `SkillError` and what the model raises.

        In a skill from another package, anything that goes wrong is a `SkillError`.
        """
        from pydantic import BaseModel

        arguments = self.check(values)
        if self._helper is not None:
            if helper is None:
                raise SkillError(
                    f"The skill {self.name} needs {'a model' if self.needs_model else 'senses'}: pass one."
                )
            arguments[self._helper] = helper
        try:
            result: object = self._function(**arguments)  # type: ignore[call-arg]
        except AssistantError:
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
        """Whether it belongs to Parley itself."""
        return self._function.__module__.partition(".")[0] == "skills"

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(self._function, include_extras=True)
        except (NameError, TypeError) as error:
            raise SkillError(f"The types of the skill {self.name} cannot be read: {error}.") from error

    @cached_property
    def _helper(self) -> str | None:
        return next((name for name, hint in self._hints.items() if hint is VisionModel or hint is Senses), None)

    @cached_property
    def _inputs(self) -> list[Input]:
        return [
            self._input(name, parameter)
            for name, parameter in inspect.signature(self._function).parameters.items()
            if name != self._helper
        ]

    def _input(self, name: str, parameter: inspect.Parameter) -> Input:
        hint = self._hints.get(name)
        said = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        plain = _plain(hint)
        choices = get_args(plain) if get_origin(plain) is Literal else ()
        kind = "choice" if choices else _KINDS.get(plain)
        if kind is None or not all(isinstance(choice, str) for choice in choices):
            raise SkillError(
                f"The skill {self.name} takes {name} as {hint}, which nobody could type in: "
                "choose Photo, Sound, str, bool, int, float, a Literal of strings or tuple[str, ...]."
            )
        is_option = parameter.default is not parameter.empty
        return Input(
            name,
            kind,
            is_option,
            parameter.default if is_option else None,
            choices,
            next((each for each in said if isinstance(each, str)), ""),
        )


def _plain(hint: Any) -> Any:
    """A type without what it is annotated with, and without None."""
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        others = [each for each in get_args(hint) if each is not NoneType]
        return _plain(others[0]) if len(others) == 1 else hint
    return hint


def as_text(result: "BaseModel") -> str:
    """A result in words: as its class writes it (`__str__`), or else a line for each field."""
    from pydantic import BaseModel

    if type(result).__str__ is not BaseModel.__str__:
        return str(result)
    return "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in result)


__all__ = ["Helper", "Input", "Kind", "Photo", "Skill", "Sound", "Stopped", "as_text", "load_photo", "skill"]
