"""Captions: what a picture shows, in a sentence or more, for people or for screen readers."""

import io
import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from assistant.attachments.images import decode
from assistant.errors import SkillUsageError
from assistant.messages import Image
from skills.definition import skill
from skills.structured import json_objects
from skills.vision_model import VisionModel

Style = Literal["short", "detailed", "dense", "alt-text"]

ALT_TEXT_LENGTH = 125
"""In characters; some screen readers stop there."""

# The plain wording is one that the bundled model was trained with.
_SHORT = "Describe the photo."
_DETAILED = "Describe the picture in detail."
_TILE = "Describe the picture."
# As the Qwen-VL family was taught to be asked.
_GROUNDED = (
    "Locate the people, things and other parts that matter in the picture. Report for each its bbox_2d coordinates and "
    "a short description as its label, in JSON format."
)
_LONGEST_GROUNDED = 768
_THOUSANDTHS = 1000
_LONGEST = {"short": 48, "detailed": 256, "dense": 48, "alt-text": 48}
"""In tokens."""

# What screen readers say themselves before they read an alternative text.
_PREAMBLE = re.compile(
    r"(?:this|the|a|an)?\s*(?:picture|photo(?:graph)?|image)\s+(?:of|shows|showing|depicts|depicting)\s+(?=\S)",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"(?<=[.!?])\s+")
_SMALLEST_TILE = 32  # pixels; nothing can be told from less
_HEADINGS = {
    "model": "In parts (as the model draws them):",
    "tiles": "In parts (tiles of the picture; this model draws no boxes of its own):",
}


class Region(BaseModel):
    """A part of a picture and what it shows; `box` is left, top, right and bottom in pixels of the upright picture."""

    box: tuple[int, int, int, int]
    text: str


class Caption(BaseModel):
    """What a picture shows.

    `regions_from` says how the regions were chosen: by the "model", or as "tiles", fixed parts of the picture.
    """

    text: str
    style: Style
    model: str
    regions: list[Region] = []
    regions_from: Literal["model", "tiles"] | None = None

    def __str__(self) -> str:
        if self.regions_from is None:
            return self.text
        lines = [f"{region.text}  ({_where(region.box)})" for region in self.regions]
        return "\n".join([self.text, _HEADINGS[self.regions_from], *lines])


@skill
def caption(
    photo: Image,
    model: VisionModel,
    *,
    style: Annotated[Style, "How much to say; dense also describes parts of the picture."] = "short",
    language: Annotated[str, "The language to write in, like German; the bundled model knows English only."] = "",
) -> Caption:
    """Say what a picture shows.

    A dense caption describes the whole picture and then its parts, with boxes where the model can draw them (Qwen3-VL),
    and else as tiles, two by two or three by three. An alt-text is one phrase of at most 125 characters, without "a
    picture of".
    """
    if language and model.info.bundled and language.strip().lower() not in {"english", "en"}:
        raise SkillUsageError(f"The bundled model writes English only: choose another one with --model for {language}.")
    # The bundled model knows questions in the words it was trained with, and no more.
    wanted = f" Answer in {language}." if language and not model.info.bundled else ""
    if style == "detailed":
        text = without_repetition(model.ask(_DETAILED + wanted, photo, max_tokens=_LONGEST[style]))
    else:
        text = model.ask(_SHORT + wanted, photo, max_tokens=_LONGEST[style])
    if style == "alt-text":
        text = alt_text(text)
    if style != "dense":
        return Caption(text=text, style=style, model=model.info.name)
    if model.info.supports_grounding and (
        drawn := grounded(model.ask(_GROUNDED + wanted, photo, max_tokens=_LONGEST_GROUNDED), photo)
    ):
        return Caption(text=text, style=style, model=model.info.name, regions=drawn, regions_from="model")
    regions = [
        Region(box=box, text=model.ask(_TILE + wanted, tile, max_tokens=_LONGEST[style])) for box, tile in tiles(photo)
    ]
    return Caption(text=text, style=style, model=model.info.name, regions=regions, regions_from="tiles")


class _Grounded(BaseModel):
    """A part of a picture as Qwen3-VL tells of it, its box in thousandths of the picture."""

    bbox_2d: tuple[float, float, float, float]
    label: Annotated[str, Field(min_length=1)]


def grounded(said: str, photo: Image) -> list[Region]:
    """The regions that a model has named in JSON, as far as they are whole and lie in the picture."""
    regions = []
    for found in json_objects(said):
        try:
            part = _Grounded.model_validate(found)
        except ValidationError:
            continue
        sides = (photo.width, photo.height, photo.width, photo.height)
        left, top, right, bottom = (
            round(min(max(place, 0), _THOUSANDTHS) * side / _THOUSANDTHS)
            for place, side in zip(part.bbox_2d, sides, strict=True)
        )
        if left < right and top < bottom:
            regions.append(Region(box=(left, top, right, bottom), text=" ".join(part.label.split())))
    return regions


def without_repetition(text: str) -> str:
    """`text` up to the first sentence that was said before: there small models begin to go round in circles."""
    text = text.strip()
    said: list[str] = []
    start = 0
    for end, after in [*(gap.span() for gap in _SENTENCES.finditer(text)), (len(text), len(text))]:
        sentence = text[start:end]
        # The number of a list's entry is no sentence.
        if len(sentence.split()) > 2 and any(earlier.startswith(sentence) for earlier in said):
            return text[:start].rstrip()
        said.append(sentence)
        start = after
    return text


def alt_text(text: str) -> str:
    """A caption as an alternative text: its first sentences as far as they fit, without "a photo of"."""
    text = " ".join(text.split())
    text = _PREAMBLE.sub("", text, count=1) if _PREAMBLE.match(text) else text
    text = text[:1].upper() + text[1:]
    if len(text) <= ALT_TEXT_LENGTH:
        return text
    cut = text[:ALT_TEXT_LENGTH]
    end = max(cut.rfind(mark) for mark in (". ", "! ", "? "))
    return cut[: end + 1] if end > 0 else cut[: ALT_TEXT_LENGTH - 1].rpartition(" ")[0].rstrip(" ,;:") + "…"


def tiles(photo: Image) -> Iterator[tuple[tuple[int, int, int, int], Image]]:
    """The parts of a picture from left to right and top to bottom, as boxes in pixels and as pictures.

    Three by three of a large picture, two by two of a small one, and fewer where they would be nothing but specks.
    """
    pixels = decode(photo)
    columns, rows = (_parts(pixels.width), _parts(pixels.height))
    for row in range(rows):
        for column in range(columns):
            box = (
                pixels.width * column // columns,
                pixels.height * row // rows,
                pixels.width * (column + 1) // columns,
                pixels.height * (row + 1) // rows,
            )
            part = pixels.crop(box)
            data = io.BytesIO()
            part.save(data, "PNG")
            yield box, Image(data.getvalue(), "image/png", part.width, part.height, f"part of {photo.name}")


def _parts(pixels: int) -> int:
    return min(3 if pixels > 1000 else 2, max(1, pixels // _SMALLEST_TILE))


def _where(box: tuple[int, int, int, int]) -> str:
    left, top, right, bottom = box
    return f"{left},{top} to {right},{bottom}"
