"""A model on a server with OpenAI's chat completions: vLLM, SGLang, llama.cpp, Ollama, LM Studio and others.

    messages ─▶ JSON, pictures as data URLs ─▶ POST /chat/completions ─▶ events ─▶ pieces of text ─▶ usage
                                    ▲                    │
                                    └── once more ◀──────┘ if nothing was said yet and another try may help

The server keeps the weights, the prompt cache and the queue of those who ask; here is nothing to be held but the key.
"""

import re
import threading
import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from assistant.errors import ContextOverflow, ModelError
from assistant.events import Usage
from assistant.messages import Message
from assistant.models.base import MIN_RESPONSE_TOKENS, GenerationOptions, ModelInfo
from assistant.models.remote.http_client import (
    RETRY_DELAYS,
    READ_TIMEOUT,
    IsCancelled,
    RetryPolicy,
    ApiClient,
    ServerError,
)
from assistant.models.remote.openai_api import (
    Chunk,
    ServerModel,
    data_url,
    parse_context_overflow,
    parse_chunk,
    parse_models,
    written,
)

if TYPE_CHECKING:
    from assistant.progress import Progress

KEY_VARIABLE = "PARLEY_API_KEY"
"""Where the key comes from, and nowhere else: a command line is seen by others, and a file is copied."""

_FORBIDDEN = frozenset({401, 403})
_TOO_LARGE = 413
_MISSING = 404
_TELL_SECONDS = 0.3
_MOST_NAMES = 12
_GROUNDING = re.compile(r"qwen3[-_.]?vl", re.IGNORECASE)


