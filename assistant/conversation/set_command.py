"""The command `/set NAME VALUE`: change how replies are generated, from inside a conversation.

/set                     what applies, and where each value comes from
/set top_p               the same of one option
/set top_p 0.9           from here on
/set top_p default       as the conversation began
"""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import fields, replace

from assistant.config_file import closest_name
from assistant.errors import ConfigError
from assistant.events import Event, Notice
from assistant.models.base import ChatModel, GenerationOptions, ImageDefaults, ModelDefaults
from assistant.parsing import ParseError, parse_json
from assistant.text_cleaning import clean_line, to_json

_SET_COMMAND = re.compile(r"/set(?:\s+(.*))?", re.DOTALL)
_NAMES = tuple(each.name for each in fields(GenerationOptions))
# What None is where a model's makers have set nothing.
_UNSET = {"temperature": 0, "top_p": 1, "top_k": 0, "min_p": 0, "repetition_penalty": 1, "presence_penalty": 0}


def parse_set_command(text: str) -> str | None:
    """Return the words after "/set", which may be none, or None if `text` is not this command."""
    found = _SET_COMMAND.fullmatch(text.strip())
    return None if found is None else (found[1] or "").strip()


class OptionChoices:
    """Options of the replies of a conversation: those that it began with, and what `/set` changed."""

    def __init__(self, options: GenerationOptions, origins: Mapping[str, str] | None = None) -> None:
        """Begin a conversation.

        Args:
            options: Options that it begins with.
            origins: Where those come from that are no default, by name: "environment" for one.
        """
        self.current = options
        self._initial = options
        self._origins = dict(origins or {})
        self._changed: set[str] = set()

    async def run(self, words: str, model: ChatModel) -> AsyncGenerator[Event, None]:
        """Run "/set `words`" and yield the result as notices. `model` answers the conversation.

        Raises:
            ConfigError: There is no such option, or it cannot have this value.
        """
        for line in self._run(words, model):
            yield Notice(line)

    def _run(self, words: str, model: ChatModel) -> Sequence[str]:
        name, _, value = words.partition(" ")
        value = value.strip()
        if not name:
            return [self._describe(each, model) for each in _NAMES]
        option = name.lower().replace("-", "_").rstrip("=:")
        if option not in _NAMES:
            close = closest_name(option, _NAMES)
            hint = f"did you mean {close}?" if close else f"there are {', '.join(_NAMES)}."
            raise ConfigError(f"/set knows no option {clean_line(name, 40)}: {hint}")
        if value.lower() == "default":
            self.current = replace(self.current, **{option: getattr(self._initial, option)})
            self._changed.discard(option)
        elif value:
            # Takes pydantic along, which a session does without.
            from assistant.settings import parse_value

            self.current = replace(self.current, **{option: parse_value(option, _unquoted(value), f"/set {option}")})
            self._changed.add(option)
        return [self._describe(option, model)]

    def _describe(self, option: str, model: ChatModel) -> str:
        value = getattr(self.current, option)
        origin = "/set" if option in self._changed else self._origins.get(option, "default")
        if value is None and option in _UNSET:
            value, origin = _left_to(model, option)
            about_images = getattr(model.image_defaults, option) if isinstance(model, ImageDefaults) else None
            if about_images not in (None, value):
                origin = f"{origin}; {_shown(about_images)} while there is an image in the conversation"
        return f"{option}: {_shown(value)} ({origin})" if value not in (None, ()) else f"{option}: not set ({origin})"


def _left_to(model: ChatModel, option: str) -> tuple[float | None, str]:
    """Return the value of an option of sampling that is not set, as `model` has it, and where it comes from."""
    if not isinstance(model, ModelDefaults):
        return None, f"left to {model.info.name}"
    value = getattr(model.defaults, option)
    return (_UNSET[option], "default") if value is None else (value, f"the makers of {model.info.name}")


def _unquoted(value: str) -> str:
    """Return the text in quotation marks, so that a stop string can be a line break."""
    try:
        text = parse_json(value) if value.startswith('"') else value
    except ParseError:
        return value
    return text if isinstance(text, str) else value


def _shown(value: object) -> str:
    return clean_line(", ".join(map(to_json, value)), 300) if isinstance(value, tuple) else str(value)
