"""Look at an image once and describe what is in it: the eyes of a language model that has none.

pixels ─┬─▶ recognizer: kinds and words
        ├─▶ colours
        ├─▶ the small model: a caption, and how sure it is of it
        ├─▶ faces
        └─▶ text
"""

import math
import threading
from collections.abc import Callable

import PIL.Image

from assistant.attachments.images import decode
from assistant.messages import Image, user
from assistant.models.base import ChatModel, GenerationOptions, Scorer
from assistant.models.pocket.image_description import Certainty, ImageDescription, Kind
from assistant.models.pocket.recognizer import Recognition, Recognizer
from assistant.models.replies import stream_reply

CAPTION_PROMPT = "Describe the photo."
_CAPTION_TOKENS = 32
_MIN_CAPTION_CONFIDENCE = 0.3
_SURE, _LIKELY, _WORD = 0.75, 0.5, 0.4

CountFaces = Callable[[PIL.Image.Image], int]
ReadText = Callable[[PIL.Image.Image], list[str]]


class Describer:
    """Describes images. Not thread-safe: the owner of the small model calls it, on that model's thread."""

    def __init__(
        self,
        recognizer: Recognizer,
        model: ChatModel,
        *,
        count_faces: CountFaces | None = None,
        read_text: ReadText | None = None,
    ) -> None:
        """Create a describer.

        Args:
            recognizer: Classifiers of the vision tower.
            model: The small vision model, which writes the caption.
            count_faces: Return the number of faces in an image.
            read_text: Return the rows of text in an image.
        """
        self._recognizer = recognizer
        self._model = model
        self._count_faces = count_faces
        self._read_text = read_text

    def describe(self, image: Image, stop: threading.Event | None = None) -> ImageDescription:
        """Return what is in `image`. Takes about a second, and more where there is text to read.

        Args:
            image: Any image.
            stop: Setting it ends the work early; the description then lacks what was not looked at yet.

        Raises:
            AttachmentError: The image does not decode.
            ModelError: The small model fails.
        """
        stop = stop or threading.Event()
        pixels = decode(image)
        (seen,) = self._recognizer.recognize([pixels])
        caption, confidence = self._caption(image, stop)
        faces = self._count_faces(pixels) if self._count_faces and not stop.is_set() else None
        text = self._read_text(pixels) if self._read_text and not stop.is_set() else []
        is_page = sum(map(len, text)) > 60
        return ImageDescription(
            kinds=_kinds(seen),
            caption=caption if confidence >= _MIN_CAPTION_CONFIDENCE else None,
            others=tuple(word for word, probability in seen.words.items() if probability >= _WORD)[:6],
            faces=faces,
            text=tuple(text),
            is_page=is_page,
        )

    def _caption(self, image: Image, stop: threading.Event) -> tuple[str, float]:
        """Return the small model's caption and the mean probability of its tokens."""
        messages = [user(CAPTION_PROMPT, image)]
        options = GenerationOptions(_CAPTION_TOKENS, temperature=0)
        caption = "".join(stream_reply(self._model, messages, options, stop)).strip()
        if stop.is_set() or not isinstance(self._model, Scorer):
            return caption, 0.0
        scores = self._model.score(messages, [caption], stop)
        if not scores:
            return caption, 0.0
        return caption, math.exp(math.fsum(scores[0]) / len(scores[0]))


def _kinds(seen: Recognition) -> tuple[Kind, ...]:
    (name, probability), *others = list(seen.classes.items())[:3]
    if probability >= _SURE:
        return (Kind(name, Certainty.SURE),)
    if probability >= _LIKELY:
        return (Kind(name, Certainty.LIKELY),)
    return tuple(Kind(each, Certainty.UNSURE) for each in (name, *(other for other, _ in others)))
