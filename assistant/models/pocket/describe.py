"""Look at an image once and describe what is in it: the eyes of a language model that has none.

                ┌─▶ recognizer ─▶ kinds, things ─────────────┐
pixels ─────────┼─▶ colours, drawn or not ───────────────────┤
                ├─▶ the small model: a caption ─▶ doubt ─────┼─▶ ImageDescription
                ├─▶ faces ───────────────────────────────────┤
                └─▶ text ─▶ a page, or words in a photo ─────┘
"""

import logging
import threading
from collections.abc import Callable, Collection
from typing import TypeVar

import PIL.Image

from assistant.attachments.images import decode
from assistant.errors import ParleyError, first_line
from assistant.messages import Image
from assistant.models.base import ChatModel
from assistant.models.pocket.captioner import write_caption
from assistant.models.pocket.colours import find_colours
from assistant.models.pocket.doubt import believable_drawing, believable_part
from assistant.models.pocket.drawings import is_drawn
from assistant.models.pocket.image_description import Certainty, ImageDescription, Kind
from assistant.models.pocket.kinds import choose_kinds, kind_probabilities
from assistant.models.pocket.recognizer import Recognition, Recognizer
from assistant.models.pocket.text_in_image import ReadText, TextInImage, is_page, kept_rows
from assistant.models.pocket.things import choose_things, words_said
from assistant.progress import OnNotice, no_notice

Found = TypeVar("Found")
CountFaces = Callable[[PIL.Image.Image], int]

_log = logging.getLogger(__name__)

_MIN_SIDE = 8
"""Pixels of a side below which nothing but colours can be seen."""


class Describer:
    """Describes images. Not thread-safe: the owner of the small model calls it, on that model's thread."""

    def __init__(
        self,
        recognizer: Recognizer,
        model: ChatModel,
        *,
        count_faces: CountFaces | None = None,
        read_text: ReadText | None = None,
        on_notice: OnNotice = no_notice,
    ) -> None:
        """Create a describer.

        Args:
            recognizer: Classifiers of the vision tower.
            model: The small vision model, which writes the caption.
            count_faces: Return the number of faces in an image.
            read_text: Return the text in an image.
            on_notice: Receives a sentence when one of these parts fails; descriptions go without it.
        """
        self._recognizer = recognizer
        self._model = model
        self._count_faces = count_faces
        self._read_text = read_text
        self._on_notice = on_notice
        self._failed: set[str] = set()
        """Parts about which there was a notice."""

    def describe(self, image: Image, stop: threading.Event | None = None) -> ImageDescription:
        """Return what is in `image`. Takes about a second, and more where there is text to read.

        Args:
            image: Any image.
            stop: Setting it ends the work early; the description then lacks what was not looked at yet.

        Raises:
            AttachmentError: The image does not decode.
        """
        stop = stop or threading.Event()
        pixels = decode(image)
        colours, drawn = find_colours(pixels), is_drawn(pixels)
        if colours.is_plain or min(pixels.size) < _MIN_SIDE:
            return ImageDescription(colours=colours)
        nothing = Recognition([0.0] * len(self._recognizer.class_names), {})
        seen = self._attempt("its main thing", image, lambda: self._recognizer.recognize([pixels])[0], nothing)
        text = self._text(image, pixels, stop)
        rows, is_cut = kept_rows(text.rows)
        kinds = choose_kinds(seen.classes, self._recognizer.class_names, seen.words, is_drawn=drawn)
        found = ImageDescription(
            kinds=kinds, colours=colours, text=rows, is_text_cut=is_cut, is_page=is_page(text), is_drawn=drawn
        )
        # What else is seen in a page are mistakes.
        if found.is_page or stop.is_set():
            return found
        return self._with_things(found, image, pixels, seen, stop)

    def _with_things(
        self,
        found: ImageDescription,
        image: Image,
        pixels: PIL.Image.Image,
        seen: Recognition,
        stop: threading.Event,
    ) -> ImageDescription:
        """Add a caption, further things and faces to what was found."""
        caption = self._attempt(
            "what happens in it", image, lambda: self._caption(image, seen, stop, is_drawn=found.is_drawn), None
        )
        faces = None if found.is_drawn else self._faces(image, pixels, stop)
        said = words_said(caption or "", *(kind.name for kind in found.kinds if kind.certainty is not Certainty.UNSURE))
        others = () if found.is_drawn else choose_things(seen.words, said)
        return ImageDescription(
            kinds=weighed_kinds(found.kinds, caption, others),
            caption=caption,
            others=others,
            colours=found.colours,
            faces=faces,
            text=found.text,
            is_text_cut=found.is_text_cut,
            # A few words on a flat ground are a sign, a button or a title; with a chart they are its labels.
            is_page=found.is_drawn and bool(found.text) and caption is None,
            is_drawn=found.is_drawn,
        )

    def _text(self, image: Image, pixels: PIL.Image.Image, stop: threading.Event) -> TextInImage:
        read_text = self._read_text
        if read_text is None or stop.is_set():
            return TextInImage()
        return self._attempt("its text", image, lambda: read_text(pixels, stop), TextInImage())

    def _faces(self, image: Image, pixels: PIL.Image.Image, stop: threading.Event) -> int | None:
        count_faces = self._count_faces
        if count_faces is None or stop.is_set():
            return None
        return self._attempt("the faces in it", image, lambda: count_faces(pixels), None)

    def _attempt(self, part: str, image: Image, look: Callable[[], Found], nothing: Found) -> Found:
        """Return what `look` finds, or `nothing` if it fails: the rest of the description is worth having."""
        try:
            return look()
        except Exception as error:  # noqa: BLE001 - detectors raise what their libraries raise
            _log.warning("%s: %s cannot be found", image.name, part, exc_info=True)
            if part not in self._failed:
                self._failed.add(part)
                reason = str(error) if isinstance(error, ParleyError) else f"{first_line(error)}."
                self._on_notice(f"Of {image.name}, {part} could not be found, and replies do without it: {reason}")
            return nothing

    def _caption(self, image: Image, seen: Recognition, stop: threading.Event, *, is_drawn: bool) -> str | None:
        caption = write_caption(self._model, image, stop)
        if stop.is_set():
            return None
        if is_drawn:
            return believable_drawing(caption.text, caption.mean_probability)
        kinds = kind_probabilities(seen.classes, self._recognizer.class_names)
        return believable_part(caption.text, seen.words, kinds)


def weighed_kinds(kinds: tuple[Kind, ...], caption: str | None, things: Collection[str]) -> tuple[Kind, ...]:
    """Leave out what is less sure than what is said anyway.

    The classes are single objects. In a scene they guess at details, like a bathing cap at a pool: on dev photos of
    scenes captions support 63 % of what kinds alone state, and 91 % of what the believed captions do.
    """
    if not kinds or kinds[0].certainty is Certainty.SURE:
        return kinds
    if kinds[0].certainty is Certainty.LIKELY:
        return () if caption else kinds
    return () if caption or things else kinds
