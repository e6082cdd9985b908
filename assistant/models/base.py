"""Protocols that every chat model implements, and the values they exchange.

    ChatModel           stream a reply to a conversation; every backend does this
    Scorer              log-probabilities of given replies
    BatchModel          several conversations at once
    HiddenStateModel    hidden states of a text
    HasVisionModel      another model looks at its images

The last three are optional: test for them with `isinstance`.
"""

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from assistant.events import TextWasReasoning, Usage
from assistant.generation_rules import RANGES, REASONING_MODES, STOP_STRINGS, ReasoningMode, stop_strings, wrong_value
from assistant.messages import Message, Reasoning, ToolCall
from assistant.text_cleaning import clean_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_RESPONSE_TOKENS = 64
"""Tokens that a prompt must leave for the reply, unless fewer are requested or the context is tiny."""


ReplyItem = str | Reasoning | ToolCall | TextWasReasoning
"""An item of a reply: text, the reasoning before it, a call of a tool, or news about the text so far."""


@dataclass(frozen=True)
class ModelInfo:
    """Properties of a model, for the status line and for `--json`.

    Attributes:
        name: The name that people use for it.
        device: "cpu", "mps", a CUDA device such as "cuda:0", or the host of a server.
        quantization: "int8", "nf4", "none" and so on, or "unknown".
        context_tokens: Longest prompt and reply together; 0 if a server does not report it.
        bundled: True for the small vision model that Parley brings along, which skills ask in the words that it was
            trained with. It knows English only and cannot read text in images. The chat model that reads its findings
            is not meant: see `HasVisionModel`.
        supports_grounding: True if the model was trained to give bounding boxes.
    """

    name: str
    device: str
    quantization: str
    context_tokens: int
    bundled: bool = False
    supports_grounding: bool = False

    def __post_init__(self) -> None:
        # A server or the name of a folder may contain anything.
        object.__setattr__(self, "name", clean_line(self.name))
        object.__setattr__(self, "device", clean_line(self.device))


@dataclass(frozen=True)
class BatchReply:
    """One reply of a batch."""

    text: str
    usage: Usage


@dataclass(frozen=True)
class GenerationOptions:
    """Length, sampling and end of a reply. None means what the model's own generation config says.

    Attributes:
        max_tokens: Longest reply.
        temperature: Logits are divided by it before sampling; 0 always takes the likeliest token. None without a
            generation config that samples means 0.
        seed: Makes sampling repeatable.
        top_p: Sample from the likeliest tokens that together have this probability; 1 keeps all.
        top_k: Sample from this many of the likeliest tokens; 0 keeps all.
        min_p: Sample from tokens with at least this share of the likeliest token's probability; 0 keeps all.
        repetition_penalty: Logits of tokens in prompt and reply are divided by it (multiplied where negative); 1 is
            none (Keskar et al. 2019).
        presence_penalty: Subtracted once from the logit of each token that the reply holds already; 0 is none.
        stop: Texts that end the reply where one of them begins.
        reasoning: "show" what a model thinks before its reply, "hide" it, or "off" to ask the model for none. Models
            that know no such request reason all the same, and it is hidden.

    Raises:
        ConfigError: One of them cannot have its value.
    """

    max_tokens: int = 512
    temperature: float | None = None
    seed: int | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    stop: tuple[str, ...] = ()
    reasoning: ReasoningMode = "show"

    def __post_init__(self) -> None:
        for name, numbers in RANGES.items():
            value = getattr(self, name)
            if value not in numbers and (value is not None or name == "max_tokens"):
                raise wrong_value(f"{name} of GenerationOptions", value, numbers)
        try:
            object.__setattr__(self, "stop", stop_strings(self.stop))
        except ValueError as error:
            raise wrong_value("stop of GenerationOptions", self.stop, STOP_STRINGS) from error
        if self.reasoning not in REASONING_MODES:
            raise wrong_value("reasoning of GenerationOptions", self.reasoning, '"show", "hide" or "off"')

    @classmethod
    def greedy(cls, max_tokens: int) -> Self:
        """Return options for short tasks: greedy, without reasoning, and without a penalty that a model may have."""
        return cls(max_tokens, temperature=0, repetition_penalty=1, presence_penalty=0, reasoning="off")


class ChatModel(Protocol):
    """A model that continues a conversation.

    Synchronous and not thread-safe: the owner calls it from one thread at a time.
    """

    @property
    def info(self) -> ModelInfo:
        """Name, device and abilities of the model."""
        ...

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[ReplyItem, None, Usage]:
        """Yield the reply to `messages` in chunks and return the usage, with the reason why the reply ends.

        Text may hold reasoning between tags: `replies.stream_reply` finds it, and makes a reply without text an error.
        A model whose template opens the reasoning yields the opening tag first. Setting `stop` ends the stream within
        one token, without an error.

        Raises:
            ContextOverflow: The prompt does not fit. Raised before the first chunk.
            ModelError: The model cannot do what is asked.
        """
        ...

    def close(self) -> None:
        """Free the model's memory. Idempotent."""
        ...


