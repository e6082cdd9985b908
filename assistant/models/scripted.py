"""A model that says what it was told to: for tests, documentation and demos without weights.

It keeps the promises of `ChatModel` (the same contract tests run on it and on the real ones) and can be told to
fail, to be slow, and to have a small context.
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
    """Replies in turn with each text enqueued, and with an echo of the last message when none is left.

    A token is a word here, and a picture counts as `IMAGE_TOKENS` of them. `token_seconds` is how long each takes.
    """

    def __init__(self, *replies: str, token_seconds: float = 0.0, context_tokens: int = 4096) -> None:
        self._script: deque[str | Exception] = deque(replies)
        self._token_seconds = token_seconds
        self.info = ModelInfo("scripted", "cpu", "none", context_tokens)
        self.prompts: list[tuple[Message, ...]] = []
        """Every prompt it was given, for tests to look at."""
        self.closed = False

    def enqueue(self, *replies: str | Exception) -> None:
        """Add replies to the script; an exception is raised after the words enqueued before it were said."""
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
        for word in words[: min(options.max_tokens, self.info.context_tokens - prompt_tokens)]:
            if stop.wait(self._token_seconds) if self._token_seconds else stop.is_set():
                break
            first_token_seconds = first_token_seconds or time.monotonic() - started
            yield word if count == 0 else f" {word}"
            count += 1
        return Usage(prompt_tokens, 0, count, first_token_seconds, time.monotonic() - started)

    def score(
        self,
        messages: Sequence[Message],
        candidates: Sequence[str],
        stop: threading.Event,
    ) -> list[tuple[float, ...]]:
        """Each word is likely (0.9) if the next reply of the script has it at the same place, and otherwise not (0.1).

        The script is left as it is.
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
                math.log(0.9 if word == wanted else 0.1)
                for word, wanted in zip_longest([*option.split(" "), None], expected[: len(option.split(" ")) + 1])
            )
            for option in candidates
        ]

    def close(self) -> None:
        self.closed = True


def _count_tokens(message: Message) -> int:
    return len(message.text.split()) + IMAGE_TOKENS * len(message.images)


def _echo(message: Message) -> str:
    pictures = ", ".join(part.name for part in message.parts if isinstance(part, Image))
    return f"You said: {message.text}" + (f" (and showed {pictures})" if pictures else "")
