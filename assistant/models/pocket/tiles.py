"""A second, closer look: parts of an image in which small things are larger."""

import PIL.Image

SHARE = 0.6
"""Share of a side that a quarter takes: the quarters overlap, so that what lies on their border is whole in one."""


def quarters(image: PIL.Image.Image) -> list[PIL.Image.Image]:
    """Return the four overlapping quarters of an image, row by row."""
    width, height = (max(1, round(side * SHARE)) for side in image.size)
    return [
        image.crop((left, top, left + width, top + height))
        for top in (0, image.height - height)
        for left in (0, image.width - width)
    ]
