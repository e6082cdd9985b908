"""Drawings and photos."""

import numpy as np
import PIL.Image
import pytest
from PIL import ImageDraw, ImageFilter

from assistant.models.pocket.drawings import is_drawn


def silhouette() -> PIL.Image.Image:
    image = PIL.Image.new("RGB", (400, 300), "white")
    ImageDraw.Draw(image).polygon([(60, 250), (120, 80), (300, 60), (340, 250), (250, 150)], "black")
    return image


def photo() -> PIL.Image.Image:
    noise = np.random.default_rng(0).integers(-12, 12, (300, 400, 3))
    smooth = np.asarray(silhouette().filter(ImageFilter.GaussianBlur(20)), int) * 0.6 + 40
    return PIL.Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def test_a_silhouette_is_drawn() -> None:
    assert is_drawn(silhouette())
    assert is_drawn(silhouette().resize((4000, 3000)))


def test_a_photo_is_not() -> None:
    assert not is_drawn(photo())


def test_a_long_screenshot_is_judged_by_its_middle() -> None:
    strip = PIL.Image.new("RGB", (400, 12_000), "white")
    for top in range(0, 12_000, 300):
        strip.paste(silhouette(), (0, top))
    assert is_drawn(strip)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1)])
def test_an_image_of_a_single_row_is_not(size: tuple[int, int]) -> None:
    assert not is_drawn(PIL.Image.new("RGB", size))
