"""Answer messages of a conversation with skills: "/caption --style detailed", or OCR for a model that cannot read.

For a skill without required parameters, the words after its name are its text: "/emotion I can't wait!".

Only text that a person typed is parsed as a command. Replies, images and files are not looked at. A text that begins
with a slash and a word is a command or an error, unless the slash begins a path.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Generator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from assistant.conversation.commands import LITERAL_SLASH
from assistant.conversation.turn import Responder
from assistant.errors import SkillError, SkillUsageError
from assistant.events import Notice, SkillResult, Usage
from assistant.messages import Audio, Image, Message
from assistant.models.base import ChatModel
from assistant.text_cleaning import clean_line
from skills import registry
from skills.definition import Skill, as_text
from skills.emotion_models import EmotionModels
from skills.ocr import OcrResult, quote_rows, read
from skills.slash_arguments import parse_calls, usage
from skills.text_questions import answer_from_text, reads_instead
from skills.vision_model import Cancelled, VisionClient

_COMMAND = re.compile(r"/([^\W\d_][\w-]*)([.,:;!?…]*)(?:\s+(.*))?", re.DOTALL)
_SESSION_COMMANDS = {
    "help": "/help NAME says how the command NAME is used.",
    "model": "/model NAME lets another model answer from here on; NAME is what --model takes.",
    "set": "/set NAME VALUE changes how replies are generated, as in /set temperature 0.7; /set shows what applies.",
}
"""Commands that the session runs itself."""

LoadAudio = Callable[[str], tuple[Audio, Sequence[str]]]
"""Loads the recording at a path and returns it with notices for the user."""


class SlashCommand(NamedTuple):
    """A skill's name and the text after it."""

    name: str
    arguments: str


class SlashCommandRouter:
    """Route messages to skills: the `Router` of a session."""

    def __init__(
        self,
        chat_model: Callable[[], ChatModel],
        emotion_models: EmotionModels | None = None,
        load_audio: LoadAudio | None = None,
    ) -> None:
        """Create a router.

        Args:
            chat_model: Return the current model of the conversation.
            emotion_models: Dependency of the emotion skill.
            load_audio: Load a recording; None refuses recordings.
        """
        self._chat_model = chat_model
        self._emotion_models = emotion_models
        self._load_audio = load_audio
        self._notified_of_ocr = False

    def __call__(self, message: Message, earlier: Sequence[Message], *, commands: bool = True) -> Responder | None:
        """Return what answers `message`, or None for the model. Raises `SkillError` for a command that is wrong.

        Args:
            message: Message of the user.
            earlier: Messages before it.
            commands: False for spoken words, which are never a slash command.
        """
        command = parse_command(message.text) if commands else None
        return self._ocr_fallback(message, earlier) if command is None else self._skill(command, message, earlier)

    def help_lines(self, topic: str) -> Sequence[str]:
        """Return how the command `topic` is used, or all commands if there is no such one."""
        skills, notices = registry.all_skills()
        known = {each.name: each for each in skills}
        name = topic.split(maxsplit=1)[0].removeprefix("/").lower() if topic else ""
        if name in known:
            return _usage_lines(known[name])
        if name in _SESSION_COMMANDS:
            return [_SESSION_COMMANDS[name]]
        lines = [
            "A message that begins with a slash is a command:",
            *_SESSION_COMMANDS.values(),
            *(f"{usage(each, in_chat=True)}: {each.summary}" for each in skills),
            *_picture_lines(skills),
            f"To send a text that begins with a slash, begin with {LITERAL_SLASH}, as in {LITERAL_SLASH}help.",
        ]
        return [*lines, *notices]

    def _skill(self, command: SlashCommand, message: Message, earlier: Sequence[Message]) -> Responder:
        """Validate a call of a skill, before anything is computed, and return what runs it."""
        skill = registry.find(command.name)
        calls = list(parse_calls(skill, command.arguments, _choose_images(skill, command, message, earlier)))
        for values in calls:
            skill.validate(values)
        notices = self._load_recordings(skill, calls)

        def respond(stop: threading.Event) -> Generator[str | SkillResult | Notice, None, Usage]:
            yield from map(Notice, notices)
            model = VisionClient(self._chat_model(), stop)
            for index, values in enumerate(calls):
                try:
                    result = skill.run(values, self._emotion_models if skill.needs_emotion_models else model, stop)
                except Cancelled:
                    break
                yield SkillResult(skill.name, result)
                heading = f"{_image_name(values)}: " if len(calls) > 1 else ""
                yield ("\n" if index else "") + heading + as_text(result)
            return model.usage

        return respond

    def _load_recordings(self, skill: "Skill[..., Any]", calls: Sequence[dict[str, Any]]) -> list[str]:
        """Replace paths of recordings in `calls` by the recordings. Return the notices."""
        notices: list[str] = []
        for parameter in skill.parameters:
            path = calls[0].get(parameter.name)
            if parameter.kind != "sound" or path is None:
                continue
            if self._load_audio is None:
                raise SkillError(f"Recordings such as {path} cannot be listened to in this conversation: leave it out.")
            audio, found = self._load_audio(path)
            notices += found
            for values in calls:
                values[parameter.name] = audio
        return notices

    def _ocr_fallback(self, message: Message, earlier: Sequence[Message]) -> Responder | None:
        """Return what answers a question about the text in an image, if the model cannot read."""
        if not reads_instead(message.text, self._chat_model().info):
            return None
        images = message.images or _latest_images(earlier)
        if not images:
            return None

        def respond(stop: threading.Event) -> Generator[str | SkillResult | Notice, None, Usage]:
            started = time.monotonic()
            if not self._notified_of_ocr:
                self._notified_of_ocr = True
                name = self._chat_model().info.name
                yield Notice(f"{name} cannot read: the words in pictures are found by the skill read.")
            for index, image in enumerate(images):
                try:
                    result = answer_from_text(message.text, read(image, stop=stop))
                except Cancelled:
                    break
                yield SkillResult(read.name, result)
                yield ("\n" if index else "") + _describe(image.name if len(images) > 1 else "It", result)
            return Usage(total_seconds=time.monotonic() - started)

        return respond


