"""What happens during a turn, in the order in which it happens.

A turn is one stream of these, and the command line, the terminal app, voice and any server are all consumers of
that one stream. Failures are raised out of the stream, never sent as events.
"""

from dataclasses import dataclass
from typing import Any

from assistant.messages import Image, Message


@dataclass(frozen=True)
class Usage:
    """What a reply took.

    `prompt_tokens` counts everything the model was shown, `cached_tokens` how many of those were already in its
    prompt cache, `reply_tokens` what it wrote. Times are in seconds from the start of the turn.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    reply_tokens: int = 0
    first_token_seconds: float = 0.0
    total_seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Speed of decoding: tokens after the first, over the time after the first."""
        decoding = self.total_seconds - self.first_token_seconds
        return (self.reply_tokens - 1) / decoding if self.reply_tokens > 1 and decoding > 0 else 0.0


@dataclass(frozen=True)
class UserTranscript:
    """Speech was understood; it is the user's message of this turn, with these images."""

    text: str
    images: tuple[Image, ...] = ()


@dataclass(frozen=True)
class Notice:
    """Something a person should know that is no failure: old turns were dropped, only a first frame is shown."""

    text: str


@dataclass(frozen=True)
class LoadProgress:
    """A model is being fetched or loaded: `label` with `done_bytes` of `total_bytes`, which is 0 if unknown."""

    label: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class TextDelta:
    """The next piece of the reply."""

    text: str


@dataclass(frozen=True)
class SkillResult:
    """A skill was called and this came of it."""

    skill: str
    result: Any


@dataclass(frozen=True)
class SpeechFinished:
    """A reply that was spoken is over: this much of it was heard, which is all unless it was interrupted."""

    text: str
    interrupted: bool


@dataclass(frozen=True)
class TurnFinished:
    """The reply is complete and, where a history is kept, durable."""

    message: Message
    usage: Usage


Event = UserTranscript | Notice | LoadProgress | TextDelta | SkillResult | SpeechFinished | TurnFinished
