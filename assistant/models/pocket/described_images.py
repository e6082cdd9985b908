"""The images of a conversation in words: each is looked at once, by the small vision model, and remembered."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from assistant.errors import AttachmentError, ParleyError, first_line
from assistant.messages import Image
from assistant.models.base import ChatModel
from assistant.models.pocket import second_look
from assistant.models.pocket.image_description import ImageDescription
from assistant.progress import OnNotice, no_notice

Key = TypeVar("Key")
Value = TypeVar("Value")

_log = logging.getLogger(__name__)

# A description takes a second or more to make and a few kilobytes to keep.
_MAX_REMEMBERED = 256


class Describer(Protocol):
    """Looks at images: `describe.Describer`."""

    def describe(self, image: Image, stop: threading.Event | None = None) -> ImageDescription:
        """Return what is in `image`; parts are missing once `stop` is set. Raises `AttachmentError`."""
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

    def __init__(self, load_vision: Callable[[], Vision], on_notice: OnNotice = no_notice) -> None:
        """Create the descriptions of a conversation.

        Args:
            load_vision: Load the parts that see. May raise `ParleyError`.
            on_notice: Receives sentences about images that cannot be looked at.
        """
        self._load_vision = load_vision
        self._on_notice = on_notice
        self._vision: Vision | None = None
        self._cannot_load = False
        self._descriptions = _Memory[str, ImageDescription]()
        self._answers = _Memory[tuple[str, str], str]()

    @property
    def model(self) -> ChatModel:
        """The small vision model, loaded at the first use. Raises `ParleyError`."""
        return self._loaded().model

    def describe(self, image: Image, stop: threading.Event, *, is_new: bool = True) -> ImageDescription | None:
        """Return the description of `image`, which is empty if it cannot be looked at.

        Args:
            image: The image.
            stop: Ends the work early.
            is_new: True for a part of the message that is to be answered. Without what sees, such a message cannot be
                answered; an image of an earlier one is None then, and the conversation goes on.

        Raises:
            ParleyError: What sees cannot be loaded, and the image `is_new`.
        """
        found = self._descriptions.get(image.digest)
        if found is None:
            # Not within the block below: if what sees is missing, no image is to be remembered as one without content.
            vision = self._loaded() if is_new else self._loaded_if_possible()
            if vision is None:
                return None
            try:
                found = vision.describer.describe(image, stop)
            except Exception as error:  # noqa: BLE001 - detectors raise what their libraries raise
                # The turn goes on without it. An image of an old conversation may be damaged by now, too.
                _log.warning("%s cannot be looked at", image.name, exc_info=True)
                self._on_notice(f"{image.name} cannot be looked at, so replies do without it: {first_line(error)}")
                found = ImageDescription()
            if not stop.is_set():
                self._descriptions.put(image.digest, found)
        return found

    def look_again(self, question: str, image: Image, stop: threading.Event, *, is_new: bool) -> str:
        """Return what a second look at `image` answers, or "".

        Args:
            question: Text of the user's message.
            image: The image that it is about.
            stop: Ends the work early.
            is_new: False for a message that has been answered: what was said of it then is said again.
        """
        key = (image.digest, question)
        found = self._answers.get(key)
        if found is None and is_new:
            found = self._look_again(question, image, stop)
            if not stop.is_set():
                self._answers.put(key, found)
        return found or ""

    def _look_again(self, question: str, image: Image, stop: threading.Event) -> str:
        description = self.describe(image, stop, is_new=False)
        # A page answers by its text, which the small model cannot read.
        if description is None or description.text or (vision := self._loaded_if_possible()) is None:
            return ""
        try:
            return second_look.look_again(question, image, description.as_text(), vision.model, stop)
        except AttachmentError:
            return ""

    def close(self) -> None:
        """Free the parts that see. Descriptions are kept."""
        if self._vision is not None:
            self._vision.model.close()
            self._vision = None

    def _loaded(self) -> Vision:
        if self._vision is None:
            self._vision = self._load_vision()
            self._cannot_load = False
        return self._vision

    def _loaded_if_possible(self) -> Vision | None:
        """Return what sees, None if it cannot be loaded. That is said and tried once, and again with a new image."""
        if self._vision is None and self._cannot_load:
            return None
        try:
            return self._loaded()
        except ParleyError as error:
            self._cannot_load = True
            self._on_notice(f"{error} Until then replies do without earlier images.")
            return None


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
