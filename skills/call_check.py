"""Say in one `TypeError` what is wrong with a call from Python, and how it is written right.

caption("photo.jpg", model)     caption() takes nothing but photo by its place: write caption(photo, model=…).
caption("photo.jpg", model=m)   photo of caption() has to be an Image and is a str: …
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from os import PathLike
from typing import Any, ParamSpec, TypeVar

from assistant.messages import Audio, Image

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Expected:
    """Requirement of an argument.

    Attributes:
        accepts: Return True for a value that fits.
        what: Words for it, such as "an Image".
        advice: How to get one, or "".
    """

    accepts: Callable[[object], bool]
    what: str
    advice: str = ""


IMAGE = Expected(
    lambda value: isinstance(value, Image),
    "an Image",
    "load it with load_image(path), or call the function of that name in parley, which takes paths",
)
AUDIO = Expected(lambda value: isinstance(value, Audio), "an Audio")
PATH = Expected(lambda value: isinstance(value, str | PathLike), "the path of a file")
TEXT = Expected(lambda value: isinstance(value, str), "a str")
TEXTS = Expected(
    lambda value: isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(x, str) for x in value),
    "a list or tuple of str",
)
SCHEMA = Expected(
    lambda value: isinstance(value, type) and hasattr(value, "model_json_schema"),
    "a class derived from pydantic.BaseModel",
)
FLAG = Expected(lambda value: isinstance(value, bool), "True or False")
MODEL = Expected(
    lambda value: not isinstance(value, type) and hasattr(value, "ask") and hasattr(value, "score"),
    "a VisionModel",
    "wrap a chat model as VisionClient(chat_model)",
)
EMOTION_MODELS = Expected(
    lambda value: not isinstance(value, type) and hasattr(value, "hidden_states") and hasattr(value, "faces"),
    "EmotionModels",
)


def checked(expected: Mapping[str, Expected]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check the calls of a function before it runs: see `check_call`. A decorator."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            check_call(function.__name__, signature, expected, args, kwargs)
            return function(*args, **kwargs)

        return call

    return decorate


def check_call(
    name: str,
    signature: inspect.Signature,
    expected: Mapping[str, Expected],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments of a call by name.

    Args:
        name: Name of the function for messages.
        signature: Its signature.
        expected: Requirements of its arguments. An argument with a default may also be that default.
        args: Arguments by place.
        kwargs: Arguments by name.

    Raises:
        TypeError: The call is wrong.
    """
    right = f"write {_example(name, signature)}."
    parameters = signature.parameters
    places = [
        each.name for each in parameters.values() if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    takes_any_place = any(each.kind is each.VAR_POSITIONAL for each in parameters.values())
    if len(args) > len(places) and not takes_any_place:
        raise TypeError(f"{name}() takes {f'only {_join(places)}' if places else 'nothing'} by position: {right}")
    if unknown := next((each for each in kwargs if each not in parameters), None):
        similar = get_close_matches(str(unknown), parameters, 1)
        hint = f" (is it {similar[0]} that you mean?)" if similar else ""
        raise TypeError(f"{name}() takes no argument {unknown!r:.60}{hint}: {right}")
    if twice := next((each for each in places[: len(args)] if each in kwargs), None):
        raise TypeError(f"{name}() got {twice} twice, by position and by name: {right}")
    missing = [
        each.name
        for index, each in enumerate(parameters.values())
        if each.default is each.empty
        and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        and each.name not in kwargs
        and not (each.name in places and index < len(args))
    ]
    if missing:
        raise TypeError(
            f"{name}() needs {_join(missing)} by name: {right}" if args else f"{name}() needs {_join(missing)}: {right}"
        )
    bound = dict(signature.bind(*args, **kwargs).arguments)
    for argument, value in bound.items():
        if argument not in expected:
            continue
        parameter = parameters[argument]
        for each in value if parameter.kind is parameter.VAR_POSITIONAL else (value,):
            if each is not parameter.default and not expected[argument].accepts(each):
                one_by_one = parameter.kind is parameter.VAR_POSITIONAL
                raise TypeError(_wrong_type(name, argument, expected[argument], each, right, one_by_one=one_by_one))
    return bound


def _wrong_type(name: str, argument: str, expected: Expected, value: object, right: str, *, one_by_one: bool) -> str:
    problem = f"{argument} of {name}() has to be {expected.what} and is {_describe(value)}"
    if isinstance(value, list | tuple | set) and one_by_one:
        return f"{problem}: give them one by one, and {right}"
    if isinstance(value, list | tuple | set) and expected in (IMAGE, PATH):
        return f"{problem}: each call takes one, so call it for each of them."
    if expected.advice and (isinstance(value, str | PathLike | bytes) or hasattr(value, "stream")):
        return f"{problem}: {expected.advice}."
    return f"{problem}: {right}"


def _describe(value: object) -> str:
    if value is None:
        return "None"
    kind = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    return kind if kind.startswith("the ") else f"{'an' if kind[:1] in 'AEIOUaeio' else 'a'} {kind}"


def _example(name: str, signature: inspect.Signature) -> str:
    """Return a right call, with the required arguments, or with all if none is required."""
    parameters = signature.parameters.values()
    required = [each for each in parameters if each.default is each.empty]
    shown = []
    for each in required or parameters:
        if each.kind is each.VAR_POSITIONAL:
            shown.append(f"*{each.name}")
        elif each.kind is not each.VAR_KEYWORD:
            shown.append(f"{each.name}=…" if each.kind is each.KEYWORD_ONLY else each.name)
    return f"{name}({', '.join(shown)})"


def _join(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
