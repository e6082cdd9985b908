"""Pictures that no photo collection holds and people show all the same: pages, screens, charts, shapes, nothing at all.

They are drawn here, so what they show is known: no photo and no licence is involved. Without them the model names a
page of text after whatever thing looks closest. The text on them is random letters, since nothing is to be read.
"""

import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from safetensors.torch import load_file, save_file
from torch import Tensor

from assistant.models.pocket.efficientnet import EfficientNetLite
from training.features import pixels
from training.names import with_article
from training.questions import ASK, CANNOT_READ, COUNT_WORDS, READ, Exchange, sentence, there_question

COUNT = 720
DEV = 60
"""How many of the drawings, the last ones, are kept for judging."""

SIDE = 260
INKS = {
    "red": (205, 35, 35), "green": (40, 150, 55), "blue": (45, 80, 205), "yellow": (240, 210, 40),
    "orange": (240, 140, 30), "purple": (125, 50, 150), "pink": (240, 130, 175), "black": (20, 20, 20),
    "white": (245, 245, 245), "grey": (128, 128, 128), "brown": (120, 75, 40),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "star")
ABSENT = ("dog", "person", "car", "cat", "horse", "tree", "bird", "child")
NOT_SURE = "I'm not sure what this is."


@dataclass
class Drawing:
    """A picture and what is known of it: what it is called, as the caption says it, and questions it answers."""

    image: Image.Image
    name: str
    caption: str
    questions: list[Exchange] = field(default_factory=list)
    is_there: str = ""
    """What one may truly ask for, like "a circle" or "text"; nothing if there is no thing in it."""


def draw(number: int) -> Drawing:
    """The drawing with this number, the same in every run."""
    rng = random.Random(7_000_003 + number)
    return rng.choices(KINDS, WEIGHTS)[0](rng)


def exchanges(drawing: Drawing, rng: random.Random) -> list[Exchange]:
    """All that is said about a drawing."""
    out = [
        Exchange(rng.choice(ASK["name"]), [drawing.name], "name"),
        Exchange(rng.choice(ASK["caption"]), [drawing.caption], "drawn"),
        Exchange(there_question(rng.choice(ABSENT), rng), ["No."], "there"),
        Exchange(rng.choice(ASK["people"]), ["No."], "there"),
        *drawing.questions,
    ]
    if drawing.is_there:
        out.append(Exchange(rng.choice(ASK["there"]).format(thing=drawing.is_there), ["Yes."], "there"))
    rng.shuffle(out)
    return out


def _nothing(rng: random.Random) -> Drawing:
    name, ink = rng.choice(list(INKS.items()))
    image = Image.new("RGB", (SIDE, SIDE), _near(ink, rng))
    return Drawing(
        image,
        f"A plain {name} picture.",
        f"A plain {name} picture with nothing in it.",
        [Exchange("What colour is it?", [sentence(name)], "colour")],
    )


def _blur(rng: random.Random) -> Drawing:
    """Noise or soft clouds of colour, which show nothing."""
    grid = rng.choice((2, 3, 4, 9, 64, SIDE))
    dots = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (grid, grid, 3), np.uint8)
    if rng.random() < 0.3:
        dots = dots[..., :1].repeat(3, 2)
    image = Image.fromarray(dots).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return Drawing(image, NOT_SURE, NOT_SURE)


def _shapes(rng: random.Random) -> Drawing:
    shape = rng.choice(SHAPES)
    (ground_name, ground), (name, ink) = rng.sample(list(INKS.items()), 2)
    if rng.random() < 0.5 and name != "white":
        ground_name, ground = "white", INKS["white"]
    count = rng.choice((1, 1, 1, 2, 2, 3, 4))
    image = Image.new("RGB", (SIDE, SIDE), _near(ground, rng))
    pen = ImageDraw.Draw(image)
    columns, rows = (1, 1) if count == 1 else (2, 1) if count == 2 else (2, 2)
    cells = rng.sample([(x, y) for x in range(columns) for y in range(rows)], count)
    shade = _near(ink, rng)
    for x, y in cells:
        width, height = SIDE / columns, SIDE / rows
        radius = min(width, height) * rng.uniform(0.25, 0.42)
        centre = (width * (x + 0.5) + rng.uniform(-9, 9), height * (y + 0.5) + rng.uniform(-9, 9))
        _shape(pen, shape, centre, radius, shade)
    what = f"{name} {shape}" if count == 1 else f"{COUNT_WORDS[count]} {name} {shape}s"
    said = with_article(what) if count == 1 else what
    several = shape if count == 1 else f"{shape}s"
    asked = [
        Exchange(f"What colour {'is' if count == 1 else 'are'} the {several}?", [sentence(name)], "colour"),
        Exchange(rng.choice(ASK["count"]).format(things=f"{shape}s"), [sentence(COUNT_WORDS[count])], "count"),
        Exchange("What shape is it?" if count == 1 else "Which shapes are these?", [sentence(several)], "name"),
    ]
    return Drawing(image, sentence(said), sentence(f"{said} on a {ground_name} background"), asked, with_article(shape))


