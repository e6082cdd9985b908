"""Parse the arguments of a slash command: `--style detailed "two words"` as the parameters of a skill."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from assistant.attachments.file_lookup import expand_user
from assistant.errors import SkillError
from assistant.messages import Image
from skills.definition import Skill
from skills.files import Source
from skills.parameters import Parameter

_TOKEN = re.compile(r'(?P<option>--[a-z][a-z0-9-]*)(?:=(?P<value>"[^"]*"|\S+))?(?!\S)|"[^"]*"|\S+')


def usage(skill: "Skill[..., Any]", *, in_chat: bool = False) -> str:
    """Return how a skill is called on a command line, or in a chat, where pictures are attached and have no option."""
    shown = [_parameter_usage(each, in_chat=in_chat) for each in skill.parameters]
    return " ".join([f"/{skill.name}" if in_chat else skill.name, *shown])


def _parameter_usage(parameter: Parameter, *, in_chat: bool) -> str:
    if not parameter.is_option:
        return parameter.name.upper()
    if in_chat and parameter.kind == "photo":
        return f"[{parameter.name.upper()}]"
    match parameter.kind:
        case "flag":
            value = ""
        case "choice":
            value = f" {'|'.join(parameter.choices)}"
        case "photo" | "sound":
            value = " PATH"
        case "text" | "texts":
            value = " TEXT"
        case _:
            value = " N"
    return f"[{parameter.option}{value}]{'…' if parameter.kind == 'texts' else ''}"


def parse_calls(skill: "Skill[..., Any]", arguments: str, images: Sequence[Image]) -> Iterator[dict[str, Any]]:
    """Yield the parameter values of each call.

    A skill with one image parameter is called once per image, any other skill once with all of them.
    Raises `SkillError` if the arguments or the number of images do not fit.
    """
    values = parse_arguments(skill, arguments)
    parameters = [each for each in skill.parameters if each.kind == "photo"]
    if len(parameters) == 1 and images:
        for image in images:
            yield {**values, parameters[0].name: image}
        return
    if len(images) > len(parameters) > 0:
        raise SkillError(f"The skill {skill.name} looks at {len(parameters)} pictures, not at {len(images)}.")
    if any(not each.is_option for each in parameters[len(images) :]):
        raise SkillError(f"The skill {skill.name} needs a picture: name one, or attach it.")
    yield {**values, **{each.name: image for each, image in zip(parameters, images, strict=False)}}


def parse_arguments(skill: "Skill[..., Any]", arguments: str) -> dict[str, Any]:
    """Return parameter values: options as on a command line, and the remaining words as a file or as the text.

    Raises `SkillError`.
    """
    values, words = _parse_options(skill, arguments)
    text = next((each for each in skill.parameters if each.kind == "text" and not each.is_option), None)
    if text is None and (found := _find_file(skill, words)) is not None:
        parameter, value = found
        if parameter.name in values:
            raise SkillError(
                f"{parameter.option} of the skill {skill.name} and the file {words[0]} are two: give one of them."
            )
        return {**values, parameter.name: value}
    text = text or skill.by_media_type.get("text")
    joined = " ".join(words)
    if text is None:
        if words:
            raise SkillError(f"The skill {skill.name} takes no words like “{joined}”: leave them out.")
        return values
    if words and text.name in values:
        raise SkillError(f"{text.option} of the skill {skill.name} and the words {joined} are two: give one of them.")
    values.setdefault(text.name, joined or None)
    return values


def _parse_options(skill: "Skill[..., Any]", arguments: str) -> tuple[dict[str, Any], list[str]]:
    """Return the values of the options, and the other words."""
    options = {each.option: each for each in skill.parameters if each.is_option}
    values: dict[str, Any] = {}
    words: list[str] = []
    tokens = _TOKEN.finditer(arguments)
    for token in tokens:
        name = token["option"]
        if name is None:
            words.append(token[0])
            continue
        parameter = options.get(name)
        if any(each.kind == "photo" and each.option == name for each in skill.parameters):
            raise SkillError(f"In a conversation {name} is the picture that is attached: name its path alone.")
        if parameter is None:
            available = ", ".join(each.option for each in options.values() if each.kind != "photo")
            raise SkillError(f"The skill {skill.name} takes no {name}; it takes {available or 'no options'}.")
        value = token["value"]
        if value is None and parameter.kind != "flag":
            value = _next_value(skill, tokens, name)
        _set_option(skill, values, parameter, value)
    return values, words


def _next_value(skill: "Skill[..., Any]", tokens: Iterator[re.Match[str]], option: str) -> str:
    token = next(tokens, None)
    if token is None or token["option"] is not None:
        raise SkillError(f"{option} of the skill {skill.name} needs a value after it.")
    return token[0]


def _set_option(skill: "Skill[..., Any]", values: dict[str, Any], parameter: Parameter, value: str | None) -> None:
    value = None if value is None else value.strip('"')
    if parameter.kind == "flag":
        if value is not None:
            raise SkillError(f"{parameter.option} of the skill {skill.name} takes no value: write it alone.")
        values[parameter.name] = True
    elif parameter.kind == "texts":
        values[parameter.name] = (*values.get(parameter.name, ()), value)
    elif parameter.name in values:
        raise SkillError(f"{parameter.option} of the skill {skill.name} is given twice: give it once.")
    else:
        values[parameter.name] = value


def _find_file(skill: "Skill[..., Any]", words: Sequence[str]) -> tuple[Parameter, str] | None:
    """Return the parameter and value of a file, if the only word is the path of a recording or a text.

    The value is the path of a recording or the content of a text. Images are attached, not named here. A file without
    a known suffix is a word, whatever it holds.
    """
    if len(words) != 1:
        return None
    source = Source(words[0].strip('"'))
    parameters: dict[str, Parameter] = {
        kind: each for kind, each in skill.by_media_type.items() if kind in ("sound", "text")
    }
    media_type = source.media_type_by_suffix(parameters)
    if media_type is None or not expand_user(source.name).is_file():
        return None
    return parameters[media_type], source.read_text() if media_type == "text" else str(expand_user(source.name))
