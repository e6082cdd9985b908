"""A describer of images with scripted descriptions, and the parts that see for a pocket model."""

import threading
from collections.abc import Callable

from assistant.messages import Image
from assistant.models.pocket.described_images import Vision
from assistant.models.pocket.image_description import ImageDescription
from assistant.models.scripted import ScriptedModel


class ScriptedDescriber:
    """Gives the next scripted description, or raises the next scripted error; then a caption with the file's name."""

    def __init__(self, *script: ImageDescription | Exception) -> None:
        self._script = list(script)
        self.seen: list[str] = []

    def describe(self, image: Image, stop: threading.Event | None = None) -> ImageDescription:
        self.seen.append(image.name)
        found = self._script.pop(0) if self._script else ImageDescription(caption=f"Here is {image.name}.")
        if isinstance(found, Exception):
            raise found
        return found


def scripted_vision(*script: ImageDescription | Exception, vision_model: ScriptedModel | None = None) -> Vision:
    """Return a scripted vision model with a scripted describer."""
    return Vision(vision_model or ScriptedModel(), ScriptedDescriber(*script))


class ScriptedWords:
    """The words for images of one prompt: those of `describe`, and an answer for each question in `answers`."""

    def __init__(self, describe: Callable[[Image], str], **answers: str) -> None:
        self._describe = describe
        self._answers = answers
        self.asked: list[tuple[str, bool]] = []

    def describe(self, image: Image, *, is_new: bool) -> str:
        return self._describe(image)

    def look_again(self, question: str, image: Image, *, is_new: bool) -> str:
        self.asked.append((question, is_new))
        return self._answers.get(question, "")
