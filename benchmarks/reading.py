"""Measure how many lines of rendered pages the skill `read` finds, by size of the page and of the letters.

    python -m benchmarks reading                 all pages: a quarter of an hour on two cores
    python -m benchmarks.reading 400x6000@24     only those named, without a file of results

A line counts if it is read without a mistake, spaces aside. Pages are tall or wide, as screenshots and panoramas are.
"""

import io
import random
import sys
import time
from typing import NamedTuple

import PIL.Image
from PIL import ImageDraw, ImageFont

from assistant.attachments.images import ImageLoader
from benchmarks.figures import Figure, format_table
from skills import read

LENGTHS = (1000, 2000, 6000, 12000)
FONT_SIZES = (14, 24, 40)
SHORT_SIDE = 400
_WORDS = "the quick brown fox jumps over a lazy dog while seven wizards make good toxic brew for our queen Jack".split()


class Page(NamedTuple):
    """Size of a page and of its letters in pixels."""

    width: int
    height: int
    font_size: int

    def __str__(self) -> str:
        return f"{self.width} x {self.height}, {self.font_size} px"


PAGES = [
    Page(*size, font_size)
    for size in [*((SHORT_SIDE, length) for length in LENGTHS), *((length, SHORT_SIDE) for length in LENGTHS)]
    for font_size in FONT_SIZES
]


def measure(_runs: int) -> list[Figure]:
    """Read each page once: the same pixels give the same text."""
    return [figure for page in PAGES for figure in measure_page(page)]


def measure_page(page: Page) -> list[Figure]:
    """Return the share of lines that are right and in order, the number of wrong rows, and the processor time."""
    data, lines = render_page(page)
    start = time.process_time()
    rows = ["".join(row.split()) for row in read(ImageLoader().load_bytes(data, "page.png").image).rows]
    secs = time.process_time() - start
    expected = ["".join(line.split()) for line in lines]
    right = [row for row in rows if row in set(expected)]
    if right != [line for line in expected if line in set(right)]:
        right = []
    return [
        Figure(f"{page}: right, of {len(lines)}", "lines", (len(right),)),
        Figure(f"{page}: wrong", "lines", (len(rows) - len(right),)),
        Figure(f"{page}: processor time", "s", (secs,)),
    ]


def render_page(page: Page) -> tuple[bytes, list[str]]:
    """Return a PNG with numbered lines across the page, and the lines."""
    generator = random.Random(page.font_size)
    font = ImageFont.load_default(page.font_size)
    canvas = PIL.Image.new("RGB", (page.width, page.height), "white")
    pen = ImageDraw.Draw(canvas)
    lines: list[str] = []
    for top in range(10, page.height - 2 * page.font_size, round(2.5 * page.font_size)):
        line = f"{len(lines) + 1:03d}"
        while pen.textlength(longer := f"{line} {generator.choice(_WORDS)}", font=font) < page.width - 20:
            line = longer
        pen.text((10, top), line, "black", font=font)
        lines.append(line)
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue(), lines


def main(arguments: list[str]) -> None:
    """Print the figures of the pages that `arguments` name, such as 400x6000@24."""
    for each in arguments:
        page = Page(*map(int, each.replace("@", "x").split("x")))
        print(format_table(measure_page(page)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
