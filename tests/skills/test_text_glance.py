"""A glance at the text in an image."""

import PIL.Image
import pytest
from PIL import ImageDraw, ImageFont

from assistant.models.pocket.text_in_image import CUT_MARK
from skills import text_glance
from skills.text_glance import glance
from tests.assistant.models.pocket.test_drawings import photo


def page(*lines: str) -> PIL.Image.Image:
    image = PIL.Image.new("RGB", (600, 60 + 50 * len(lines)), "white")
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((30, 30 + 50 * number), line, "black", ImageFont.load_default(28))
    return image


def test_the_words_of_a_page_are_read_in_order() -> None:
    text = glance(page("Opening hours", "Monday to Friday", "TOTAL 12.50"))
    assert text.rows == ("Opening hours", "Monday to Friday", "TOTAL 12.50")
    assert 0.05 < text.share < 0.9


def test_nothing_is_read_where_no_text_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> object:
        raise AssertionError

    monkeypatch.setattr(text_glance, "find_regions", never)
    assert glance(photo()).rows == ()


def test_of_a_long_page_the_first_and_the_last_lines_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_glance, "_FIRST_LINES", 2)
    monkeypatch.setattr(text_glance, "_LAST_LINES", 1)
    text = glance(page("First line", "Second line", "Third line", "Fourth line", "Grand total"))
    assert text.rows == ("First line", "Second line", CUT_MARK, "Grand total")


@pytest.mark.parametrize("size", [(1, 1), (4, 900), (900, 4)])
def test_tiny_images_have_no_text(size: tuple[int, int]) -> None:
    assert glance(PIL.Image.new("RGB", size)).rows == ()
