"""Collect the questions of several threads into batches for one model.

    skill on a thread ─▶ BatchClient.ask ─┐
    skill on a thread ─▶ BatchClient.ask ─┼─▶ BatchScheduler: all registered have asked ─▶ BatchModel.generate_batch
    skill on a thread ─▶ BatchClient.ask ─┘

Skills ask one question after another, as of any model. A batch starts without a timer: when every registered client
waits for a reply. Each replica of the model has a scheduler and a thread of its own, and a client stays with its
replica, whose caches hold the image that the client asks about.
"""

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol, Self, TypeGuard

from assistant.errors import AttachmentError, ContextOverflow, ModelError
from assistant.events import Usage
from assistant.messages import Message
from assistant.models.base import BatchModel, BatchReply, ChatModel, GenerationOptions, ModelInfo, Scorer
from skills.vision_model import VisionClient


class BatchScoringModel(ChatModel, Scorer, BatchModel, Protocol):
    """A `ChatModel` that batches and scores: all that a `BatchScheduler` needs."""


def supports_batching(model: ChatModel) -> TypeGuard[BatchScoringModel]:
    """Return True if `model` answers faster in batches."""
    return isinstance(model, BatchModel) and model.batch_size > 1 and isinstance(model, Scorer)


def create_clients(
    model: BatchScoringModel, stop: threading.Event, max_clients: int, workers: int | None = None
) -> "list[BatchClient]":
    """Create a client for each thread that should ask `model`.

    Args:
        model: Its replicas share the clients evenly; neighbours in the list use different replicas.
        stop: Ends all questions within one token.
        max_clients: Number of questions there are; more clients would be idle.
        workers: Number of clients. None fills the batches of all replicas, in rounds of equal size: with 13 questions
            and room for 12, two rounds of 7 instead of one of 12 and one of 1.
    """
    replicas = model.replicas(min(max_clients, workers or max_clients))
    capacity = workers or sum(replica.batch_size for replica in replicas)
    rounds = ceil(max_clients / capacity)
    schedulers = [BatchScheduler(replica, stop) for replica in replicas]
    return [BatchClient(schedulers[index % len(schedulers)]) for index in range(ceil(max_clients / rounds))]


@dataclass(frozen=True)
class _Request:
    messages: Sequence[Message]
    options: GenerationOptions
    reply: "Future[BatchReply]" = field(default_factory=Future)


class BatchScheduler:
    """One model as a `ChatModel` and `Scorer` for several threads. The model runs on a thread of its own."""

    def __init__(self, model: BatchScoringModel, stop: threading.Event) -> None:
        self.stop = stop
        self._model = model
        self._model_thread = ThreadPoolExecutor(1, "model")
        self._lock = threading.Lock()
        self._registered = 0
        self._pending: list[_Request] = []

    @property
    def info(self) -> ModelInfo:
        return self._model.info

    def register(self) -> None:
        """Let batches wait for the questions of one more client."""
        with self._lock:
            self._registered += 1

    def unregister(self) -> None:
        """Stop waiting for one client."""
        with self._lock:
            self._registered -= 1
            self._start_batch_if_all_wait()

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        stop: threading.Event,  # noqa: ARG002 - `self.stop` ends the whole batch
    ) -> Generator[str, None, Usage]:
        """Yield the reply in one piece once the batch is done."""
        request = _Request(messages, options)
        with self._lock:
            self._pending.append(request)
            self._start_batch_if_all_wait()
        reply = request.reply.result()
        yield reply.text
        return reply.usage

    def score(
        self,
        messages: Sequence[Message],
        candidates: Sequence[str],
        stop: threading.Event,  # noqa: ARG002
    ) -> list[tuple[float, ...]]:
        """Score alone, between two batches."""
        return self._model_thread.submit(self._model.score, messages, candidates, self.stop).result()

    def close(self) -> None:
        self._model.close()

    def _start_batch_if_all_wait(self) -> None:
        if len(self._pending) < self._registered:
            return
        for options in dict.fromkeys(request.options for request in self._pending):
            batch = [request for request in self._pending if request.options == options]
            self._model_thread.submit(self._run_batch, batch, options)
        self._pending = []

    def _run_batch(self, batch: Sequence[_Request], options: GenerationOptions) -> None:
        try:
            replies = self._generate(batch, options)
        except (AttachmentError, ContextOverflow) as error:
            if len(batch) == 1:
                batch[0].reply.set_exception(error)
                return
            # One request is at fault: run each alone to find it.
            for request in batch:
                self._run_batch([request], options)
        except Exception as error:  # noqa: BLE001 - raised in each thread that waits
            for request in batch:
                request.reply.set_exception(error)
        else:
            for request, reply in zip(batch, replies, strict=True):
                request.reply.set_result(reply)

    def _generate(self, batch: Sequence[_Request], options: GenerationOptions) -> Sequence[BatchReply]:
        replies = self._model.generate_batch([request.messages for request in batch], options, self.stop)
        if len(replies) != len(batch):
            # A thread without a reply would wait for ever.
            raise ModelError(
                f"{self.info.name} gave {len(replies)} replies to {len(batch)} questions: choose another model."
            )
        return replies


class BatchClient(VisionClient):
    """A `VisionModel` for one thread. Batches wait for its questions while it is in a `with` block."""

    def __init__(self, scheduler: BatchScheduler) -> None:
        super().__init__(scheduler, scheduler.stop)
        self._scheduler = scheduler

    def __enter__(self) -> Self:
        self._scheduler.register()
        return self

    def __exit__(self, *error: object) -> None:
        self._scheduler.unregister()
