"""Images whose content is known: coloured shapes, receipts, signs, and pages of text.

Dev and test differ by their seeds. Colours and shapes are those that the small model was trained with, drawn by other
code.
"""

import io
import random
from typing import NamedTuple

import PIL.Image
from PIL import ImageDraw, ImageFont

from assistant.attachments.images import ImageLoader
from assistant.messages import Image

COLOURS = {
    "red": (200, 30, 40),
    "green": (30, 140, 60),
    "blue": (40, 80, 200),
    "yellow": (240, 215, 40),
    "orange": (240, 140, 30),
    "purple": (120, 50, 150),
    "pink": (240, 130, 180),
    "brown": (115, 75, 45),
    "black": (15, 15, 15),
    "white": (250, 250, 250),
}
BACKGROUNDS = {"white": (255, 255, 255), "grey": (150, 150, 150), "blue": (170, 205, 240), "black": (10, 10, 10)}
SHAPES = ("circle", "square", "triangle")
_GOODS = "tea coffee bread cheese apples milk rice soap candles honey pears butter pens paper lamp".split()
_SHOPS = ("CORNER SHOP", "GREEN MARKET", "CITY BAKERY", "NORTH STATION KIOSK", "FARM STORE")
_SIGNS = (
    "NO PARKING", "PLEASE RING THE BELL", "OPEN DAILY 9 TO 5", "MIND THE STEP", "FRESH PAINT", "STAFF ONLY",
    "BEWARE OF THE DOG", "EXIT ON THE LEFT", "QUIET PLEASE", "PULL TO OPEN",
)  # fmt: skip
_PAGES = (
    ("Visiting hours", "The museum opens at ten.", "Children pay two euros.", "Bags stay at the entrance.",
     "Photos without flash are allowed.", "The cafe is on the second floor."),
    ("Garden club", "We meet each Thursday at six.", "Bring gloves and a spade.", "This month we plant roses.",
     "New members are welcome.", "Call Martha to join."),
    ("Train service", "Line seven is closed on Sunday.", "Buses replace the trains.",
     "Travel takes twenty minutes longer.", "Tickets stay valid.", "We apologise for the delay."),
    ("Swimming course", "Lessons begin on the first of May.", "Each lesson lasts one hour.", "The fee is forty euros.",
     "A towel is provided.", "Parents may watch from the gallery."),
)  # fmt: skip


class Drawn(NamedTuple):
    """An image with what is known of it."""

    image: Image
    facts: dict[str, str]


def draw_shape(seed: int) -> Drawn:
    """Draw one shape of one colour on a background of another."""
    rng = random.Random(f"shape {seed}")
    shape, colour = rng.choice(SHAPES), rng.choice(list(COLOURS))
    background = rng.choice([name for name in BACKGROUNDS if name != colour])
    canvas = PIL.Image.new("RGB", (320, 240), BACKGROUNDS[background])
    pen = ImageDraw.Draw(canvas)
    radius = rng.randint(50, 90)
    x, y = rng.randint(radius + 10, 310 - radius), rng.randint(radius + 5, 235 - radius)
    box = (x - radius, y - radius, x + radius, y + radius)
    match shape:
        case "circle":
            pen.ellipse(box, COLOURS[colour])
        case "square":
            pen.rectangle(box, COLOURS[colour])
        case _:
            pen.polygon([(x, box[1]), (box[0], box[3]), (box[2], box[3])], COLOURS[colour])
    return Drawn(_encode(canvas, f"shape{seed}.png"), {"shape": shape, "colour": colour, "background": background})


def draw_receipt(seed: int) -> Drawn:
    """Draw a receipt: a shop, goods with prices, and the total."""
    rng = random.Random(f"receipt {seed}")
    goods = {name: rng.randint(80, 1900) for name in rng.sample(_GOODS, rng.randint(3, 5))}
    total = sum(goods.values())
    rows = [
        (rng.choice(_SHOPS), ""),
        *((name.capitalize(), f"{price / 100:.2f}") for name, price in goods.items()),
        ("TOTAL", f"{total / 100:.2f}"),
    ]
    canvas = PIL.Image.new("RGB", (420, 60 + 48 * len(rows)), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(26)
    for number, (left, right) in enumerate(rows):
        pen.text((24, 24 + 48 * number), left, "black", font=font)
        pen.text((300, 24 + 48 * number), right, "black", font=font)
    item = rng.choice(list(goods))
    return Drawn(
        _encode(canvas, f"receipt{seed}.png"),
        {"total": rows[-1][1], "shop": rows[0][0], "item": item, "price": f"{goods[item] / 100:.2f}"},
    )


def draw_sign(seed: int) -> Drawn:
    """Draw a sign with a few words."""
    rng = random.Random(f"sign {seed}")
    text = _SIGNS[seed % len(_SIGNS)]
    ink, paper = rng.choice([("white", (30, 70, 160)), ("black", (240, 210, 40)), ("white", (180, 30, 40))])
    canvas = PIL.Image.new("RGB", (520, 200), paper)
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((8, 8, 511, 191), outline=ink, width=4)
    pen.text((260, 100), text, ink, font=ImageFont.load_default(36), anchor="mm")
    return Drawn(_encode(canvas, f"sign{seed}.png"), {"text": text})


def draw_page(seed: int) -> Drawn:
    """Draw a page: a title and five sentences."""
    title, *sentences = _PAGES[seed % len(_PAGES)]
    return Drawn(draw_text(f"page{seed}.png", title, *sentences), {"title": title, "text": " ".join(sentences)})


def draw_text(name: str, *lines: str) -> Image:
    """Draw lines of text on white, the first one larger."""
    canvas = PIL.Image.new("RGB", (760, 80 + 52 * len(lines)), "white")
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        pen.text((40, 30 + 52 * number), line, "black", font=ImageFont.load_default(26 if number else 32))
    return _encode(canvas, name)


def _encode(canvas: PIL.Image.Image, name: str) -> Image:
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return ImageLoader().load_bytes(file.getvalue(), name).image
