"""The one protocol every model is spoken to through."""

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from assistant.events import Usage
from assistant.messages import Message

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REPLY_ROOM = 64
"""How many tokens a prompt must leave for the reply, unless fewer are asked for or the context is tiny."""


@dataclass(frozen=True)
class ModelInfo:
    """What a model is, for the status line and for `--json`.

    `name` as people know it, `device` like "cpu", "cuda:0" or the host of a server, `quantization` like "int8", "nf4",
    "none" or "unknown", `context_tokens` the longest prompt and reply together (0 where a server does not tell),
    `sees_images` whether pictures can be shown to it, `embedded` whether it is the small model that Parley brings
    along, which reads no words in pictures, and `grounds` whether it can say where in a picture things are.
    """

    name: str
    device: str
    quantization: str
    context_tokens: int
    sees_images: bool
    embedded: bool = False
    grounds: bool = False


@dataclass(frozen=True)
class GenerationOptions:
    """How a reply is written. Temperature 0 is greedy; a seed makes sampling repeatable."""

    max_tokens: int = 512
    temperature: float = 0.0
    seed: int | None = None


class ChatModel(Protocol):
    """A model that continues a conversation.

    Synchronous and not thread-safe: whoever owns it calls it from one thread at a time.
    """

    @property
    def info(self) -> ModelInfo:
        """What this model is."""
        ...

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        """Yield the reply to `messages` piece by piece and return what it took.

        Setting `stop` ends the stream within one token, with no error. Raises `ContextOverflow` before the first
        piece if the prompt does not fit, and `ModelError` if the model cannot do what is asked.
        """
        ...

    def close(self) -> None:
        """Free the model's memory. Calling it twice is fine."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """A model that can also say how likely given replies are. A `ChatModel` of its own kind: not every backend can."""

    def score(
        self, messages: Sequence[Message], options: Sequence[str], stop: threading.Event
    ) -> list[tuple[float, ...]]:
        """How likely the model is to reply to `messages` with each of `options`.

        For each, the natural logarithms of the probabilities of its tokens, each given those before it, and as the
        last one that of the reply ending there. What is remembered of the conversation stays as it is. Empty if `stop`
        is set before it is done. Raises as `ChatModel.stream` does.
        """
        ...


@runtime_checkable
class BatchModel(Protocol):
    """A model that may answer several conversations in less time together than one after the other."""

    @property
    def batch_size(self) -> int:
        """How many at once are worth it; 1 if there is nothing to gain."""
        ...

    def twins(self, most: int) -> "Sequence[Self]":
        """Models to be used in the place of this one, each called from a thread of its own: at least one, and as many
        as there is something to gain, but never more than `most`.

        They share its weights and remember nothing of each other. Closing one leaves the others open.
        """
        ...

    def answer_all(
        self, conversations: Sequence[Sequence[Message]], options: GenerationOptions, stop: threading.Event
    ) -> list[str]:
        """The reply to each of `conversations`: what `stream` would say to it alone.

        Setting `stop` ends all of them within one token, as far as they have come. Raises as `ChatModel.stream` does if
        it would for any of them, without a word of the others.
        """
        ...


@runtime_checkable
class Introspective(Protocol):
    """A model whose hidden states can be looked at. As `Scorer`, a kind of its own."""

    def states(self, pieces: Sequence[str], depths: Sequence[int]) -> "list[NDArray[np.float32]]":
        """The hidden states (depths, tokens, width) of each of `pieces`, read as one text after the other.

        They are those after so many layers as `depths` say. Nothing else is read with them, and what is remembered of
        the conversation stays as it is. Special tokens in `pieces` are read as such. Raises `ModelError` if this model
        has none to show, and `ContextOverflow`.
        """
        ...
