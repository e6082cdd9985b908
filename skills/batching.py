"""Several threads that ask one model, or replicas of it, which answer the questions at a table together.

    skill on a thread ─▶ BatchClient.ask ─┐
    skill on a thread ─▶ BatchClient.ask ─┼─▶ all who sit at the table have asked ─▶ BatchModel.generate_batch ─▶ each its answer
    skill on a thread ─▶ BatchClient.ask ─┘

Skills know nothing of it: each asks its questions one after the other, as of any model. Nobody waits for a clock: the
model is asked when nobody who has taken a seat is still busy with something else. Where a model has replicas, each has a
table of its own, and none waits for another.
"""

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from types import TracebackType
from typing import Protocol, Self, TypeGuard

from assistant.errors import AttachmentError, ContextOverflow
from assistant.events import Usage
from assistant.messages import Message
from assistant.models.base import BatchModel, ChatModel, GenerationOptions, ModelInfo, Scorer
from skills.vision_model import VisionClient

Answers = list[str | AttachmentError | ContextOverflow]


class BatchScoringModel(ChatModel, Scorer, BatchModel, Protocol):
    """A `ChatModel` that can do all that is asked at a table."""


def supports_batching(model: ChatModel) -> TypeGuard[BatchScoringModel]:
    """Whether there is something to gain from a table for `model`."""
    return isinstance(model, BatchModel) and model.batch_size > 1 and isinstance(model, Scorer)


@dataclass
class _Question:
    """What one of them asks; `answers` to all that were sent with it once it has been sent, its own at `place`."""

    messages: Sequence[Message]
    options: GenerationOptions
    answers: "Future[Answers] | None" = None
    place: int = 0


class BatchScheduler:
    """A model that those at its seats ask together. It computes on one thread of its own."""

    def __init__(self, model: BatchScoringModel, stop: threading.Event) -> None:
        self.model = model
        self.stop = stop
        self._thread = ThreadPoolExecutor(1, "model")
        self._sent = threading.Condition()
        self._asked: list[_Question] = []
        self._taken = 0

    def take(self) -> None:
        """One more will ask: the others wait for it."""
        with self._sent:
            self._taken += 1

    def leave(self) -> None:
        """One less will ask."""
        with self._sent:
            self._taken -= 1
            self._send_if_all_have_asked()

    def ask(self, messages: Sequence[Message], options: GenerationOptions) -> str:
        """The answer, once all who sit here have asked something. Raises what the model raises about this question."""
        question = _Question(messages, options)
        with self._sent:
            self._asked.append(question)
            self._send_if_all_have_asked()
            self._sent.wait_for(lambda: question.answers is not None)
        assert question.answers is not None
        answer = question.answers.result()[question.place]
        if isinstance(answer, str):
            return answer
        raise answer

    def score(self, messages: Sequence[Message], options: Sequence[str]) -> list[tuple[float, ...]]:
        """As the model scores them, in between."""
        return self._thread.submit(self.model.score, messages, options, self.stop).result()

    def _send_if_all_have_asked(self) -> None:
        if len(self._asked) < self._taken:
            return
        for options in dict.fromkeys(question.options for question in self._asked):
            group = [question for question in self._asked if question.options == options]
            answers = self._thread.submit(_answers, self.model, [each.messages for each in group], options, self.stop)
            for place, question in enumerate(group):
                question.answers, question.place = answers, place
        self._asked = []
        self._sent.notify_all()


def create_clients(
    model: BatchScoringModel, stop: threading.Event, most: int, jobs: int | None = None
) -> "list[BatchClient]":
    """A seat for each of as many threads as should ask `model` at a time, and never more than `most`.

    There is a table for each of the model's replicas, and neighbours sit at different ones. `jobs` is the most seats there
    may be; None is what suits the model.
    """
    replicas = model.replicas(min(most, jobs or most))
    full = jobs or sum(replica.batch_size for replica in replicas)
    # All rounds alike, because a last one of a few would be waited for at one table while nobody sits at the others.
    count = ceil(most / ceil(most / full))
    tables = [BatchScheduler(replica, stop) for replica in replicas]
    return [BatchClient(tables[place % len(tables)]) for place in range(count)]


class BatchClient(VisionClient):
    """A `VisionModel` at a table. To be held in a `with` block for as long as questions may come from it."""

    def __init__(self, table: BatchScheduler) -> None:
        super().__init__(_AtTable(table), table.stop)
        self._table = table

    def __enter__(self) -> Self:
        self._table.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._table.leave()


class _AtTable:
    """What a seat asks: a `ChatModel` and `Scorer` whose replies come in one piece."""

    def __init__(self, table: BatchScheduler) -> None:
        self._table = table

    @property
    def info(self) -> ModelInfo:
        return self._table.model.info

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        stop: threading.Event,  # noqa: ARG002 - one for all at the table
    ) -> Generator[str, None, Usage]:
        yield self._table.ask(messages, options)
        return Usage()

    def score(
        self,
        messages: Sequence[Message],
        options: Sequence[str],
        stop: threading.Event,  # noqa: ARG002
    ) -> list[tuple[float, ...]]:
        return self._table.score(messages, options)

    def close(self) -> None:
        self._table.model.close()


def _answers(
    model: BatchModel, conversations: Sequence[Sequence[Message]], options: GenerationOptions, stop: threading.Event
) -> Answers:
    """The answer to each, or what is wrong with it. Raises what is wrong with the model."""
    try:
        return list(model.generate_batch(conversations, options, stop))
    except (AttachmentError, ContextOverflow) as error:
        # One of them is to blame, and it is found by asking each alone.
        if len(conversations) == 1:
            return [error]
        return [_answers(model, [each], options, stop)[0] for each in conversations]
