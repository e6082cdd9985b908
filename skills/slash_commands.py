"""Answer messages of a conversation with skills: "/caption --style detailed", or OCR for a model that cannot read.

For a skill without required parameters, the words after its name are its text: "/emotion I can't wait!".

Only text that a person typed is parsed as a command. Replies, images and files are not looked at.
"""

import re
import threading
import time
from collections.abc import Callable, Generator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from assistant.conversation.session import Responder
from assistant.errors import SkillError
from assistant.events import Notice, SkillResult, Usage
from assistant.messages import Audio, Image, Message
from assistant.models.base import ChatModel
from skills import registry
from skills.definition import Skill, as_text
from skills.emotion_models import EmotionModels
from skills.ocr import OcrResult, asks_for_text, quote_rows, read
from skills.slash_arguments import parse_calls
from skills.vision_model import Cancelled, VisionClient

_COMMAND = re.compile(r"/([a-z][a-z0-9-]*)(?:\s+(.*))?", re.DOTALL)

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
                    result = skill.run(values, self._emotion_models if skill.needs_emotion_models else model)
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
        if not self._chat_model().info.bundled or not asks_for_text(message.text):
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
                if stop.is_set():
                    break
                result = read(image)
                yield SkillResult(read.name, result)
                yield ("\n" if index else "") + _describe(image.name if len(images) > 1 else "It", result)
            return Usage(total_seconds=time.monotonic() - started)

        return respond


def parse_command(text: str) -> SlashCommand | None:
    """Parse the call of a skill, or return None if `text` is none. Raises `SkillError` for a mistyped name."""
    match = _COMMAND.fullmatch(text.strip())
    if match is None:
        return None
    name, names = match[1], registry.names()
    if name in names:
        return SlashCommand(name, match[2] or "")
    if similar := get_close_matches(name, names, 1):
        raise SkillError(f"There is no skill {name}: is it /{similar[0]} that you mean?")
    if match[2] is None:
        raise SkillError(f"There is no skill {name}; there are {', '.join(f'/{each}' for each in names)}.")
    # Followed by words it may be a sentence that begins with a path.
    return None


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
            return "I can find no words in the picture." if name == "It" else f"{name}: no words."
        case 1:
            return f"{name} says {quote_rows(result)}."
        case _:
            return f"{name} says:\n{quote_rows(result)}"