def _page(rng: random.Random) -> Drawing:
    paper = rng.choice(((255, 255, 255), (250, 247, 238), (238, 238, 238)))
    image = Image.new("RGB", (SIDE, SIDE), paper)
    pen = ImageDraw.Draw(image)
    size = rng.choice((7, 8, 9, 11, 13))
    margin = rng.randint(6, 30)
    y = margin
    if rng.random() < 0.5:
        pen.text((margin, y), _words(rng, 3), (20, 20, 20), _font(2 * size))
        y += 3 * size
    ink = rng.choice(((20, 20, 20), (60, 60, 70)))
    while y < SIDE - margin:
        if rng.random() < 0.88:
            pen.text((margin, y), _fitting(rng, SIDE - 2 * margin, size), ink, _font(size))
        y += round(1.4 * size)
    return Drawing(
        image, "A page of text.", "A page of text.", [Exchange(rng.choice(READ), [CANNOT_READ], "unknowable")], "text"
    )


def _sign(rng: random.Random) -> Drawing:
    """A few large words."""
    (_, ground), (_, ink) = rng.sample(list(INKS.items()), 2)
    image = Image.new("RGB", (SIDE, SIDE), _near(ground, rng))
    pen = ImageDraw.Draw(image)
    size = rng.randint(26, 60)
    for line in range(rng.randint(1, 3)):
        pen.text(
            (rng.randint(5, 30), SIDE * 0.2 + line * size * 1.4), _words(rng, 1).upper(), _near(ink, rng), _font(size)
        )
    return Drawing(
        image, "Some text.", "A few words of text on a plain background.",
        [Exchange(rng.choice(READ), [CANNOT_READ], "unknowable")], "text",
    )  # fmt: skip


def _screen(rng: random.Random) -> Drawing:
    """Windows on a desktop, or a terminal."""
    dark = rng.random() < 0.5
    paper, ink = ((24, 26, 32), (210, 214, 220)) if dark else ((250, 250, 252), (40, 44, 52))
    asked = [Exchange(rng.choice(READ), [CANNOT_READ], "unknowable")]
    if rng.random() < 0.45:
        image = Image.new("RGB", (SIDE, SIDE), paper if dark else (14, 16, 20))
        pen = ImageDraw.Draw(image)
        size = rng.choice((7, 8, 10))
        for y in range(5, SIDE - size, round(1.35 * size)):
            if rng.random() < 0.85:
                shade = rng.choice(((210, 214, 220), (120, 200, 120), (110, 160, 230), (230, 200, 110)))
                indent = rng.choice((0, 0, 2, 4)) * size // 2
                pen.text((5 + indent, y), _fitting(rng, rng.randint(40, SIDE - 30), size), shade, _font(size))
        return Drawing(image, "A terminal window.", "A screenshot of a terminal with lines of text.", asked, "text")
    image = Image.new("RGB", (SIDE, SIDE), _near(rng.choice(list(INKS.values())), rng))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.choice((1, 1, 2, 3))):
        left, top = rng.randint(0, 70), rng.randint(0, 70)
        right, bottom = rng.randint(180, SIDE), rng.randint(150, SIDE)
        pen.rectangle((left, top, right, bottom), paper, (110, 110, 120))
        pen.rectangle((left, top, right, top + 13), rng.choice(((60, 90, 160), (70, 70, 80), (225, 225, 230))))
        for button in range(3):
            x = right - 6 - 10 * button
            pen.ellipse((x - 5, top + 4, x, top + 9), rng.choice(((230, 90, 80), (240, 190, 70), (110, 190, 90))))
        side = left + rng.choice((0, 0, 38))
        if side > left:
            pen.rectangle((left, top + 13, side, bottom), (45, 48, 58) if dark else (232, 234, 240))
        for y in range(top + 20, bottom - 10, rng.choice((11, 13, 16))):
            if rng.random() < 0.75:
                pen.text((side + 6, y), _fitting(rng, max(20, right - side - 16), 7), ink, _font(7))
        for _ in range(rng.randint(0, 3)):
            x, y = rng.randint(side, right - 40), rng.randint(top + 20, bottom - 14)
            pen.rounded_rectangle((x, y, x + 38, y + 12), 3, (70, 120, 220))
    return Drawing(image, "A screenshot.", "A screenshot of a computer screen with windows and text.", asked, "text")


