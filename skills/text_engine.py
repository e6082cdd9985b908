"""The engine that finds and reads lines of text: RapidOCR, whose package contains its models (PP-OCRv6).

It is loaded once and used by one thread at a time. `borrow` lends it out in a form that can be stopped.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

from assistant.errors import MissingExtraError
from skills.vision_model import Cancelled

_QUICK_SIDE = 320
_TICK_SECONDS = 0.05
"""Time after which a stop is noticed by a thread that waits for the engine."""
_LINES_AT_ONCE = 12
"""Lines that are read between two looks at `stop`, half a second's work: two batches of the engine."""
# The engine uses all cores for an image.
_lock = threading.Lock()


class StoppableEngine:
    """RapidOCR that raises `Cancelled` between two steps once `stop` is set. The longest step takes about a second."""

    def __init__(self, engine: Any, stop: threading.Event) -> None:
        self._engine = engine
        self._stop = stop

    @property
    def quick(self) -> "StoppableEngine":
        """An engine for a first look, which does not enlarge small images."""
        return StoppableEngine(load_engine(quick=True), self._stop)

    def __call__(self, image: Any, **steps: bool) -> Any:
        self.check()
        return self._engine(image, **steps)

    def cls_and_rotate(self, crops: Sequence[Any]) -> Any:
        self.check()
        return self._engine.cls_and_rotate(crops)

    def recognize_txt(self, crops: Sequence[Any]) -> Any:
        """Read lines as the engine does, by width: the lines of one of its batches are padded to the longest one."""
        order = sorted(range(len(crops)), key=lambda index: crops[index].shape[1] / crops[index].shape[0])
        txts, scores = [""] * len(crops), [0.0] * len(crops)
        for start in range(0, len(order), _LINES_AT_ONCE):
            self.check()
            part = order[start : start + _LINES_AT_ONCE]
            found = self._engine.recognize_txt([crops[index] for index in part])
            for index, text, score in zip(part, found.txts, found.scores, strict=True):
                txts[index], scores[index] = text, score
        return SimpleNamespace(txts=txts, scores=scores)

    def check(self) -> None:
        """Raise `Cancelled` if `stop` is set."""
        if self._stop.is_set():
            raise Cancelled


@contextmanager
def borrow(stop: threading.Event | None = None) -> Iterator[StoppableEngine]:
    """Lend the engine out, as soon as no other thread has it.

    Raises:
        Cancelled: `stop` was set, also while the engine was waited for.
        MissingExtraError: The engine cannot be imported.
    """
    stop = stop or threading.Event()
    engine = StoppableEngine(load_engine(), stop)
    while not _lock.acquire(timeout=_TICK_SECONDS):
        engine.check()
    try:
        yield engine
    finally:
        _lock.release()


@cache
def load_engine(*, quick: bool = False) -> Any:
    """Return RapidOCR, loaded once; `quick` does not enlarge small images. Raises `MissingExtraError`."""
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise MissingExtraError(
            f"Reading the words in pictures needs rapidocr and onnxruntime, which do not load here ({error}): "
            "install them anew."
        ) from error
    # Importing it adds a handler to its logger, which prints every step on standard error.
    logging.getLogger("RapidOCR").disabled = True
    options = {"Det.limit_side_len": _QUICK_SIDE} if quick else {}
    return RapidOCR(params={"Global.log_level": "critical", **options})
