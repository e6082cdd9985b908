"""The model that a skill may require: a protocol, and its implementation for any `ChatModel`."""

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from assistant.errors import ContextOverflow, EmptyReply, SkillError
from assistant.events import Usage
from assistant.messages import Image, user
from assistant.models.base import ChatModel, GenerationOptions, ModelInfo, Scorer, vision_model_of
from assistant.models.replies import stream_text

if TYPE_CHECKING:
    from skills.openai_batch import BatchRequest

_ENDS = (".", "!", "?", "…", "。", "}", "]")
"""Marks at the end of a reply that is whole although it is as long as allowed."""


class VisionModel(Protocol):
    """A model that answers questions about images. It does not remember earlier questions."""

    @property
    def info(self) -> ModelInfo:
        """Name, device and abilities of the model."""
        ...

    def ask(self, question: str, *images: Image, max_tokens: int = 64) -> str:
        """Return the answer to a question, decoded greedily; it is never empty, and ends in "…" if it is cut off.

        Raises `ModelError`, and `SkillError` for a question without an answer.
        """
        ...

    def score(self, question: str, candidates: Sequence[str], *images: Image) -> list[tuple[float, ...]]:
        """Return log-probabilities per token of each candidate as the answer: see `Scorer.score`.

        Raises `ModelError`, and `ScoringUnsupported` if the model cannot score.
        """
        ...


class Cancelled(SkillError):
    """The caller stopped the skill."""

    def __init__(self) -> None:
        super().__init__("The skill was stopped before it was done.")


class Unanswered(SkillError):
    """Questions to be answered later, by a batch API.

    Attributes:
        requests: The questions.
    """

    def __init__(self, requests: "Sequence[BatchRequest]") -> None:
        super().__init__(
            "The batch has no answer to this yet: write what is missing with --batch-file beside --from-batch."
        )
        self.requests = requests


class ScoringUnsupported(SkillError):
    """The model cannot return the probabilities of given answers."""


class VisionClient:
    """Ask a chat model, or the model that looks at images for it, as a `VisionModel`, on the calling thread."""

    def __init__(self, chat_model: ChatModel, stop: threading.Event | None = None) -> None:
        """Create a client. Setting `stop` ends a question within one token and raises `Cancelled`."""
        self._chat_model = chat_model
        self._stop = stop or threading.Event()
        self.usage = Usage()
        """Sum over all questions so far."""

    @property
    def info(self) -> ModelInfo:
        return self._vision_model.info

    @cached_property
    def _vision_model(self) -> ChatModel:
        # Found at the first question: many calls of skills ask none, and the model may have to be loaded for it.
        return vision_model_of(self._chat_model)

    def ask(self, question: str, *images: Image, max_tokens: int = 64) -> str:
        options = GenerationOptions.greedy(max_tokens)
        stream = stream_text(self._vision_model, [user(question, *images)], options, self._stop)
        chunks: list[str] = []
        usage = Usage()
        try:
            while True:
                chunks.append(next(stream))
        except StopIteration as end:
            usage = end.value
            self.usage = _add_usage(self.usage, usage)
        except ContextOverflow as error:
            raise self._too_long(error) from error
        except EmptyReply as error:
            # A fault of this question, not of the model: a batch goes on with the next file.
            advice = "try another file or another model"
            raise SkillError(f"{error.problem}: {advice}.") from error
        if self._stop.is_set():
            raise Cancelled
        text = "".join(chunks).strip()
        is_cut = usage.finish_reason in ("length", "loop") and not text.endswith(_ENDS)
        return f"{text} …" if is_cut else text

    def score(self, question: str, candidates: Sequence[str], *images: Image) -> list[tuple[float, ...]]:
        if not isinstance(self._vision_model, Scorer):
            raise ScoringUnsupported(
                f"{self.info.name} cannot say how likely an answer is: choose a model that runs on this machine."
            )
        try:
            scores = self._vision_model.score([user(question, *images)], candidates, self._stop)
        except ContextOverflow as error:
            raise self._too_long(error) from error
        if self._stop.is_set():
            raise Cancelled
        return scores

    def close(self) -> None:
        """Free the model's memory."""
        self._chat_model.close()

    def _too_long(self, error: ContextOverflow) -> SkillError:
        # A session would answer `ContextOverflow` by dropping old messages, which are no part of this prompt.
        return SkillError(
            f"The question takes {error.prompt_tokens} tokens and {self.info.name} has room for {error.limit}: "
            "shorten it."
        )


def _add_usage(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.cached_tokens + other.cached_tokens,
        one.reply_tokens + other.reply_tokens,
        one.first_token_seconds or other.first_token_seconds,
        one.total_seconds + other.total_seconds,
    )
