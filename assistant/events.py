"""Events of a turn, in the order in which they happen.

A turn is one stream of events, which the command line, the terminal app and voice consume. Errors are raised out of the
stream and are no events.
"""

from dataclasses import dataclass
from typing import Any, Literal

from assistant.messages import Image, Message

FinishReason = Literal["stop", "length", "loop", "tool_calls", "content_filter", "refusal"]
"""Reason why a reply ends: the model was done, a limit of tokens, a loop, a call of a tool, a filter, or a refusal."""


@dataclass(frozen=True)
class Usage:
    """Tokens and times of a reply, and why it ends.

    Attributes:
        prompt_tokens: Tokens of the prompt.
        cached_tokens: Tokens of the prompt that were in the model's prompt cache.
        reply_tokens: Tokens of the reply.
        first_token_seconds: Time from the start of the turn to the first token.
        total_seconds: Time from the start of the turn to the last token.
        finish_reason: Reason why the reply ends.
        finish_detail: Words of a refusal, or names of the tools called.
        reasoning_tokens: Tokens of reasoning among those of the reply. They are no part of its text.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    reply_tokens: int = 0
    first_token_seconds: float = 0.0
    total_seconds: float = 0.0
    finish_reason: FinishReason = "stop"
    finish_detail: str = ""
    reasoning_tokens: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed: tokens after the first, divided by the time after the first."""
        decoding = self.total_seconds - self.first_token_seconds
        return (self.reply_tokens - 1) / decoding if self.reply_tokens > 1 and decoding > 0 else 0.0


@dataclass(frozen=True)
class UserTranscript:
    """Transcript of the user's speech: the message of this turn, with the attached images."""

    text: str
    images: tuple[Image, ...] = ()


@dataclass(frozen=True)
class Notice:
    """A sentence for the user that is no error, such as that old turns were left out."""

    text: str


@dataclass(frozen=True)
class LoadProgress:
    """A model is being fetched or loaded: `label` with `done_bytes` of `total_bytes`, which is 0 if unknown."""

    label: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class TextDelta:
    """Next text of the reply."""

    text: str


@dataclass(frozen=True)
class ReasoningDelta:
    """Next reasoning of the model, which is no part of the reply."""

    text: str


@dataclass(frozen=True)
class TextWasReasoning:
    """All text of the reply so far was reasoning: its end was marked, its beginning was not. The reply begins now."""


@dataclass(frozen=True)
class SkillResult:
    """Result of a skill."""

    skill: str
    result: Any


@dataclass(frozen=True)
class SpeechFinished:
    """Speech output of a reply has ended. `text` is what was played, all of it unless `interrupted`."""

    text: str
    interrupted: bool


@dataclass(frozen=True)
class TurnFinished:
    """The reply is complete and, if there is a store, saved."""

    message: Message
    usage: Usage


Event = (
    UserTranscript
    | Notice
    | LoadProgress
    | TextDelta
    | ReasoningDelta
    | TextWasReasoning
    | SkillResult
    | SpeechFinished
    | TurnFinished
)