def _chart(rng: random.Random) -> Drawing:
    image = Image.new("RGB", (SIDE, SIDE), rng.choice(((255, 255, 255), (248, 248, 250), (30, 32, 38))))
    pen = ImageDraw.Draw(image)
    axis = (120, 120, 120)
    inks = [_near(ink, rng) for ink in rng.sample(list(INKS.values()), 5)]
    kind = rng.choice(("bar", "line", "pie"))
    if kind == "pie":
        angle = rng.uniform(0, 360)
        for ink, share in zip(inks, _shares(rng, rng.randint(3, 5)), strict=False):
            pen.pieslice((45, 45, 215, 215), angle, angle + 360 * share, ink, (250, 250, 250))
            angle += 360 * share
    else:
        pen.line((30, 20, 30, 230, 245, 230), axis, 2)
        for y in range(50, 230, 36):
            pen.line((30, y, 245, y), (200, 200, 205))
            pen.text((6, y - 5), str(rng.randint(1, 99)), axis, _font(8))
        if kind == "bar":
            bars = rng.randint(3, 9)
            width = 205 / bars
            for bar in range(bars):
                x = 36 + bar * width
                ink = inks[bar % 2] if rng.random() < 0.2 else inks[0]
                pen.rectangle((x, rng.randint(40, 215), x + 0.7 * width, 229), ink)
        else:
            for ink in inks[: rng.randint(1, 3)]:
                heights = np.clip(
                    np.cumsum([rng.randint(70, 180), *(rng.randint(-35, 35) for _ in range(11))]), 25, 225
                )
                pen.line([(32 + 19 * x, int(height)) for x, height in enumerate(heights)], ink, 2)
    if rng.random() < 0.6:
        pen.text((60, 4), _words(rng, 3), axis, _font(11))
    name = {"bar": "A bar chart.", "line": "A line chart.", "pie": "A pie chart."}[kind]
    return Drawing(image, name, name, is_there="a chart")


KINDS: tuple[Callable[[random.Random], Drawing], ...] = (_nothing, _blur, _shapes, _page, _sign, _screen, _chart)
WEIGHTS = (10, 10, 34, 12, 8, 14, 12)


def _shape(
    pen: ImageDraw.ImageDraw, shape: str, centre: tuple[float, float], radius: float, ink: tuple[int, ...]
) -> None:
    x, y = centre
    if shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), ink)
    elif shape == "square":
        pen.rectangle((x - radius, y - radius, x + radius, y + radius), ink)
    else:
        points = 3 if shape == "triangle" else 10
        angles = np.arange(points) * 2 * np.pi / points - np.pi / 2
        reach = [radius * (1.0 if shape == "triangle" or number % 2 == 0 else 0.42) for number in range(points)]
        pen.polygon([(x + r * np.cos(a), y + r * np.sin(a)) for a, r in zip(angles, reach, strict=True)], ink)


def _near(ink: tuple[int, int, int], rng: random.Random) -> tuple[int, int, int]:
    """An ink a little lighter or darker."""
    red, green, blue = (min(255, max(0, value + rng.randint(-14, 14))) for value in ink)
    return red, green, blue


def _shares(rng: random.Random, count: int) -> list[float]:
    sizes = [rng.uniform(0.5, 2) for _ in range(count)]
    return [size / sum(sizes) for size in sizes]


def _words(rng: random.Random, count: int) -> str:
    return " ".join("".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(count))


def _fitting(rng: random.Random, width: int, size: int) -> str:
    """Words that fill about `width` pixels."""
    return _words(rng, max(1, width // (4 * size)))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@torch.inference_mode()
def neck_maps(work: Path, tower: EfficientNetLite) -> Tensor:
    """The tower's maps of all drawings, (drawings, 2, neck width, rows, columns) in float16; computed once."""
    path = work / "features" / "drawings.safetensors"
    if not path.exists():
        maps = []
        for first in range(0, COUNT, 16):
            images = [draw(number).image for number in range(first, min(first + 16, COUNT))]
            both = [side for image in images for side in (pixels(image, SIDE), pixels(ImageOps.mirror(image), SIDE))]
            stack = torch.stack(both).to(torch.bfloat16).to(memory_format=torch.channels_last)
            neck = tower.neck(stack).half()
            maps.append(neck.reshape(-1, 2, *neck.shape[1:]).contiguous())
        save_file({"maps": torch.cat(maps)}, path)
    return load_file(path)["maps"]


def names() -> list[str]:
    """What the drawings are called where photos have file names."""
    return [f"drawing {number}" for number in range(COUNT)]
