"""A skill called in a conversation: "/caption --style detailed" with a picture, and its result is the reply.

Where a skill needs nothing in particular, the words after its name are its first text: "/emotion I can't wait!".

Only what a person types is ever read as a call. What a model, a picture or a file says is not looked at here.
"""

import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from assistant.attachments.paths_in_text import expand_user
from assistant.conversation.session import Responder
from assistant.errors import SkillError
from assistant.events import Notice, SkillResult, Usage
from assistant.messages import Audio, Image, Message
from assistant.models.base import ChatModel
from skills import registry
from skills.definition import Skill, as_text
from skills.emotion_models import EmotionModels
from skills.files import Source
from skills.ocr import OcrResult, is_about_words, quoted, read
from skills.parameters import Parameter
from skills.vision_model import Cancelled, VisionClient

_COMMAND = re.compile(r"/([a-z][a-z0-9-]*)(?:\s+(.*))?", re.DOTALL)
_WORD = re.compile(r'(?P<option>--[a-z][a-z0-9-]*)(?:=(?P<value>"[^"]*"|\S+))?(?!\S)|"[^"]*"|\S+')


class Command(NamedTuple):
    """A skill's name and the words after it."""

    name: str
    words: str


class SlashCommandRouter:
    """Decides which messages of a conversation are answered by a skill: see `assistant.conversation.session.Router`.

    `chat` gives the model of the conversation, `senses` are what skills may ask beside it, and `load_sound` gives the
    recording at a path and what is to be known of it.
    """

    def __init__(
        self,
        chat: Callable[[], ChatModel],
        senses: EmotionModels | None = None,
        load_sound: Callable[[str], tuple[Audio, Sequence[str]]] | None = None,
    ) -> None:
        self._chat = chat
        self._senses = senses
        self._load_sound = load_sound
        self._told_of_reader = False

    def __call__(self, message: Message, earlier: Sequence[Message], *, commands: bool = True) -> Responder | None:
        command = parse_command(message.text) if commands else None
        if command is None:
            return self._reader(message, earlier)
        skill = registry.find(command.name)
        needs_picture = any(each.kind == "photo" and not each.is_option for each in skill.parameters)
        # One that may do without a picture looks back for it only when it is given nothing else.
        looks_back = needs_picture or ("photo" in skill.by_media_type and not command.words.strip())
        pictures = message.images or (_latest_pictures(earlier) if looks_back else ())
        values = list(_calls(skill, command.words, pictures))
        notices: list[str] = []
        for one in values:
            # What is wrong is known before anything is computed.
            skill.validate(one)
        for each in skill.parameters:
            if each.kind == "sound" and values and values[0].get(each.name) is not None:
                sound, told = self._sound(values[0][each.name])
                notices += told
                values = [{**one, each.name: sound} for one in values]

        def answer(stop: threading.Event) -> Generator[str | SkillResult | Notice, None, Usage]:
            yield from map(Notice, notices)
            model = VisionClient(self._chat(), stop)
            for number, one in enumerate(values):
                try:
                    result = skill.run(one, self._senses if skill.needs_emotion_models else model)
                except Cancelled:
                    break
                yield SkillResult(skill.name, result)
                heading = f"{_picture_name(one)}: " if len(values) > 1 else ""
                yield ("\n" if number else "") + heading + as_text(result)
            return model.usage

        return answer

    def _sound(self, path: str) -> tuple[Audio, Sequence[str]]:
        if self._load_sound is None:
            raise SkillError(f"Recordings such as {path} cannot be listened to in this conversation: leave it out.")
        return self._load_sound(path)

    def _reader(self, message: Message, earlier: Sequence[Message]) -> Responder | None:
        """Answers a question about the words in a picture, for a model that cannot read."""
        if not self._chat().info.bundled or not is_about_words(message.text):
            return None
        pictures = message.images or _latest_pictures(earlier)
        if not pictures:
            return None

        def answer(stop: threading.Event) -> Generator[str | SkillResult | Notice, None, Usage]:
            started = time.monotonic()
            if not self._told_of_reader:
                self._told_of_reader = True
                yield Notice(
                    f"{self._chat().info.name} cannot read: the words in pictures are found by the skill read."
                )
            for number, picture in enumerate(pictures):
                if stop.is_set():
                    break
                reading = read(picture)
                yield SkillResult(read.name, reading)
                name = picture.name if len(pictures) > 1 else "It"
                yield ("\n" if number else "") + _said_by(name, reading)
            return Usage(total_seconds=time.monotonic() - started)

        return answer


def _said_by(name: str, reading: OcrResult) -> str:
    match len(reading.rows):
        case 0:
            return "I can find no words in the picture." if name == "It" else f"{name}: no words."
        case 1:
            return f"{name} says {quoted(reading)}."
        case _:
            return f"{name} says:\n{quoted(reading)}"


