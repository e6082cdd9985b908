"""Measure how many lines of rendered pages the skill `read` finds, by size and font size.

    python -m benchmarks.reading                 all sizes: half an hour on two cores
    python -m benchmarks.reading 400x6000@24     one of them

A line counts if it is read without a mistake, spaces aside. Pages are tall or wide, as screenshots and panoramas are.
"""

import io
import random
import sys
import time

import PIL.Image
from PIL import ImageDraw, ImageFont

from assistant.attachments.images import ImageLoader
from skills import read

LENGTHS = (1000, 2000, 4000, 6000, 9000, 12000)
FONT_SIZES = (14, 24, 40)
SHORT_SIDE = 400
_WORDS = "the quick brown fox jumps over a lazy dog while seven wizards make good toxic brew for our queen Jack".split()


def render_page(width: int, height: int, font_size: int) -> tuple[bytes, list[str]]:
    """Return a PNG of numbered lines across a page of `width` x `height` pixels, and the lines."""
    generator = random.Random(font_size)
    font = ImageFont.load_default(font_size)
    page = PIL.Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(page)
    lines: list[str] = []
    for top in range(10, height - 2 * font_size, round(2.5 * font_size)):
        line = f"{len(lines) + 1:03d}"
        while pen.textlength(longer := f"{line} {generator.choice(_WORDS)}", font=font) < width - 20:
            line = longer
        pen.text((10, top), line, "black", font=font)
        lines.append(line)
    file = io.BytesIO()
    page.save(file, "PNG")
    return file.getvalue(), lines


def measure(width: int, height: int, font_size: int) -> str:
    """Read one page and return a row of the table."""
    data, lines = render_page(width, height, font_size)
    start = time.perf_counter()
    rows = ["".join(row.split()) for row in read(ImageLoader().load_bytes(data, "page.png").image).rows]
    secs = time.perf_counter() - start
    expected = ["".join(line.split()) for line in lines]
    right = [row for row in rows if row in set(expected)]
    in_order = right == [line for line in expected if line in set(right)]
    return (
        f"{width:6} x {height:6} {font_size:5} px {len(right):5} of {len(lines):4} {len(rows) - len(right):6} "
        f"{'yes' if in_order else 'no':>9} {secs:7.1f} s"
    )


def main(arguments: list[str]) -> None:
    """Print a table of the pages that `arguments` name, or of all."""
    print("           page     font   lines right  wrong  in order     time")
    sizes = [(SHORT_SIDE, length) for length in LENGTHS] + [(length, SHORT_SIDE) for length in LENGTHS]
    pages = [(*size, font_size) for size in sizes for font_size in FONT_SIZES]
    if arguments:
        pages = [tuple(map(int, each.replace("@", "x").split("x"))) for each in arguments]  # type: ignore[misc]
    for page in pages:
        print(measure(*page), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
