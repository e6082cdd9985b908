"""Captions of an image: one sentence, several, by regions, or as alt text for screen readers."""

import io
import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from assistant.attachments.images import decode
from assistant.errors import SkillUsageError
from assistant.messages import Image
from assistant.models.reply_text import is_blank
from assistant.text_cleaning import clean_line
from skills.definition import skill
from skills.replies import ask, ask_each
from skills.structured import json_objects
from skills.vision_model import VisionModel

Style = Literal["short", "detailed", "dense", "alt-text"]

MAX_ALT_TEXT_CHARACTERS = 125
"""Some screen readers stop there."""

# The bundled model was trained with these prompts and understands few others.
_SHORT_PROMPT = "Describe the photo."
_DETAILED_PROMPT = "Describe the picture in detail."
_TILE_PROMPT = "Describe the picture."
# The prompt that the Qwen-VL models were trained with.
_GROUNDING_PROMPT = (
    "Locate the people, things and other parts that matter in the picture. Report for each its bbox_2d coordinates and "
    "a short description as its label, in JSON format."
)
_MAX_TOKENS = {"short": 48, "detailed": 256, "dense": 48, "alt-text": 48}
_MAX_GROUNDING_TOKENS = 768
# Qwen-VL's boxes are in thousandths of the image.
_GROUNDING_SCALE = 1000

# Screen readers announce an image themselves.
_PREAMBLE = re.compile(
    r"(?:this|the|a|an)?\s*(?:picture|photo(?:graph)?|image)\s+(?:of|shows|showing|depicts|depicting)\s+(?=\S)",
    re.IGNORECASE,
)
_SENTENCE_GAP = re.compile(r"(?<=[.!?])\s+")
_MIN_TILE_PIXELS = 32
_LARGE_IMAGE_PIXELS = 1000
_HEADINGS = {
    "model": "In parts (as the model draws them):",
    "tiles": "In parts (tiles of the picture; this model draws no boxes of its own):",
}


class Region(BaseModel):
    """A region of an image with its caption; `box` is left, top, right and bottom in pixels of the upright image."""

    box: tuple[int, int, int, int]
    text: str


class Caption(BaseModel):
    """Caption of an image.

    Attributes:
        text: Caption of the complete image.
        style: The style that was asked for.
        model: Name of the model.
        regions: Captions of regions, for the style "dense".
        regions_from: "model" if the model chose the regions, "tiles" for a fixed grid, None without regions.
    """

    text: str
    style: Style
    model: str
    regions: list[Region] = []
    regions_from: Literal["model", "tiles"] | None = None

    def __str__(self) -> str:
        if self.regions_from is None:
            return self.text
        lines = [f"{region.text}  ({_format_box(region.box)})" for region in self.regions]
        return "\n".join([self.text, _HEADINGS[self.regions_from], *lines])


@skill
def caption(
    photo: Image,
    *,
    model: VisionModel,
    style: Annotated[Style, "How much to say; dense also describes parts of the picture."] = "short",
    language: Annotated[str, "The language to write in, like German; the bundled model knows English only."] = "",
) -> Caption:
    """Say what a picture shows.

    A dense caption describes the picture and then its parts: regions that the model chooses, if it can give boxes
    (Qwen3-VL), else tiles, two by two or three by three. An alt-text is one phrase of at most 125 characters, without
    "a picture of".
    """
    _check_language(language=language, bundled=model.info.bundled)
    # The bundled model understands only the prompts that it was trained with.
    suffix = f" Answer in {language}." if language and not model.info.bundled else ""
    prompt = (_DETAILED_PROMPT if style == "detailed" else _SHORT_PROMPT) + suffix
    text = ask(model, prompt, photo, max_tokens=_MAX_TOKENS[style])
    if style == "detailed":
        text = truncate_repetition(text)
    elif style == "alt-text":
        text = to_alt_text(text)
    elif style == "dense":
        return _caption_regions(photo, text, model, suffix)
    return Caption(text=text, style=style, model=model.info.name)


@caption.check
def _check_language(*, language: str = "", bundled: bool, **_: object) -> None:
    if language and bundled and language.strip().lower() not in {"english", "en"}:
        raise SkillUsageError(
            f"The bundled model writes English only: choose another one with --model for {clean_line(language, 40)}."
        )