def parse_command(text: str) -> Command | None:
    """The call of a skill that `text` is, None if it is none. Raises `SkillError` for one with a mistyped name."""
    found = _COMMAND.fullmatch(text.strip())
    if found is None:
        return None
    name, names = found[1], registry.names()
    if name in names:
        return Command(name, found[2] or "")
    if near := get_close_matches(name, names, 1):
        raise SkillError(f"There is no skill {name}: is it /{near[0]} that you mean?")
    if found[2] is None:
        raise SkillError(f"There is no skill {name}; there are {', '.join(f'/{each}' for each in names)}.")
    # With words after it, something else may well begin with a slash.
    return None


def read_words(skill: "Skill[..., Any]", words: str) -> dict[str, Any]:
    """What `words` say about the inputs of `skill`: options as on a command line, and everything else its text.

    Raises `SkillError`.
    """
    inputs = {each.option: each for each in skill.parameters if each.is_option and each.kind != "photo"}
    values: dict[str, Any] = {}
    rest: list[str] = []
    found = _WORD.finditer(words)
    for word in found:
        option = word["option"]
        if option is None:
            rest.append(word[0])
            continue
        each = inputs.get(option)
        if each is None and any(one.kind == "photo" and one.option == option for one in skill.parameters):
            raise SkillError(f"In a conversation {option} is the picture that is attached: name its path alone.")
        if each is None:
            raise SkillError(f"The skill {skill.name} takes no {option}; it takes {', '.join(inputs) or 'no options'}.")
        _put(
            skill,
            values,
            each,
            word["value"] if each.kind == "flag" else word["value"] or _following(skill, found, option),
        )
    text = next((each for each in skill.parameters if each.kind == "text" and not each.is_option), None)
    if text is None and (given := _file_named(skill, rest)) is not None:
        each, value = given
        if each.name in values:
            raise SkillError(
                f"{each.option} of the skill {skill.name} and the file {rest[0]} are two: give one of them."
            )
        return {**values, each.name: value}
    text = text or skill.by_media_type.get("text")
    if text is not None:
        words = " ".join(rest)
        if words and text.name in values:
            raise SkillError(
                f"{text.option} of the skill {skill.name} and the words {words} are two: give one of them."
            )
        values.setdefault(text.name, words or None)
    elif rest:
        raise SkillError(f"The skill {skill.name} takes no words like “{' '.join(rest)}”: leave them out.")
    return values


def _file_named(skill: "Skill[..., Any]", words: Sequence[str]) -> tuple[Parameter, str] | None:
    """The input of a skill that takes files by their kind, and its value, if the only one of `words` is a file for it.

    That is the path of a recording, or what a text says. What is neither by its name is a word; pictures are attached.
    """
    if len(words) != 1:
        return None
    source = Source(words[0].strip('"'))
    places: dict[str, Parameter] = {
        kind: each for kind, each in skill.by_media_type.items() if kind in ("sound", "text")
    }
    kind = source.named_kind(places)
    if kind is None or not expand_user(source.name).is_file():
        return None
    return places[kind], source.read_text() if kind == "text" else str(expand_user(source.name))


def _put(skill: "Skill[..., Any]", values: dict[str, Any], each: Parameter, value: str | None) -> None:
    value = None if value is None else value.strip('"')
    if each.kind == "flag":
        if value is not None:
            raise SkillError(f"{each.option} of the skill {skill.name} takes no value: write it alone.")
        values[each.name] = True
    elif each.kind == "texts":
        values[each.name] = (*values.get(each.name, ()), value)
    elif each.name in values:
        raise SkillError(f"{each.option} of the skill {skill.name} is given twice: give it once.")
    else:
        values[each.name] = value


def _following(skill: "Skill[..., Any]", words: Iterator[re.Match[str]], option: str) -> str:
    following = next(words, None)
    if following is None or following["option"] is not None:
        raise SkillError(f"{option} of the skill {skill.name} needs a value after it.")
    return following[0]


def _calls(skill: "Skill[..., Any]", words: str, pictures: Sequence[Image]) -> Iterator[dict[str, Any]]:
    """The inputs of each call: one for each picture if the skill looks at one, else one with all of them."""
    values = read_words(skill, words)
    places = [each for each in skill.parameters if each.kind == "photo"]
    if len(places) == 1 and pictures:
        for picture in pictures:
            yield {**values, places[0].name: picture}
        return
    if len(pictures) > len(places) > 0:
        raise SkillError(f"The skill {skill.name} looks at {len(places)} pictures, not at {len(pictures)}.")
    if any(not each.is_option for each in places[len(pictures) :]):
        raise SkillError(f"The skill {skill.name} needs a picture: name one, or attach it.")
    yield {**values, **{each.name: picture for each, picture in zip(places, pictures, strict=False)}}


def _latest_pictures(earlier: Sequence[Message]) -> Sequence[Image]:
    return next((message.images for message in reversed(earlier) if message.images), ())


def _picture_name(values: dict[str, Any]) -> str:
    return next((value.name for value in values.values() if isinstance(value, Image)), "")
