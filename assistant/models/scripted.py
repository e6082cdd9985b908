"""A chat model with scripted replies, for tests, documentation and demos without weights.

It passes the same contract tests as the real models. It can be made to fail, to be slow, and to have a small context.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from itertools import zip_longest

from assistant.errors import ContextOverflow
from assistant.events import Usage
from assistant.messages import Image, Message
from assistant.models.base import GenerationOptions, ModelInfo

IMAGE_TOKENS = 16


class ScriptedModel:
    """Replies with the enqueued texts in order, then echoes the last message. A token is a word here.

    Attributes:
        info: Describes the model.
        prompts: Every prompt it was given.
        closed: True after `close`.
    """

    def __init__(self, *replies: str, token_seconds: float = 0.0, context_tokens: int = 4096) -> None:
        """Create a model.

        Args:
            replies: The first replies.
            token_seconds: Seconds that each token takes.
            context_tokens: Size of the context; an image counts as `IMAGE_TOKENS`.
        """
        self._script: deque[str | Exception] = deque(replies)
        self._token_seconds = token_seconds
        self.info = ModelInfo("scripted", "cpu", "none", context_tokens)
        self.prompts: list[tuple[Message, ...]] = []
        self.closed = False

    def enqueue(self, *replies: str | Exception) -> None:
        """Add replies to the script. An exception is raised in place of a reply."""
        self._script.extend(replies)

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        started = time.monotonic()
        prompt_tokens = sum(_count_tokens(message) for message in messages)
        limit = self.info.context_tokens - 1
        if prompt_tokens > limit:
            raise ContextOverflow(prompt_tokens, limit)
        self.prompts.append(tuple(messages))
        reply = self._script.popleft() if self._script else _echo(messages[-1])
        if isinstance(reply, Exception):
            raise reply
        words = reply.split(" ")
        first_token_seconds = 0.0
        count = 0
        limit = min(options.max_tokens, self.info.context_tokens - prompt_tokens)
        for word in words[:limit]:
            if stop.wait(self._token_seconds) if self._token_seconds else stop.is_set():
                break
            first_token_seconds = first_token_seconds or time.monotonic() - started
            yield word if count == 0 else f" {word}"
            count += 1
        return Usage(
            prompt_tokens,
            0,
            count,
            first_token_seconds,
            time.monotonic() - started,
            finish_reason="length" if count == limit < len(words) else "stop",
        )

    def score(
        self,
        messages: Sequence[Message],
        candidates: Sequence[str],
        stop: threading.Event,
    ) -> list[tuple[float, ...]]:
        """Give a word probability 0.9 if the next scripted reply has it in the same position, else 0.1.

        The script stays as it is.
        """
        if stop.is_set():
            return []
        self.prompts.append(tuple(messages))
        reply = self._script[0] if self._script else _echo(messages[-1])
        if isinstance(reply, Exception):
            raise reply
        expected = reply.split(" ")
        return [
            tuple(
                math.log(0.9 if word == scripted else 0.1)
                for word, scripted in zip_longest(
                    [*candidate.split(" "), None], expected[: len(candidate.split(" ")) + 1]
                )
            )
            for candidate in candidates
        ]

    def close(self) -> None:
        self.closed = True


def _count_tokens(message: Message) -> int:
    return len(message.text.split()) + IMAGE_TOKENS * len(message.images)


def _echo(message: Message) -> str:
    images = ", ".join(part.name for part in message.parts if isinstance(part, Image))
    return f"You said: {message.text}" + (f" (and showed {images})" if images else "")
