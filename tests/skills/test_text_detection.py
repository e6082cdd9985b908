"""Reading lines with an engine whose classifier of directions errs."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
from PIL import ImageDraw

from skills.text_detection import find_lines


class SquintingEngine:
    """An engine that finds one line, and takes lines over four times their height for upside-down ones.

    A line is the right way up if its left half is darker.
    """

    def __init__(self, box: tuple[int, int, int, int], *, errs_always: bool = False) -> None:
        left, top, right, bottom = box
        self._corners = np.array([[(left, top), (right, top), (right, bottom), (left, bottom)]], np.float32)
        self._errs_always = errs_always

    def __call__(self, _image: Any, **_steps: bool) -> Any:
        return SimpleNamespace(boxes=self._corners)

    def cls_and_rotate(self, crops: list[Any]) -> tuple[list[Any], Any]:
        wrong = [self._errs_always or crop.shape[1] > 4 * crop.shape[0] for crop in crops]
        return crops, SimpleNamespace(cls_res=[("180" if each else "0", 1.0) for each in wrong])

    def recognize_txt(self, crops: list[Any]) -> Any:
        upright = [crop[:, : crop.shape[1] // 2].mean() <= crop[:, crop.shape[1] // 2 :].mean() for crop in crops]
        return SimpleNamespace(
            txts=["good" if each else "poo6" for each in upright], scores=[0.99 if each else 0.91 for each in upright]
        )


def page(*, upside_down: bool = False) -> PIL.Image.Image:
    image = PIL.Image.new("RGB", (400, 100), "white")
    ImageDraw.Draw(image).rectangle((50, 40, 150, 60), "black")
    return image.transpose(PIL.Image.Transpose.ROTATE_180) if upside_down else image


def test_a_long_line_is_judged_by_its_beginning() -> None:
    [line] = find_lines(SquintingEngine((50, 35, 350, 65)), page())
    assert (line.text, line.score) == ("good", 0.99)


def test_a_line_that_is_wrongly_taken_for_upside_down_is_read_as_it_stands() -> None:
    [line] = find_lines(SquintingEngine((50, 35, 350, 65), errs_always=True), page())
    assert line.text == "good"


def test_a_line_that_is_upside_down_is_turned() -> None:
    [line] = find_lines(SquintingEngine((50, 35, 350, 65), errs_always=True), page(upside_down=True))
    assert line.text == "good"
