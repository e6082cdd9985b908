"""Find and read the lines of text in images of any size.

An engine looks at images of up to 2,000 pixels and scales larger ones down, until the letters of a long screenshot are
three pixels high. So a large image is looked at twice: as a whole, which finds large letters, and in overlapping pieces
at a scale where small ones stay legible. Boxes are merged at the seams before anything is read, so that no line is read
in halves, and each line is read from the image itself.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image

from skills.text_regions import Box, Region, boxes_touch, merge

MAX_PIECES = 60
"""Pieces of an image; each takes about a second. They are larger than `_PIECE` pixels if need be, and scaled down."""
_WHOLE = 2000
"""Longer side in pixels of an image that is looked at as a whole; the engine scales larger ones down."""
_PIECE = 1600
"""Side of a piece in pixels, as it is looked at."""
_OVERLAP = 200
"""Pixels that pieces share, so that each line up to this height is whole in one of them."""
_GLANCE = 480
"""Shorter side of the copy in which is looked whether there is any text."""
_MAX_LINE_SHARE = 0.3
"""Share of the image that a line may cover to count as one."""
_SMALL_LINE = 20
"""Height of a line, in pixels of the whole image as the engine sees it, below which it is looked at in pieces."""
_LEGIBLE_LINE = 32
"""Height to which small lines are brought."""
_HALF = 0.7
"""Scale of the whole image below which small letters may have been missed."""
_MIN_SIDE = 5
"""Side of an image in pixels below which no letter is legible."""
_MAX_ASPECT_RATIO = 4
_EDGE = 4
"""Pixels as seen from the border of a piece within which a line counts as cut."""
_MAX_LINE_RATIO = 14
"""Width over height of a line that is read at once. Longer ones are cut between words."""
_MIN_SCORE = 0.5
"""Score below which what was read is no text."""
_UNSURE_LINE = 16
"""Height of a line, in pixels as seen, below which a score under `_SURE_SCORE` means that it was guessed."""
_SURE_SCORE = 0.8
_CLASSIFIED_RATIO = 4
"""Width over height of the beginning of a line that the classifier of directions sees."""


@dataclass(frozen=True)
class FoundLine:
    """A line of text.

    Attributes:
        text: The words; empty if they are too small or too blurred to be read.
        score: Confidence from 0 to 1.
        box: Left, top, right and bottom in pixels.
    """

    text: str
    score: float
    box: Box


def find_lines(engine: Any, image: PIL.Image.Image) -> list[FoundLine]:
    """Return the lines of text in `image`, in no order. The text of those that cannot be read is empty.

    Args:
        engine: RapidOCR.
        image: Any RGB image.
    """
    return read_regions(engine, image, *find_regions(engine, image))


def find_regions(engine: Any, image: PIL.Image.Image, max_pieces: int = MAX_PIECES) -> tuple[Sequence[Region], float]:
    """Return the places of lines of text in `image`, and the scale at which they were found last.

    Args:
        engine: RapidOCR.
        image: Any RGB image.
        max_pieces: Most pieces to look at, each of which takes about a second.
    """
    if min(image.size) < _MIN_SIDE:
        return [], 1.0
    scale = min(1.0, _WHOLE / max(image.size))
    regions = _detect(engine, image, (0, 0, *image.size), scale, piece=0)
    is_strip = scale < 1 and max(image.size) > _MAX_ASPECT_RATIO * min(image.size)
    # Whether there are small letters cannot be seen in the whole of a strip, and it has few pieces.
    wanted = 1.0 if is_strip else _next_scale(image, regions, scale)
    while (next_scale := _affordable(image, wanted, max_pieces)) > scale:
        scale = next_scale
        large = [region for region in regions if region.height > _OVERLAP / scale / 2]
        found = merge([*large, *_detect_in_pieces(engine, image, scale)])
        # A line beside letters of twenty times its size may show in the whole only.
        missed = [each for each in regions if not any(boxes_touch(each.box, other.box) for other in found)]
        regions = [*found, *missed]
        wanted = _next_scale(image, regions, scale)
    return regions, scale


def may_have_text(quick_engine: Any, image: PIL.Image.Image) -> bool:
    """Return True if a small copy of `image` shows anything that looks like a line of text.

    A quarter of the work of `find_regions`: 0.1 instead of 0.45 s of processor time for a photo.

    Args:
        quick_engine: RapidOCR that does not enlarge small images.
        image: Any RGB image.
    """
    if min(image.size) < _MIN_SIDE:
        return False
    scale = min(1.0, _GLANCE / min(image.size), _WHOLE / max(image.size))
    area = image.width * image.height
    # The engine takes any picture that it sees no line in for one line as large as the picture.
    return any(
        region.height * region.length < _MAX_LINE_SHARE * area
        for region in _detect(quick_engine, image, (0, 0, *image.size), scale, piece=0)
    )


def _next_scale(image: PIL.Image.Image, regions: Sequence[Region], scale: float) -> float:
    """Return the scale at which to look at pieces next, or `scale` if nothing more is to be expected."""
    smallest = min((region.height * scale for region in regions), default=_LEGIBLE_LINE)
    if smallest < _SMALL_LINE:
        return scale * _LEGIBLE_LINE / smallest
    is_whole = scale <= _WHOLE / max(image.size)
    # Small letters beside large ones do not show at half their size.
    return 2 * scale if is_whole and scale < _HALF else scale


def _affordable(image: PIL.Image.Image, scale: float, max_pieces: int) -> float:
    """Return `scale`, or the largest one that takes no more than `max_pieces` pieces."""
    scale = min(1.0, scale)
    while sum(1 for _ in _piece_boxes(image.size, scale)) > max_pieces:
        scale *= 0.9
    return scale


def _piece_boxes(size: tuple[int, int], scale: float) -> Iterator[tuple[int, int, int, int]]:
    """Yield the boxes of overlapping pieces that cover an image of `size`, row by row."""
    columns, rows = (_spans(length, round(_PIECE / scale), round(_OVERLAP / scale)) for length in size)
    for top, bottom in rows:
        for left, right in columns:
            yield left, top, right, bottom


def _spans(length: int, piece: int, overlap: int) -> list[tuple[int, int]]:
    if length <= piece:
        return [(0, length)]
    count = -(-(length - overlap) // (piece - overlap))
    starts = [round(index * (length - piece) / (count - 1)) for index in range(count)]
    return [(start, start + piece) for start in starts]


def _detect_in_pieces(engine: Any, image: PIL.Image.Image, scale: float) -> Iterator[Region]:
    for number, box in enumerate(_piece_boxes(image.size, scale), 1):
        for region in _detect(engine, image, box, scale, piece=number):
            if not _is_cut_lengthwise(region, box, image.size, _EDGE / scale):
                yield region


def _is_cut_lengthwise(region: Region, piece: tuple[int, int, int, int], size: tuple[int, int], margin: float) -> bool:
    """Return True if a line lies on the border of a piece along its length: it is whole in the piece beside it."""
    axis = 0 if region.runs_down else 1
    start, end = region.box[axis], region.box[axis + 2]
    return (piece[axis] > 0 and start < piece[axis] + margin) or (
        piece[axis + 2] < size[axis] and end > piece[axis + 2] - margin
    )


def _detect(
    engine: Any, image: PIL.Image.Image, box: tuple[int, int, int, int], scale: float, *, piece: int
) -> list[Region]:
    """Return the lines in the part `box` of the image, seen at `scale`."""
    seen = image.crop(box) if box != (0, 0, *image.size) else image
    if scale != 1:
        size = max(1, round(seen.width * scale)), max(1, round(seen.height * scale))
        seen = seen.resize(size, PIL.Image.Resampling.LANCZOS, reducing_gap=2.0)
    found = engine(_bgr(_pad_strip(seen)), use_det=True, use_cls=False, use_rec=False)
    if getattr(found, "boxes", None) is None:
        return []
    limits = np.array([box[2], box[3]], np.float32)
    corners = [
        np.minimum(each.astype(np.float32) / scale + np.array(box[:2], np.float32), limits) for each in found.boxes
    ]
    return [Region(each, piece) for each in corners]


def _pad_strip(image: PIL.Image.Image) -> PIL.Image.Image:
    """Pad a narrow strip with white at its right or lower edge, which leaves positions in it as they are.

    The engine enlarges every image until its short side has 736 pixels, which for a strip takes gigabytes.
    """
    min_side = max(image.size) // _MAX_ASPECT_RATIO
    if min(image.size) >= min_side:
        return image
    canvas = PIL.Image.new("RGB", (max(image.width, min_side), max(image.height, min_side)), "white")
    canvas.paste(image)
    return canvas


def read_regions(engine: Any, image: PIL.Image.Image, regions: Sequence[Region], scale: float) -> list[FoundLine]:
    """Read the lines in `regions`, which were found at `scale`."""
    crops = [_crop(image, region) for region in regions]
    if not crops:
        return []
    readings = _recognize(engine, crops)
    # The classifier squeezes a line to four times its height, and long ones then look upside down to it.
    _, directions = engine.cls_and_rotate([_beginning(crop) for crop in crops])
    turned = [number for number, (label, _) in enumerate(directions.cls_res) if label == "180"]
    if turned:
        again = _recognize(engine, [np.ascontiguousarray(crops[number][::-1, ::-1]) for number in turned])
        for number, reading in zip(turned, again, strict=True):
            # It is wrong about some, so the reading that is surer counts.
            readings[number] = max(readings[number], reading, key=lambda each: each[1])
    lines = []
    for region, (text, score) in zip(regions, readings, strict=True):
        is_legible = score >= (_SURE_SCORE if region.height * scale < _UNSURE_LINE else _MIN_SCORE)
        if text:
            lines.append(FoundLine(text if is_legible else "", score, region.box))
    return lines


def _crop(image: PIL.Image.Image, region: Region) -> Any:
    """Return the pixels (height, width, 3) of a line, turned so that it runs from left to right or is upside down."""
    from rapidocr.utils.process_img import get_rotate_crop_image

    left, top, right, bottom = region.box
    frame = (int(left), int(top), min(image.width, int(right) + 1), min(image.height, int(bottom) + 1))
    return get_rotate_crop_image(_bgr(image.crop(frame)), region.corners - np.array(frame[:2], np.float32))


def _beginning(crop: Any) -> Any:
    return np.ascontiguousarray(crop[:, : _CLASSIFIED_RATIO * crop.shape[0]])


def _recognize(engine: Any, crops: Sequence[Any]) -> list[tuple[str, float]]:
    """Return the text of each line and the mean score of its parts."""
    parts = [_split_line(crop) for crop in crops]
    found = engine.recognize_txt([part for each in parts for part in each])
    texts = zip(found.txts, found.scores, strict=True)
    readings = []
    for each in parts:
        words = [(text.strip(), float(score)) for text, score in itertools.islice(texts, len(each)) if text.strip()]
        score = sum(score for _, score in words) / max(1, len(words))
        readings.append((" ".join(text for text, _ in words), score))
    return readings


def _split_line(crop: Any) -> list[Any]:
    """Cut a very long line between words into parts that the engine reads well."""
    height, width = crop.shape[:2]
    length = _MAX_LINE_RATIO * height
    parts = []
    start = 0
    ink = np.ptp(crop.reshape(height, width, -1).mean(2), axis=0) if width > length else np.zeros(0)
    while width - start > length:
        window = ink[start + length // 2 : start + length]
        # The middle of the longest gap: letters are apart by less than words.
        blank = np.concatenate(([False], window <= window.min() + 0.1 * np.ptp(window) + 1, [False]))
        edges = np.flatnonzero(np.diff(blank.astype(np.int8)))
        widest = int(np.argmax(edges[1::2] - edges[::2]))
        cut = start + length // 2 + int(edges[2 * widest] + edges[2 * widest + 1]) // 2
        parts.append(np.ascontiguousarray(crop[:, start:cut]))
        start = cut
    return [*parts, np.ascontiguousarray(crop[:, start:])]


def _bgr(image: PIL.Image.Image) -> Any:
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
