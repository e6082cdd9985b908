"""The names of colours in images."""

import numpy as np
import PIL.Image
import pytest
from PIL import ImageColor, ImageDraw, ImageFilter

from assistant.models.pocket.colours import find_colours

SHADES = {
    "red": ("red", "darkred", "crimson"),
    "orange": ("orange", "darkorange"),
    "yellow": ("yellow", "gold"),
    "green": ("lime", "darkgreen", "seagreen"),
    "blue": ("blue", "navy", "skyblue"),
    "purple": ("purple", "indigo"),
    "pink": ("pink", "hotpink"),
    "brown": ("saddlebrown", "sienna"),
    "grey": ("grey", "dimgrey"),
    "black": ("black",),
    "white": ("white", "snow"),
}


@pytest.mark.parametrize(("term", "shade"), [(term, shade) for term, shades in SHADES.items() for shade in shades])
def test_shades_have_the_name_that_people_use(term: str, shade: str) -> None:
    colours = find_colours(PIL.Image.new("RGB", (40, 30), ImageColor.getrgb(shade)))
    assert colours.largest == (term,)
    assert colours.is_plain


@pytest.mark.parametrize("thing", ["red", "yellow", "blue", "black"])
def test_a_shape_has_its_own_colour_and_the_background_another(thing: str) -> None:
    image = PIL.Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(image).ellipse((90, 40, 210, 160), thing)
    colours = find_colours(image)
    assert (colours.thing, colours.background) == (thing, "white")
    assert not colours.is_plain


def test_a_landscape_has_colours_but_no_background() -> None:
    image = PIL.Image.new("RGB", (200, 200), "skyblue")
    ImageDraw.Draw(image).rectangle((0, 100, 200, 200), "green")
    colours = find_colours(image.filter(ImageFilter.GaussianBlur(3)))
    assert colours.thing is None
    assert set(colours.largest) == {"blue", "green"}


def test_a_photo_without_hues_is_black_and_white() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8).repeat(3, 2)
    assert find_colours(PIL.Image.fromarray(noise)).is_grey


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3000, 2)])
def test_any_size_has_colours(size: tuple[int, int]) -> None:
    assert find_colours(PIL.Image.new("RGB", size, "red")).largest == ("red",)
