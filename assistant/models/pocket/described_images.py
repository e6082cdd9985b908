"""The images of a conversation in words: each is looked at once, by the small vision model, and remembered."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from assistant.errors import AttachmentError, ModelError
from assistant.messages import Image
from assistant.models.base import ChatModel
from assistant.models.pocket import second_look
from assistant.models.pocket.image_description import ImageDescription

Key = TypeVar("Key")
Value = TypeVar("Value")

_log = logging.getLogger(__name__)

# A description takes a second or more to make and a few kilobytes to keep.
_MAX_REMEMBERED = 256


class Describer(Protocol):
    """Looks at images: `describe.Describer`."""

    def describe(self, image: Image, stop: threading.Event | None = None) -> ImageDescription:
        """Return what is in `image`; parts are missing once `stop` is set. Raises `AttachmentError`, `ModelError`."""
        ...


@dataclass(frozen=True)
class Vision:
    """The parts that see.

    Attributes:
        model: The small vision model, which answers questions about an image.
        describer: Describes images; it may ask `model`.
    """

    model: ChatModel
    describer: Describer


class DescribedImages:
    """Describes images by content, each only once. The parts that see are loaded with the first image."""

    def __init__(self, load_vision: Callable[[], Vision]) -> None:
        self._load_vision = load_vision
        self._vision: Vision | None = None
        self._descriptions = _Memory[str, ImageDescription]()
        self._answers = _Memory[tuple[str, str], str]()

    @property
    def model(self) -> ChatModel:
        """The small vision model, loaded at the first use. Raises `ModelError`."""
        return self._loaded().model

    def describe(self, image: Image, stop: threading.Event) -> ImageDescription:
        """Return the description of `image`, which is empty if it cannot be looked at. Raises as loading does."""
        found = self._descriptions.get(image.digest)
        if found is None:
            # Not within the block below: if what sees is missing, no image is to be remembered as one without content.
            describer = self._loaded().describer
            try:
                found = describer.describe(image, stop)
            except ModelError:
                raise
            except Exception:  # noqa: BLE001 - OCR and detectors raise what their libraries raise
                # The turn goes on without it. An image of an old conversation may be damaged by now, too.
                _log.warning("%s cannot be looked at", image.name, exc_info=True)
                found = ImageDescription()
            if not stop.is_set():
                self._descriptions.put(image.digest, found)
        return found

    def look_again(self, question: str, image: Image, stop: threading.Event, *, is_new: bool) -> str:
        """Return what a second look at `image` answers, or "". Raises `ModelError`.

        Args:
            question: Text of the user's message.
            image: The image that it is about.
            stop: Ends the work early.
            is_new: False for a message that has been answered: what was said of it then is said again.
        """
        key = (image.digest, question)
        found = self._answers.get(key)
        # A page answers by its text, which the small model cannot read.
        if found is None and is_new and not self.describe(image, stop).text:
            try:
                found = second_look.look_again(question, image, self.model, stop)
            except AttachmentError:
                found = ""
            if not stop.is_set():
                self._answers.put(key, found)
        return found or ""

    def close(self) -> None:
        """Free the parts that see. Descriptions are kept."""
        if self._vision is not None:
            self._vision.model.close()
            self._vision = None

    def _loaded(self) -> Vision:
        if self._vision is None:
            self._vision = self._load_vision()
        return self._vision


class _Memory(Generic[Key, Value]):
    """The values that were used last."""

    def __init__(self) -> None:
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        self._values[key] = value
        while len(self._values) > _MAX_REMEMBERED:
            self._values.popitem(last=False)
