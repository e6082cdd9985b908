"""Name the colours of an image from its pixels. The vision tower was trained to name things and mixes colours up.

Pixels are compared in OKLab (Ottosson 2020), where equal distances look about equally different, with prototypes of the
eleven basic colour terms of English (Berlin & Kay 1969).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from assistant.models.pocket.image_description import Colours

Floats = NDArray[np.float32]

# Several prototypes a term, in sRGB, because the terms are no spheres: brown is dark orange, and blue reaches from navy
# to the sky.
PROTOTYPES: dict[str, tuple[str, ...]] = {
    "black": ("000000", "1c1c1c", "2b2b2b", "1a1a26", "26201c"),
    "grey": ("555555", "808080", "a8a8a8", "6e7780", "808890", "8a857c", "9aa0a6"),
    "white": ("ffffff", "f0f0f0", "e2e2e2", "f5f2ea", "eaf0f5"),
    "red": ("ff0000", "c81e1e", "8b0000", "dc143c", "b22222", "e34234", "a03030"),
    "orange": ("ff8c00", "ff7f27", "f0902a", "e0701a", "ffa530"),
    "brown": ("a52a2a", "8a5a2b", "8b4513", "5c3a1e", "3d2614", "a0703c", "78543a", "9c6b4a", "6b4f3f", "b58455"),
    "yellow": ("ffffe0", "daa520", "ffff00", "f0d020", "ffd700", "e0c040", "fff06a", "d8d030"),
    "green": ("008000", "00ff00", "228b22", "3c6e2f", "8fbc3f", "556b2f", "7cae7a", "2e8b57", "1f3d1f", "a6e06a"),
    "blue": (
        "add8e6",
        "b0e0e6",
        "0000ff",
        "1e50c8",
        "000080",
        "4682b4",
        "87bfe8",
        "1f3a5f",
        "00a0e0",
        "6a9fd8",
        "40c8c8",
    ),
    "purple": ("800080", "6a0dad", "4b0082", "9b5fc0", "b48ad8", "703070", "8a2be2"),
    "pink": ("ffc0cb", "ff69b4", "f080a8", "ff1493", "e8a0b4", "d86a90", "ff00c8"),
}
TERMS = tuple(PROTOTYPES)

_SIDE = 96
"""Pixels of a side of the small copy in which colours are counted."""
_BORDER = 0.08
_ONE_COLOUR = 0.035
"""Distance in OKLab within which pixels have the same colour: a shadow on a wall is 0.1 away, JPEG's noise 0.02."""
_PLAIN_SHARE = 0.995
_GREY_CHROMA = 0.02
_BACKGROUND_SHARE = 0.7
_MIN_THING, _MAX_THING = 0.02, 0.85
_THING_SHARE = 0.5
_LARGEST_SHARE, _MAX_LARGEST = 0.15, 3


@dataclass(frozen=True)
class ColourMap:
    """A small copy of an image in colours.

    Attributes:
        lab: Pixels (rows, columns, 3) in OKLab.
        terms: Index in `TERMS` of each pixel (rows, columns).
    """

    lab: Floats
    terms: NDArray[np.intp]


def map_colours(image: PIL.Image.Image) -> ColourMap:
    """Return the colours of the pixels of a small copy of an RGB image."""
    small = image.resize((_SIDE, _SIDE), PIL.Image.Resampling.BOX, reducing_gap=2.0)
    lab = to_oklab(np.asarray(small, np.float32) / np.float32(255))
    prototypes, owner = _prototypes()
    distance = ((lab[:, :, None] - prototypes) ** 2).sum(-1)
    return ColourMap(lab, owner[distance.argmin(-1)])