class RemoteModel:
    """A `ChatModel` behind a server. `retry_delays` are the waits between tries of what is worth another try."""

    def __init__(
        self, server: ApiClient, name: str, context_tokens: int = 0, retry_delays: tuple[float, ...] = RETRY_DELAYS
    ) -> None:
        # A server tells nothing of a model but its name.
        supports_grounding = _GROUNDING.search(name) is not None
        self.info = ModelInfo(name, server.host, "unknown", context_tokens, supports_grounding=supports_grounding)
        self._server = server
        self._retry_seconds = retry_delays
        self._pictures: dict[str, str] = {}

    @classmethod
    def connect(
        cls,
        base_url: str,
        *,
        model: str | None = None,
        key: str | None = None,
        progress: "Progress | None" = None,
        read_timeout: float = READ_TIMEOUT,
        retry_delays: tuple[float, ...] = RETRY_DELAYS,
    ) -> "RemoteModel":
        """Find out which model the server at `base_url` (which ends in `/v1` as a rule) has, and talk to that.

        `model` names the one to talk to where there are several. Blocks until the server answers; `progress` hears
        that it is asked. Raises `ModelError` if it does not, or has no such model, and `ConfigError` for a `base_url`
        or `key` that is none.
        """
        server = ApiClient(base_url, key, read_timeout=read_timeout)
        told = time.monotonic()

        def is_cancelled() -> bool:
            nonlocal told
            if progress is not None and time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                progress(f"asking the server at {base_url}", 0, 0)
            return False

        served = _ask_for_models(server, RetryPolicy(retry_delays), is_cancelled, needed=model is None)
        chosen = _choose(served, model, base_url)
        return cls(server, chosen.id, chosen.context_tokens, retry_delays)

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        reply = _Reply(self._server, options.max_tokens)
        request = self._request(messages, options)
        retries = RetryPolicy(self._retry_seconds)
        while not stop.is_set():
            try:
                yield from reply.follow(request, stop)
                break
            except ServerError as error:
                if reply.count:
                    raise
                if (lengths := _lengths(error)) is not None:
                    _make_fit(request, *lengths)
                else:
                    self._explain(error)
                    retries.wait(error, stop.is_set)
        return reply.usage()

    def close(self) -> None:
        self._pictures = {}

    def _request(self, messages: Sequence[Message], options: GenerationOptions) -> dict[str, Any]:
        images = {image.digest: image for message in messages for image in message.images}
        # Those that are still shown were encoded for the last turn; the others are not coming back soon.
        self._pictures = {digest: self._pictures.get(digest) or data_url(image) for digest, image in images.items()}
        return {
            "model": self.info.name,
            "messages": [written(message, self._pictures) for message in messages],
            "max_tokens": options.max_tokens,
            "temperature": options.temperature,
            **({} if options.seed is None else {"seed": options.seed}),
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def _explain(self, error: ServerError) -> None:
        """Raise a better sentence for what a person can mend."""
        if error.status in _FORBIDDEN:
            raise _forbidden(self._server, error)
        if error.status == _MISSING and self.info.name in self._server.words(error.body):
            raise ModelError(
                f"The server at {self._server.base_url} has no model {self.info.name} "
                f"({self._server.words(error.body)}): name another with --model."
            ) from error


class _Reply:
    """One reply as far as it has come, over however many tries."""

    def __init__(self, server: ApiClient, max_tokens: int) -> None:
        self._server = server
        self._max_tokens = max_tokens
        self._started = time.monotonic()
        self._first_token_seconds = 0.0
        self._told: Chunk | None = None
        self.count = 0
        """Pieces so far. A piece is a token as a rule; servers under load may put several into one."""

    def follow(self, request: dict[str, Any], stop: threading.Event) -> Generator[str, None, None]:
        """Ask once, and yield the pieces. Raises `ServerError` unless the reply is complete or was stopped."""
        finished = False
        for data in self._server.events("/chat/completions", request, stop.is_set):
            chunk = self._read(data)
            if chunk.usage is not None:
                self._told = chunk
            if chunk.text:
                # A server that knows no `max_tokens` would go on for as long as its model does.
                if self.count == self._max_tokens:
                    return
                self._first_token_seconds = self._first_token_seconds or time.monotonic() - self._started
                self.count += 1
                yield chunk.text
            finished = finished or chunk.finished
            if stop.is_set():
                return
        if not finished and not stop.is_set():
            raise ServerError(
                f"The server at {self._server.base_url} broke off its answer: see whether it still runs.", passing=True
            )

    def usage(self) -> Usage:
        """What it took, by the server's count if there is one."""
        told = self._told.usage if self._told is not None else None
        total = time.monotonic() - self._started
        if told is None:
            return Usage(0, 0, self.count, self._first_token_seconds, total)
        cached = told.prompt_tokens_details.cached_tokens if told.prompt_tokens_details else None
        return Usage(told.prompt_tokens, cached or 0, told.completion_tokens, self._first_token_seconds, total)

    def _read(self, data: str) -> Chunk:
        try:
            chunk = parse_chunk(data)
        except ValueError as error:
            raise ServerError(
                f"The server at {self._server.base_url} sends what is no piece of a reply: "
                "see whether it is one with OpenAI's chat completions."
            ) from error
        if chunk.failed:
            said = self._server.words(data.encode())
            raise ServerError(
                f"The server at {self._server.base_url} cannot go on{f' ({said})' if said else ''}: try again.",
                passing=True,
                body=data.encode(),
            )
        return chunk


def _ask_for_models(
    server: ApiClient, retries: RetryPolicy, is_cancelled: IsCancelled, *, needed: bool
) -> list[ServerModel]:
    """What the server says it has; nothing where it keeps no list and none is `needed`."""
    while True:
        try:
            return parse_models(server.get("/models", is_cancelled))
        except ServerError as error:
            if error.status in _FORBIDDEN:
                raise _forbidden(server, error) from error
            if error.status and not needed:
                return []
            if error.status and not error.passing:
                raise ModelError(f"{error} If the address is right, name the model with --model.") from error
            retries.wait(error, is_cancelled)
        except ValueError as error:
            raise ModelError(
                f"The server at {server.base_url} has no list of models under /models: check that the address is one "
                "with OpenAI's chat completions; most end in /v1."
            ) from error


def _choose(served: Sequence[ServerModel], model: str | None, base_url: str) -> ServerModel:
    if model is not None:
        # One that is not listed may still be there, under a shorter name or yet to be loaded: the server knows.
        return next((one for one in served if one.id == model), ServerModel(id=model))
    chatting = [one for one in served if one.chats]
    if len(chatting) == 1:
        return chatting[0]
    if not chatting:
        raise ModelError(f"The server at {base_url} has no model loaded: load one there, or name it with --model.")
    names = ", ".join(one.id for one in chatting[:_MOST_NAMES])
    more = f" and {len(chatting) - _MOST_NAMES} more" if len(chatting) > _MOST_NAMES else ""
    raise ModelError(f"The server at {base_url} has several models: choose with --model one of {names}{more}.")


def _lengths(error: ServerError) -> tuple[int, int] | None:
    """Tokens of prompt and context, where known, if `error` says that the prompt is too long for the server."""
    return (0, 0) if error.status == _TOO_LARGE else parse_context_overflow(error.body)


def _make_fit(request: dict[str, Any], prompt_tokens: int, limit: int) -> None:
    """Ask for no more words than there is room for, or raise `ContextOverflow` if the prompt itself is too long."""
    wanted = request["max_tokens"]
    room = limit - prompt_tokens
    if not prompt_tokens or room >= wanted or room < min(MIN_RESPONSE_TOKENS, wanted, limit // 4):
        raise ContextOverflow(prompt_tokens, max(0, limit - min(MIN_RESPONSE_TOKENS, wanted, limit // 4)))
    request["max_tokens"] = room


def _forbidden(server: ApiClient, error: ServerError) -> ModelError:
    said = server.words(error.body)
    return ModelError(
        f"The server at {server.base_url} lets nobody in without the right key{f' ({said})' if said else ''}: "
        f"put it into the environment as {KEY_VARIABLE}."
    )
