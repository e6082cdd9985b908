"""Read a skill's parameters from its signature.

style: Annotated[Literal["dry", "warm"], "How to say it."] = "dry"
└─▶ Parameter(name="style", kind="choice", is_option=True, default="dry", choices=("dry", "warm"), help="How …")
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from assistant.errors import SkillError
from assistant.messages import Audio, Image

ParameterKind = Literal["photo", "sound", "text", "texts", "flag", "choice", "whole number", "number"]
"""Kind of value. `parley skills --json` prints these words, so they are not renamed."""

_KINDS: Mapping[Any, ParameterKind] = {
    Image: "photo",
    Audio: "sound",
    str: "text",
    bool: "flag",
    int: "whole number",
    float: "number",
    tuple[str, ...]: "texts",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a skill. Options have a default; the others are positional."""

    name: str
    kind: ParameterKind
    is_option: bool
    default: Any
    choices: tuple[str, ...]
    help: str

    @property
    def option(self) -> str:
        """Spelling on a command line, such as `--max-size`."""
        return f"--{self.name.replace('_', '-')}"


def parse_parameter(skill_name: str, parameter: inspect.Parameter, hint: Any) -> Parameter:
    """Describe one parameter of a function.

    Args:
        skill_name: Name for the error message.
        parameter: Parameter of the function's signature.
        hint: Its resolved type. The first string in `Annotated[...]` is its help text.

    Raises:
        SkillError: The type cannot be entered on a command line.
    """
    annotations = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    plain_type = strip_annotations(hint)
    choices = get_args(plain_type) if get_origin(plain_type) is Literal else ()
    kind = "choice" if choices else _KINDS.get(plain_type)
    if kind is None or not all(isinstance(choice, str) for choice in choices):
        raise SkillError(
            f"The skill {skill_name} takes {parameter.name} as {hint}, which cannot be entered on a command line: "
            "choose Image, Audio, str, bool, int, float, a Literal of strings or tuple[str, ...]."
        )
    is_option = parameter.default is not parameter.empty
    default = parameter.default if is_option else None
    help_text = next((each for each in annotations if isinstance(each, str)), "")
    return Parameter(parameter.name, kind, is_option, default, choices, help_text)


def strip_annotations(hint: Any) -> Any:
    """Return the type inside `Annotated[...]` and `... | None`."""
    if get_origin(hint) is Annotated:
        return strip_annotations(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        others = [each for each in get_args(hint) if each is not NoneType]
        return strip_annotations(others[0]) if len(others) == 1 else hint
    return hint
