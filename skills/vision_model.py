"""What a skill may ask of a model, and that on any `ChatModel`."""

import threading
from collections.abc import Sequence
from typing import Protocol

from assistant.errors import ContextOverflow, SkillError
from assistant.events import Usage
from assistant.messages import Image, user
from assistant.models.base import ChatModel, GenerationOptions, ModelInfo, Scorer


class VisionModel(Protocol):
    """A model that answers questions about pictures, each without memory of those before."""

    @property
    def info(self) -> ModelInfo:
        """What this model is."""
        ...

    def ask(self, question: str, *photos: Image, max_tokens: int = 64) -> str:
        """The likeliest answer to `question` about `photos`. Raises `ModelError` and `SkillError`."""
        ...

    def score(self, question: str, options: Sequence[str], *photos: Image) -> list[tuple[float, ...]]:
        """How likely each of `options` is as the answer, token by token: see `Scorer.score`.

        Raises `ModelError`, and `ScoringUnsupported` if this model cannot tell.
        """
        ...


class Cancelled(SkillError):
    """Whoever called the skill no longer waits for it."""

    def __init__(self) -> None:
        super().__init__("The skill was stopped before it was done.")


class ScoringUnsupported(SkillError):
    """This model cannot say how likely an answer is."""


class VisionClient:
    """A `VisionModel` that asks `chat`, from the thread it is called on. Setting `stop` ends it within one token."""

    def __init__(self, chat: ChatModel, stop: threading.Event | None = None) -> None:
        self._chat = chat
        self._stop = stop or threading.Event()
        self.usage = Usage()
        """What all questions so far took together."""

    @property
    def info(self) -> ModelInfo:
        return self._chat.info

    def ask(self, question: str, *photos: Image, max_tokens: int = 64) -> str:
        stream = self._chat.stream([user(question, *photos)], GenerationOptions(max_tokens=max_tokens), self._stop)
        pieces: list[str] = []
        try:
            while True:
                pieces.append(next(stream))
        except StopIteration as end:
            self.usage = _together(self.usage, end.value)
        except ContextOverflow as error:
            raise self._too_long(error) from error
        if self._stop.is_set():
            raise Cancelled
        return "".join(pieces).strip()

    def score(self, question: str, options: Sequence[str], *photos: Image) -> list[tuple[float, ...]]:
        if not isinstance(self._chat, Scorer):
            raise ScoringUnsupported(
                f"{self.info.name} cannot say how likely an answer is: choose a model that runs on this machine."
            )
        try:
            scores = self._chat.score([user(question, *photos)], options, self._stop)
        except ContextOverflow as error:
            raise self._too_long(error) from error
        if self._stop.is_set():
            raise Cancelled
        return scores

    def close(self) -> None:
        """Free the model's memory."""
        self._chat.close()

    def _too_long(self, error: ContextOverflow) -> SkillError:
        # Not the same error: a conversation would make room for it, of which a skill's questions are no part.
        return SkillError(
            f"The question takes {error.prompt_tokens} tokens and {self.info.name} has room for {error.limit}: "
            "shorten it."
        )


def _together(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.cached_tokens + other.cached_tokens,
        one.reply_tokens + other.reply_tokens,
        one.first_token_seconds or other.first_token_seconds,
        one.total_seconds + other.total_seconds,
    )
