"""The images of a conversation in words: each is looked at once, by the small vision model, and remembered."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from assistant.errors import AttachmentError
from assistant.messages import Image
from assistant.models.base import ChatModel
from assistant.models.pocket.image_description import ImageDescription

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
        self._descriptions: OrderedDict[str, ImageDescription] = OrderedDict()

    @property
    def model(self) -> ChatModel:
        """The small vision model, loaded at the first use. Raises `ModelError`."""
        return self._loaded().model

    @property
    def is_loaded(self) -> bool:
        """True once the parts that see are in memory."""
        return self._vision is not None

    def describe(self, image: Image, stop: threading.Event) -> ImageDescription:
        """Return the description of `image`, which is empty if it cannot be looked at. Raises `ModelError`."""
        found = self._descriptions.get(image.digest)
        if found is None:
            try:
                found = self._loaded().describer.describe(image, stop)
            except AttachmentError:
                # The turn goes on without it: an image of an old conversation may be damaged by now.
                _log.warning("%s cannot be looked at", image.name, exc_info=True)
                found = ImageDescription()
            if stop.is_set():
                return found
            self._descriptions[image.digest] = found
        self._descriptions.move_to_end(image.digest)
        while len(self._descriptions) > _MAX_REMEMBERED:
            self._descriptions.popitem(last=False)
        return found

    def close(self) -> None:
        """Free the parts that see. Descriptions are kept."""
        if self._vision is not None:
            self._vision.model.close()
            self._vision = None

    def _loaded(self) -> Vision:
        if self._vision is None:
            self._vision = self._load_vision()
        return self._vision
