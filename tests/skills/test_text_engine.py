"""The text engine is lent to one thread at a time, and ends between two steps."""

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest

from assistant.models.pocket.text_in_image import TextInImage
from skills import read, text_engine
from skills.text_engine import StoppableEngine, borrow
from skills.text_glance import glance
from skills.vision_model import Cancelled
from tests.fakes.skills import make_image


class StoppingEngine:
    """Finds and reads lines, and sets `stop` in the step of a given number."""

    def __init__(self, stop: threading.Event, step: int = 1) -> None:
        self.steps = 0
        self._stop = stop
        self._last = step

    def __call__(self, image: Any, **_: bool) -> Any:
        self._count()
        height, width = image.shape[:2]
        rows = [(0, top, width // 2, top + 20) for top in range(0, height - 20, 30)]
        boxes = [[(left, top), (right, top), (right, bottom), (left, bottom)] for left, top, right, bottom in rows]
        return SimpleNamespace(boxes=np.array(boxes, np.float32) if boxes else None)

    def cls_and_rotate(self, crops: list[Any]) -> Any:
        self._count()
        return crops, SimpleNamespace(cls_res=[("0", 1.0)] * len(crops))

    def recognize_txt(self, crops: list[Any]) -> Any:
        self._count()
        return SimpleNamespace(txts=[str(crop.shape[1]) for crop in crops], scores=[0.9] * len(crops))

    def _count(self) -> None:
        self.steps += 1
        if self.steps == self._last:
            self._stop.set()


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def use_engine(monkeypatch: pytest.MonkeyPatch, engine: object) -> None:
    monkeypatch.setattr(text_engine, "load_engine", lambda **_: engine)


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_reading_ends_after_the_step_in_which_it_is_stopped(
    stop: threading.Event, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = StoppingEngine(stop, step)
    use_engine(monkeypatch, engine)
    with pytest.raises(Cancelled):
        read(make_image(900, 4000), stop=stop)
    assert engine.steps == step


def test_an_image_that_waits_for_another_one_can_be_stopped(
    stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = StoppingEngine(stop)
    use_engine(monkeypatch, engine)
    with borrow():
        threading.Timer(0.1, stop.set).start()
        with pytest.raises(Cancelled):
            read(make_image(), stop=stop)
    assert engine.steps == 0


def test_the_engine_is_free_again_after_a_stop(stop: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, StoppingEngine(stop))
    with pytest.raises(Cancelled):
        read(make_image(300, 300), stop=stop)
    assert read(make_image(300, 300)).lines


def test_a_glance_that_is_stopped_found_no_text(stop: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, StoppingEngine(stop))
    assert glance(PIL.Image.new("RGB", (800, 800)), stop) == TextInImage()


def test_lines_keep_their_order_although_they_are_read_by_width(stop: threading.Event) -> None:
    engine = StoppingEngine(stop, step=0)
    widths = [*range(200, 100, -3), 7, 300, 50]
    found = StoppableEngine(engine, stop).recognize_txt([np.zeros((20, width, 3), np.uint8) for width in widths])
    assert found.txts == [str(width) for width in widths]
    assert engine.steps > 1