@runtime_checkable
class OpensReasoning(Protocol):
    """A model that cannot know beforehand whether its template opens the reasoning."""

    def on_unopened_reasoning(self) -> None:
        """Learn that it does: a reply had the closing tag alone."""
        ...


@runtime_checkable
class ModelDefaults(Protocol):
    """A model that says how its makers want its replies sampled."""

    @property
    def defaults(self) -> GenerationOptions:
        """Values that apply where the options of a reply are None."""
        ...


@runtime_checkable
class ImageDefaults(Protocol):
    """A model that samples otherwise where images are concerned."""

    @property
    def image_defaults(self) -> GenerationOptions:
        """Values in place of `ModelDefaults.defaults` while there is an image in the conversation."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """A model that can compute how likely given replies are."""

    def score(
        self, messages: Sequence[Message], candidates: Sequence[str], stop: threading.Event
    ) -> list[tuple[float, ...]]:
        """Return the log-probabilities of each of `candidates` as the reply to `messages`.

        One tuple per candidate: the natural logarithm of each token's probability given those before it, and last that
        of the reply ending there. The list is empty if `stop` is set before the scores are complete. The prompt cache
        still holds the conversation afterwards. Raises as `ChatModel.stream` does.
        """
        ...


@runtime_checkable
class PromptPreparer(Protocol):
    """A model that can process a prompt before it is asked for the reply."""

    def prepare(self, messages: Sequence[Message], stop: threading.Event) -> None:
        """Look at the images of `messages`, and keep what the next `stream` needs that begins with the same prompt.

        Called while the user still writes or speaks, so that the reply begins sooner. The last message may lack its
        text. It never changes a reply. Returns soon after `stop` is set. Raises as `ChatModel.stream` does.
        """
        ...


@runtime_checkable
class PausableModel(Protocol):
    """A model that computes ahead of whoever iterates its stream, on threads of its own."""

    def pause(self, *, paused: bool) -> None:
        """Leave the processor to others until this is called again with False.

        Called from another thread than `stream`. It never changes a reply. A paused stream still ends soon after its
        `stop` is set; the next one is not paused.
        """
        ...


@runtime_checkable
class CoreSharer(Protocol):
    """A model that can leave a core of the processor to others."""

    def share_cores(self, *, shared: bool) -> None:
        """Compute on one core fewer from the next reply on, or on all again.

        For a time in which speech is recognized and synthesized on the same cores. May be called from any thread, and
        returns at once. The next reply or preparation may begin seconds later, and reads its whole prompt.
        """
        ...


@runtime_checkable
class BatchModel(Protocol):
    """A model that may answer several conversations faster together than one after the other."""

    @property
    def batch_size(self) -> int:
        """Largest useful batch; 1 if batching gains nothing."""
        ...

    def replicas(self, max_replicas: int) -> "Sequence[Self]":
        """Return models to use in place of this one, each on a thread of its own.

        There is at least one, and never more than `max_replicas` or than are useful. Replicas share the weights and
        have separate caches. Closing one leaves the others open.
        """
        ...

    def generate_batch(
        self, conversations: Sequence[Sequence[Message]], options: GenerationOptions, stop: threading.Event
    ) -> list[BatchReply]:
        """Return the reply to each of `conversations`: the text of `replies.stream_reply` alone, up to rounding.

        A reply ends at a stop string or a loop, and may have no text.

        Token for token the same where the arithmetic of a token does not depend on the others computed with it, as with
        int8 on a CPU. Elsewhere a near tie between two tokens can be decided differently.

        Setting `stop` ends all of them within one token and returns what has been generated. Raises as
        `ChatModel.stream` does if any of them fails; the other replies are lost.
        """
        ...


@runtime_checkable
class HiddenStateModel(Protocol):
    """A model that gives access to its hidden states."""

    def hidden_states(self, texts: Sequence[str], layers: Sequence[int]) -> "list[NDArray[np.float32]]":
        """Return the hidden states (layers, tokens, width) of each of `texts`, read as one concatenated text.

        Special tokens in `texts` are parsed as such. Nothing precedes the text, and the prompt cache stays as it is.

        Args:
            texts: Parts of the text.
            layers: The states after this many layers are returned.

        Raises:
            ModelError: This model gives no access to its hidden states.
            ContextOverflow: The text is longer than the context.
        """
        ...


@runtime_checkable
class HasVisionModel(Protocol):
    """A language model whose images are looked at by another model. Skills about images ask that one."""

    def vision_model(self) -> ChatModel:
        """Return the model that looks at images, loading it if needed. It is closed with this one.

        Raises:
            ModelError: It cannot be loaded.
        """
        ...


def vision_model_of(model: ChatModel) -> ChatModel:
    """Return the model that answers questions about images for `model`: mostly itself. Raises `ModelError`."""
    return model.vision_model() if isinstance(model, HasVisionModel) else model