def parse_command(text: str) -> SlashCommand | None:
    """Parse the call of a skill, or return None if `text` is none. Raises `SkillUsageError` for an unknown command."""
    match = _COMMAND.fullmatch(text.strip())
    if match is None:
        return None
    name, punctuation, arguments = match.groups()
    names = registry.names()
    if name in names and not punctuation:
        return SlashCommand(name, arguments or "")
    # A sentence may begin with a path: "/tmp is full".
    if name not in names and os.path.lexists(f"/{name}"):
        return None
    known = [*_SESSION_COMMANDS, *names]
    similar = get_close_matches(name.lower(), known, 3)
    hint = f"is it {' or '.join(f'/{each}' for each in similar)} that you mean?" if similar else "/help lists them."
    raise SkillUsageError(
        f"There is no command /{clean_line(name + punctuation, 60)}: {hint} "
        f"To send it as text, begin with {LITERAL_SLASH} in place of the slash."
    )


def _usage_lines(skill: "Skill[..., Any]") -> list[str]:
    options = [each for each in skill.parameters if each.is_option and each.kind not in ("photo", "sound")]
    return [
        f"{usage(skill, in_chat=True)}: {skill.summary}",
        *_picture_lines([skill]),
        *(f"{each.option}: {each.help}" for each in options if each.help),
    ]


def _picture_lines(skills: Sequence["Skill[..., Any]"]) -> list[str]:
    """Return how the pictures that `skills` take are given in a conversation, if any take some."""
    pictures = [each for skill in skills for each in skill.parameters if each.kind == "photo"]
    if not pictures:
        return []
    names = " or ".join(dict.fromkeys(each.name.upper() for each in pictures))
    latest = "" if all(each.is_option for each in pictures) else "; without one, the latest picture is looked at"
    return [f"In the place of {names} goes a picture: name its path, or attach it{latest}."]


def _choose_images(
    skill: "Skill[..., Any]", command: SlashCommand, message: Message, earlier: Sequence[Message]
) -> Sequence[Image]:
    """Return the attached images, else the latest ones if the skill needs an image or has no other input."""
    if message.images:
        return message.images
    needs_image = any(each.kind == "photo" and not each.is_option for each in skill.parameters)
    has_no_input = "photo" in skill.by_media_type and not command.arguments.strip()
    return _latest_images(earlier) if needs_image or has_no_input else ()


def _latest_images(earlier: Sequence[Message]) -> Sequence[Image]:
    return next((message.images for message in reversed(earlier) if message.images), ())


def _image_name(values: dict[str, Any]) -> str:
    return next((value.name for value in values.values() if isinstance(value, Image)), "")


def _describe(name: str, result: OcrResult) -> str:
    match len(result.rows):
        case 0:
            text = "I can find no words in the picture." if name == "It" else f"{name}: no words."
        case 1:
            text = f"{name} says {quote_rows(result)}."
        case _:
            text = f"{name} says:\n{quote_rows(result)}"
    return f"{text}\n({result.notice})" if result.notice else text
