"""Run a skill over many files with a bounded number of workers, and yield the outcomes in order.

    sources ─▶ bounded window of tasks ─▶ threads, each with a model or a client of a shared one ─▶ outcomes, in order

Only the files being worked on are in memory, so memory does not grow with their number.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from assistant.errors import MissingExtraError, ModelError, ParleyError, SkillUsageError
from skills.batching import BatchClient

if TYPE_CHECKING:
    from pydantic import BaseModel

    from skills.definition import Dependency
    from skills.files import Source

# Queued tasks per thread: a fast thread has work while a slow one holds up the order.
_QUEUED_PER_WORKER = 4


@dataclass(frozen=True)
class Outcome:
    """Outcome for one file: a result, or an error message.

    Attributes:
        source: The file.
        result: Result of the skill, None after an error.
        error: Error message, "" after success.
        notices: Sentences about the file, such as that it was shortened.
    """

    source: "Source"
    result: "BaseModel | None"
    error: str = ""
    notices: Sequence[str] = ()


Work = Callable[["Source", "Dependency | None"], "tuple[BaseModel, Sequence[str]]"]
"""Runs a skill on one file and returns its result and notices."""


def run_all(
    sources: Iterable["Source"], work: Work, dependencies: Sequence["Dependency | None"], stop: threading.Event
) -> Generator[Outcome, None, None]:
    """Run `work` on each of `sources`, on one thread for each of `dependencies`.

    An error that concerns one file is its outcome.

    Args:
        sources: Files; consumed as threads become free.
        work: Runs the skill. Called with one of `dependencies`, which no other thread uses meanwhile.
        dependencies: One per thread; None for skills without a dependency.
        stop: Set when the iteration ends in any way. No work continues after that.

    Raises:
        ModelError: The model failed; so do the errors below, this would repeat for every file.
        MissingExtraError: A package is missing.
        SkillUsageError: The call is wrong.
    """
    idle: queue.SimpleQueue[Dependency | None] = queue.SimpleQueue()
    for each in dependencies:
        idle.put(each)

    def run_one(source: "Source") -> Outcome:
        dependency = idle.get()
        try:
            with dependency if isinstance(dependency, BatchClient) else nullcontext():
                result, notices = work(source, dependency)
            return Outcome(source, result, notices=notices)
        except (ModelError, MissingExtraError, SkillUsageError):
            raise
        except ParleyError as error:
            return Outcome(source, None, str(error))
        finally:
            idle.put(dependency)

    tasks: deque[Future[Outcome]] = deque()
    remaining = iter(sources)
    executor = ThreadPoolExecutor(len(dependencies), "skill")
    try:
        while True:
            capacity = _QUEUED_PER_WORKER * len(dependencies) - len(tasks)
            tasks.extend(executor.submit(run_one, source) for source in islice(remaining, capacity))
            if not tasks:
                return
            yield tasks.popleft().result()
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)
