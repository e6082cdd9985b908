"""Draw images that photo datasets lack: pages of text, screenshots, charts, shapes, plain colours, noise.

They are drawn here, so their content is known and no licence is involved. Without them the model names a page of text
after the object that looks closest. Their text is random letters, since the model is not to read it.
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
from training.caption_rules import to_sentence
from training.features import preprocess
from training.names import with_article
from training.question_tables import CANNOT_READ, NUMBER_WORDS, QUESTION_TEMPLATES, READING_QUESTIONS
from training.questions import Exchange, presence_question

NUM_IMAGES = 720
NUM_DEV = 60
"""Images held out as dev: the last ones."""

SIDE = 260
COLOURS = {
    "red": (205, 35, 35), "green": (40, 150, 55), "blue": (45, 80, 205), "yellow": (240, 210, 40),
    "orange": (240, 140, 30), "purple": (125, 50, 150), "pink": (240, 130, 175), "black": (20, 20, 20),
    "white": (245, 245, 245), "grey": (128, 128, 128), "brown": (120, 75, 40),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "star")
# Objects to ask about whose answer is no.
ABSENT = ("dog", "person", "car", "cat", "horse", "tree", "bird", "child")
NOT_SURE = "I'm not sure what this is."


@dataclass
class SyntheticImage:
    """A drawn image and what is known about it.

    Attributes:
        image: The image.
        name: Answer to "What is this?".
        caption: Its caption.
        questions: Further exchanges about it.
        present: An object that is in it, with its article, like "a circle"; "" if there is none.
    """

    image: Image.Image
    name: str
    caption: str
    questions: list[Exchange] = field(default_factory=list)
    present: str = ""


def draw(index: int) -> SyntheticImage:
    """Draw the image with this index; it is the same in every run."""
    rng = random.Random(7_000_003 + index)
    return rng.choices(GENERATORS, GENERATOR_WEIGHTS)[0](rng)


def synthetic_exchanges(drawn: SyntheticImage, rng: random.Random) -> list[Exchange]:
    """Return all exchanges about a drawn image, shuffled."""
    out = [
        Exchange(rng.choice(QUESTION_TEMPLATES["name"]), [drawn.name], "name"),
        Exchange(rng.choice(QUESTION_TEMPLATES["caption"]), [drawn.caption], "drawn"),
        Exchange(presence_question(rng.choice(ABSENT), rng), ["No."], "there"),
        Exchange(rng.choice(QUESTION_TEMPLATES["people"]), ["No."], "there"),
        *drawn.questions,
    ]
    if drawn.present:
        question = rng.choice(QUESTION_TEMPLATES["there"]).format(thing=drawn.present)
        out.append(Exchange(question, ["Yes."], "there"))
    rng.shuffle(out)
    return out


def _plain_colour(rng: random.Random) -> SyntheticImage:
    name, colour = rng.choice(list(COLOURS.items()))
    image = Image.new("RGB", (SIDE, SIDE), _vary_colour(colour, rng))
    return SyntheticImage(
        image,
        f"A plain {name} picture.",
        f"A plain {name} picture with nothing in it.",
        [Exchange("What colour is it?", [to_sentence(name)], "colour")],
    )


def _noise(rng: random.Random) -> SyntheticImage:
    """Noise or soft clouds of colour, without content."""
    grid = rng.choice((2, 3, 4, 9, 64, SIDE))
    noise = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (grid, grid, 3), np.uint8)
    if rng.random() < 0.3:
        noise = noise[..., :1].repeat(3, 2)
    image = Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return SyntheticImage(image, NOT_SURE, NOT_SURE)


def _shapes(rng: random.Random) -> SyntheticImage:
    shape = rng.choice(SHAPES)
    (background_name, background), (name, colour) = rng.sample(list(COLOURS.items()), 2)
    if rng.random() < 0.5 and name != "white":
        background_name, background = "white", COLOURS["white"]
    count = rng.choice((1, 1, 1, 2, 2, 3, 4))
    image = Image.new("RGB", (SIDE, SIDE), _vary_colour(background, rng))
    pen = ImageDraw.Draw(image)
    columns, rows = (1, 1) if count == 1 else (2, 1) if count == 2 else (2, 2)
    cells = rng.sample([(x, y) for x in range(columns) for y in range(rows)], count)
    shade = _vary_colour(colour, rng)
    for x, y in cells:
        width, height = SIDE / columns, SIDE / rows
        radius = min(width, height) * rng.uniform(0.25, 0.42)
        centre = (width * (x + 0.5) + rng.uniform(-9, 9), height * (y + 0.5) + rng.uniform(-9, 9))
        _draw_shape(pen, shape, centre, radius, shade)
    phrase = f"{name} {shape}" if count == 1 else f"{NUMBER_WORDS[count]} {name} {shape}s"
    phrase = with_article(phrase) if count == 1 else phrase
    shape_name = shape if count == 1 else f"{shape}s"
    questions = [
        Exchange(f"What colour {'is' if count == 1 else 'are'} the {shape_name}?", [to_sentence(name)], "colour"),
        Exchange(
            rng.choice(QUESTION_TEMPLATES["count"]).format(things=f"{shape}s"),
            [to_sentence(NUMBER_WORDS[count])],
            "count",
        ),
        Exchange("What shape is it?" if count == 1 else "Which shapes are these?", [to_sentence(shape_name)], "name"),
    ]
    return SyntheticImage(
        image,
        to_sentence(phrase),
        to_sentence(f"{phrase} on a {background_name} background"),
        questions,
        with_article(shape),
    )


def _page(rng: random.Random) -> SyntheticImage:
    background = rng.choice(((255, 255, 255), (250, 247, 238), (238, 238, 238)))
    image = Image.new("RGB", (SIDE, SIDE), background)
    pen = ImageDraw.Draw(image)
    size = rng.choice((7, 8, 9, 11, 13))
    margin = rng.randint(6, 30)
    y = margin
    if rng.random() < 0.5:
        pen.text((margin, y), _random_words(rng, 3), (20, 20, 20), _font(2 * size))
        y += 3 * size
    colour = rng.choice(((20, 20, 20), (60, 60, 70)))
    while y < SIDE - margin:
        if rng.random() < 0.88:
            pen.text((margin, y), _filler_text(rng, SIDE - 2 * margin, size), colour, _font(size))
        y += round(1.4 * size)
    return SyntheticImage(
        image,
        "A page of text.",
        "A page of text.",
        [Exchange(rng.choice(READING_QUESTIONS), [CANNOT_READ], "unknowable")],
        "text",
    )


def _sign(rng: random.Random) -> SyntheticImage:
    """A few large words."""
    (_, background), (_, colour) = rng.sample(list(COLOURS.items()), 2)
    image = Image.new("RGB", (SIDE, SIDE), _vary_colour(background, rng))
    pen = ImageDraw.Draw(image)
    size = rng.randint(26, 60)
    for line in range(rng.randint(1, 3)):
        pen.text(
            (rng.randint(5, 30), SIDE * 0.2 + line * size * 1.4),
            _random_words(rng, 1).upper(),
            _vary_colour(colour, rng),
            _font(size),
        )
    return SyntheticImage(
        image, "Some text.", "A few words of text on a plain background.",
        [Exchange(rng.choice(READING_QUESTIONS), [CANNOT_READ], "unknowable")], "text",
    )  # fmt: skip


def _screenshot(rng: random.Random) -> SyntheticImage:
    """Windows on a desktop, or a terminal."""
    dark = rng.random() < 0.5
    background, colour = ((24, 26, 32), (210, 214, 220)) if dark else ((250, 250, 252), (40, 44, 52))
    questions = [Exchange(rng.choice(READING_QUESTIONS), [CANNOT_READ], "unknowable")]
    if rng.random() < 0.45:
        terminal = _terminal(background if dark else (14, 16, 20), rng)
        caption = "A screenshot of a terminal with lines of text."
        return SyntheticImage(terminal, "A terminal window.", caption, questions, "text")
    image = Image.new("RGB", (SIDE, SIDE), _vary_colour(rng.choice(list(COLOURS.values())), rng))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.choice((1, 1, 2, 3))):
        _draw_window(pen, background, colour, rng, dark=dark)
    caption = "A screenshot of a computer screen with windows and text."
    return SyntheticImage(image, "A screenshot.", caption, questions, "text")


def _terminal(background: tuple[int, int, int], rng: random.Random) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), background)
    pen = ImageDraw.Draw(image)
    size = rng.choice((7, 8, 10))
    for y in range(5, SIDE - size, round(1.35 * size)):
        if rng.random() < 0.85:
            shade = rng.choice(((210, 214, 220), (120, 200, 120), (110, 160, 230), (230, 200, 110)))
            indent = rng.choice((0, 0, 2, 4)) * size // 2
            pen.text((5 + indent, y), _filler_text(rng, rng.randint(40, SIDE - 30), size), shade, _font(size))
    return image


def _draw_window(
    pen: ImageDraw.ImageDraw,
    background: tuple[int, int, int],
    colour: tuple[int, int, int],
    rng: random.Random,
    *,
    dark: bool,
) -> None:
    """Draw a window with title bar, buttons, perhaps a sidebar, and text in `colour`."""
    left, top = rng.randint(0, 70), rng.randint(0, 70)
    right, bottom = rng.randint(180, SIDE), rng.randint(150, SIDE)
    pen.rectangle((left, top, right, bottom), background, (110, 110, 120))
    pen.rectangle((left, top, right, top + 13), rng.choice(((60, 90, 160), (70, 70, 80), (225, 225, 230))))
    for button in range(3):
        x = right - 6 - 10 * button
        pen.ellipse((x - 5, top + 4, x, top + 9), rng.choice(((230, 90, 80), (240, 190, 70), (110, 190, 90))))
    side = left + rng.choice((0, 0, 38))
    if side > left:
        pen.rectangle((left, top + 13, side, bottom), (45, 48, 58) if dark else (232, 234, 240))
    for y in range(top + 20, bottom - 10, rng.choice((11, 13, 16))):
        if rng.random() < 0.75:
            pen.text((side + 6, y), _filler_text(rng, max(20, right - side - 16), 7), colour, _font(7))
    for _ in range(rng.randint(0, 3)):
        x, y = rng.randint(side, right - 40), rng.randint(top + 20, bottom - 14)
        pen.rounded_rectangle((x, y, x + 38, y + 12), 3, (70, 120, 220))


def _chart(rng: random.Random) -> SyntheticImage:
    image = Image.new("RGB", (SIDE, SIDE), rng.choice(((255, 255, 255), (248, 248, 250), (30, 32, 38))))
    pen = ImageDraw.Draw(image)
    axis = (120, 120, 120)
    colours = [_vary_colour(colour, rng) for colour in rng.sample(list(COLOURS.values()), 5)]
    kind = rng.choice(("bar", "line", "pie"))
    if kind == "pie":
        angle = rng.uniform(0, 360)
        for colour, share in zip(colours, _random_fractions(rng, rng.randint(3, 5)), strict=False):
            pen.pieslice((45, 45, 215, 215), angle, angle + 360 * share, colour, (250, 250, 250))
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
                colour = colours[bar % 2] if rng.random() < 0.2 else colours[0]
                pen.rectangle((x, rng.randint(40, 215), x + 0.7 * width, 229), colour)
        else:
            for colour in colours[: rng.randint(1, 3)]:
                heights = np.clip(
                    np.cumsum([rng.randint(70, 180), *(rng.randint(-35, 35) for _ in range(11))]), 25, 225
                )
                pen.line([(32 + 19 * x, int(height)) for x, height in enumerate(heights)], colour, 2)
    if rng.random() < 0.6:
        pen.text((60, 4), _random_words(rng, 3), axis, _font(11))
    name = {"bar": "A bar chart.", "line": "A line chart.", "pie": "A pie chart."}[kind]
    return SyntheticImage(image, name, name, present="a chart")


GENERATORS: tuple[Callable[[random.Random], SyntheticImage], ...] = (
    _plain_colour,
    _noise,
    _shapes,
    _page,
    _sign,
    _screenshot,
    _chart,
)
GENERATOR_WEIGHTS = (10, 10, 34, 12, 8, 14, 12)


def _draw_shape(
    pen: ImageDraw.ImageDraw, shape: str, centre: tuple[float, float], radius: float, colour: tuple[int, ...]
) -> None:
    x, y = centre
    if shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), colour)
    elif shape == "square":
        pen.rectangle((x - radius, y - radius, x + radius, y + radius), colour)
    else:
        points = 3 if shape == "triangle" else 10
        angles = np.arange(points) * 2 * np.pi / points - np.pi / 2
        reach = [radius * (1.0 if shape == "triangle" or number % 2 == 0 else 0.42) for number in range(points)]
        pen.polygon([(x + r * np.cos(a), y + r * np.sin(a)) for a, r in zip(angles, reach, strict=True)], colour)


def _vary_colour(colour: tuple[int, int, int], rng: random.Random) -> tuple[int, int, int]:
    """An colour a little lighter or darker."""
    red, green, blue = (min(255, max(0, value + rng.randint(-14, 14))) for value in colour)
    return red, green, blue


def _random_fractions(rng: random.Random, count: int) -> list[float]:
    sizes = [rng.uniform(0.5, 2) for _ in range(count)]
    return [size / sum(sizes) for size in sizes]


def _random_words(rng: random.Random, count: int) -> str:
    return " ".join("".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(count))


def _filler_text(rng: random.Random, width: int, size: int) -> str:
    """Return words that fill about `width` pixels."""
    return _random_words(rng, max(1, width // (4 * size)))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@torch.inference_mode()
def synthetic_maps(work: Path, tower: EfficientNetLite) -> Tensor:
    """Return the neck maps of all drawn images, float16 (images, 2, neck width, rows, columns).

    Written to `WORK/features/drawings.safetensors` by the first call.
    """
    path = work / "features" / "drawings.safetensors"
    if not path.exists():
        maps = []
        for first in range(0, NUM_IMAGES, 16):
            images = [draw(index).image for index in range(first, min(first + 16, NUM_IMAGES))]
            views = [view for image in images for view in (image, ImageOps.mirror(image))]
            stack = torch.stack([preprocess(view, SIDE) for view in views]).to(torch.bfloat16)
            neck = tower.neck(stack.to(memory_format=torch.channels_last)).half()
            maps.append(neck.reshape(-1, 2, *neck.shape[1:]).contiguous())
        save_file({"maps": torch.cat(maps)}, path)
    return load_file(path)["maps"]
