"""A skill over many pictures: a bounded number at a time, and the outcomes in the order of the pictures.

    sources ─▶ a window of tasks ─▶ threads, each with a model of its own while it works ─▶ outcomes, in order
                                                     or a seat at the table of one

No more pictures are held than are being worked on, so memory does not grow with their number.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from assistant.errors import AssistantError, MissingExtraError, ModelError, SkillUsageError
from skills.batching import BatchClient

if TYPE_CHECKING:
    from pydantic import BaseModel

    from skills.definition import Dependency
    from skills.files import Source

# Tasks that wait for each thread: a quick one beside a slow one does not leave its thread without work.
_AHEAD = 4


@dataclass(frozen=True)
class Outcome:
    """What came of one picture: a result, or the sentence that says why there is none."""

    source: "Source"
    result: "BaseModel | None"
    error: str = ""
    notices: Sequence[str] = ()


Work = Callable[["Source", "Dependency | None"], "tuple[BaseModel, Sequence[str]]"]
"""Runs a skill on one picture; returns its result and what is to be known of the picture."""


def run_all(
    sources: Iterable["Source"], work: Work, models: Sequence["Dependency | None"], stop: threading.Event
) -> Iterator[Outcome]:
    """Do `work` on each of `sources`, as many at a time as there are `models`; None is a model for skills without.

    However the iteration ends, `stop` is set and no work goes on after it. What is wrong with one picture is its
    outcome; what is wrong with the call, the model or a package would be the same for all others and is raised.
    """
    free: queue.SimpleQueue[Dependency | None] = queue.SimpleQueue()
    for model in models:
        free.put(model)

    def one(source: "Source") -> Outcome:
        model = free.get()
        try:
            # Others at the table wait for the questions of this one, until it is done.
            with model if isinstance(model, BatchClient) else nullcontext():
                result, notices = work(source, model)
            return Outcome(source, result, notices=notices)
        except (ModelError, MissingExtraError, SkillUsageError):
            raise
        except AssistantError as error:
            return Outcome(source, None, str(error))
        finally:
            free.put(model)

    waiting: deque[Future[Outcome]] = deque()
    remaining = iter(sources)
    executor = ThreadPoolExecutor(len(models), "skill")
    try:
        while True:
            room = _AHEAD * len(models) - len(waiting)
            waiting.extend(executor.submit(one, source) for source in islice(remaining, room))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)