def _caption_regions(photo: Image, text: str, model: VisionModel, suffix: str) -> Caption:
    """Add the regions that the model draws to a caption, or those of a grid if it draws none."""
    name = model.info.name
    if model.info.supports_grounding:
        reply = ask(model, _GROUNDING_PROMPT + suffix, photo, max_tokens=_MAX_GROUNDING_TOKENS)
        if regions := _parse_regions(reply, photo):
            return Caption(text=text, style="dense", model=name, regions=regions, regions_from="model")
    boxes, tiles = zip(*tile_image(photo), strict=True)
    texts = ask_each(model, [(_TILE_PROMPT + suffix, tile) for tile in tiles], max_tokens=_MAX_TOKENS["dense"])
    regions = [Region(box=box, text=each) for box, each in zip(boxes, texts, strict=True)]
    return Caption(text=text, style="dense", model=name, regions=regions, regions_from="tiles")


class _GroundedRegion(BaseModel):
    """A region as Qwen3-VL returns it; the box is in thousandths of the image."""

    bbox_2d: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    label: Annotated[str, Field(min_length=1)]


def _parse_regions(reply: str, photo: Image) -> list[Region]:
    """Return the complete regions in a model's JSON whose boxes have an area inside the image."""
    regions = []
    for found in json_objects(reply):
        try:
            region = _GroundedRegion.model_validate(found)
        except ValidationError:
            continue
        sides = (photo.width, photo.height, photo.width, photo.height)
        left, top, right, bottom = (
            round(min(max(position, 0), _GROUNDING_SCALE) * side / _GROUNDING_SCALE)
            for position, side in zip(region.bbox_2d, sides, strict=True)
        )
        label = " ".join(region.label.split())
        if left < right and top < bottom and not is_blank(label):
            regions.append(Region(box=(left, top, right, bottom), text=label))
    return regions


def truncate_repetition(text: str) -> str:
    """Cut off `text` before the first repeated sentence. Small models repeat themselves from there on."""
    text = text.strip()
    sentences: list[str] = []
    start = 0
    for end, next_start in [*(gap.span() for gap in _SENTENCE_GAP.finditer(text)), (len(text), len(text))]:
        sentence = text[start:end]
        # Two words or fewer: the number of a list item is no sentence.
        if len(sentence.split()) > 2 and any(earlier.startswith(sentence) for earlier in sentences):
            return text[:start].rstrip()
        sentences.append(sentence)
        start = next_start
    return text


def to_alt_text(text: str) -> str:
    """Shorten a caption to alt text: the first sentences that fit, without "a photo of"."""
    text = " ".join(text.split())
    text = _PREAMBLE.sub("", text, count=1) if _PREAMBLE.match(text) else text
    text = text[:1].upper() + text[1:]
    if len(text) <= MAX_ALT_TEXT_CHARACTERS:
        return text
    cut = text[:MAX_ALT_TEXT_CHARACTERS]
    end = max(cut.rfind(mark) for mark in (". ", "! ", "? "))
    return cut[: end + 1] if end > 0 else cut[: MAX_ALT_TEXT_CHARACTERS - 1].rpartition(" ")[0].rstrip(" ,;:") + "…"


def tile_image(photo: Image) -> Iterator[tuple[tuple[int, int, int, int], Image]]:
    """Yield the tiles of an image, row by row, as boxes in pixels and as images.

    A large image has three by three tiles, a small one two by two. No tile is narrower than 32 pixels, unless the image
    is.
    """
    pixels = decode(photo)
    columns, rows = _tile_count(pixels.width), _tile_count(pixels.height)
    for row in range(rows):
        for column in range(columns):
            box = (
                pixels.width * column // columns,
                pixels.height * row // rows,
                pixels.width * (column + 1) // columns,
                pixels.height * (row + 1) // rows,
            )
            tile = pixels.crop(box)
            data = io.BytesIO()
            tile.save(data, "PNG")
            yield box, Image(data.getvalue(), "image/png", tile.width, tile.height, f"part of {photo.name}")


def _tile_count(pixels: int) -> int:
    return min(3 if pixels > _LARGE_IMAGE_PIXELS else 2, max(1, pixels // _MIN_TILE_PIXELS))


def _format_box(box: tuple[int, int, int, int]) -> str:
    left, top, right, bottom = box
    return f"{left},{top} to {right},{bottom}"