def find_colours(image: PIL.Image.Image) -> Colours:
    """Return the colours of an RGB image: of the whole, and of the thing in the middle if one stands out."""
    colours = map_colours(image)
    largest = _largest(colours.terms)
    if _is_one_colour(colours.lab):
        return Colours(largest=largest[:1], is_plain=True)
    is_grey = float(np.quantile(np.hypot(colours.lab[..., 1], colours.lab[..., 2]), 0.99)) < _GREY_CHROMA
    background = _background(colours)
    if background is None:
        return Colours(largest=largest, is_grey=is_grey)
    thing = _thing(colours, background)
    return Colours(thing, _term_of(background), largest, is_grey=is_grey)


def colour_at(colours: ColourMap, weights: Floats) -> tuple[str, float]:
    """Return the commonest colour where `weights` (rows, columns) are high, and its share of them."""
    sums = np.bincount(colours.terms.ravel(), weights=weights.ravel(), minlength=len(TERMS))
    best = int(sums.argmax())
    return TERMS[best], float(sums[best] / max(sums.sum(), 1e-9))


def to_oklab(rgb: Floats) -> Floats:
    """Convert sRGB (…, 3) from 0 to 1 to OKLab. The matrices are Ottosson's."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(linear @ _LMS_OF_RGB.T)
    return (cones @ _LAB_OF_LMS.T).astype(np.float32)


def _largest(terms: NDArray[np.intp]) -> tuple[str, ...]:
    shares = np.bincount(terms.ravel(), minlength=len(TERMS)) / terms.size
    order = np.argsort(-shares, kind="stable")[:_MAX_LARGEST]
    return tuple(TERMS[term] for place, term in enumerate(order) if place == 0 or shares[term] >= _LARGEST_SHARE)


def _is_one_colour(lab: Floats) -> bool:
    flat = lab.reshape(-1, 3)
    distance = np.linalg.norm(flat - np.median(flat, 0), axis=1)
    return float((distance < _ONE_COLOUR).mean()) >= _PLAIN_SHARE


def _background(colours: ColourMap) -> Floats | None:
    """Return the colour of the border, if most of the border has one colour."""
    border = colours.lab[_border_mask()]
    # The pixel that most others are near to; the median of two colours would be neither.
    candidates = border[:: max(1, len(border) // 64)]
    near = np.linalg.norm(border[None] - candidates[:, None], axis=2) < 2 * _ONE_COLOUR
    best = int(near.sum(1).argmax())
    if near[best].mean() < _BACKGROUND_SHARE:
        return None
    middle: Floats = np.median(border[near[best]], 0)
    return middle


def _thing(colours: ColourMap, background: Floats) -> str | None:
    """Return the colour of what is not background, if it has one."""
    stands_out = np.linalg.norm(colours.lab - background, axis=2) > 2 * _ONE_COLOUR
    if not _MIN_THING <= stands_out.mean() <= _MAX_THING:
        return None
    term, share = colour_at(colours, (stands_out * _centre_weight()).astype(np.float32))
    return term if share >= _THING_SHARE else None


def _term_of(lab: Floats) -> str:
    prototypes, owner = _prototypes()
    return TERMS[int(owner[int(((prototypes - lab) ** 2).sum(1).argmin())])]


@cache
def _prototypes() -> tuple[Floats, NDArray[np.intp]]:
    """Return all prototypes in OKLab (prototypes, 3), and the index of the term of each."""
    pairs = [(index, code) for index, codes in enumerate(PROTOTYPES.values()) for code in codes]
    rgb = np.array([list(bytes.fromhex(code)) for _, code in pairs], np.float32) / np.float32(255)
    return to_oklab(rgb), np.array([index for index, _ in pairs])


@cache
def _border_mask() -> NDArray[np.bool_]:
    width = round(_BORDER * _SIDE)
    mask = np.ones((_SIDE, _SIDE), bool)
    mask[width:-width, width:-width] = False
    return mask


@cache
def _centre_weight() -> Floats:
    axis = np.linspace(-1, 1, _SIDE, dtype=np.float32)
    weight: Floats = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2))
    return weight


_LMS_OF_RGB = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_LAB_OF_LMS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
