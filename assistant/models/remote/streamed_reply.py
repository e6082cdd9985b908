"""One reply of a server: its events, until it is complete, stopped, too long, or has failed.

    event ─▶ parser ─▶ text and reasoning, cut to the limit, and calls of tools ─▶ caller
              └────────▶ reason of the end, token counts, times ─▶ Usage

The end of a reply is [DONE], or soon after its finish reason: not every server closes the connection then.
"""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from assistant.events import FinishReason, Usage
from assistant.messages import Reasoning, ToolCall
from assistant.models.base import ReplyItem
from assistant.models.remote.chunks import END_OF_STREAM, Chunk, ServerUsage
from assistant.models.remote.dialect import Dialect
from assistant.models.remote.http_client import ApiClient
from assistant.models.remote.http_errors import broken_off
from assistant.models.remote.retries import ServerError
from assistant.models.tool_call_deltas import ToolCallDeltas

if TYPE_CHECKING:
    import httpx2

FINISH_GRACE = 2.0
"""Seconds after the finish reason in which a server may still send its token counts and [DONE]."""

_MAX_TOKEN_CHARACTERS = 256
"""Longest tokens are runs of spaces or dashes of about this length."""
_MAX_DETAIL = 1000


class StreamedReply:
    """One reply, over as many attempts as it takes."""

    def __init__(self, client: ApiClient, max_tokens: int) -> None:
        self.accepted = False
        """True once the server has accepted a request."""
        self._client = client
        self._content = _Content(max_tokens)
        self._clock = _Clock()

    @property
    def has_text(self) -> bool:
        """True once text has been yielded."""
        return self._content.num_chunks > 0

    def stream_once(
        self, dialect: Dialect, request: dict[str, Any], stop: threading.Event
    ) -> Generator[ReplyItem, None, None]:
        """Send the request once and yield the reply. Raises `ServerError` unless it is complete or stopped."""
        self._clock.new_content()
        try:
            yield from self._read(dialect, request, stop)
        except ServerError:
            # Nothing that follows a complete reply can make it incomplete.
            if not self._content.is_finished:
                raise
        if self._content.is_finished:
            yield from self._content.tool_calls()
        if not self._content.is_finished and not stop.is_set():
            raise broken_off(self._client.base_url)

    def usage(self) -> Usage:
        """Return the token counts, those of the server if it reported them, and the reason why the reply ends."""
        content, server = self._content, self._content.server_usage
        return Usage(
            server.prompt_tokens or 0,
            server.cached_tokens or 0,
            server.completion_tokens or content.num_chunks + content.num_reasoning_chunks,
            self._clock.first_token_seconds,
            self._clock.total_seconds(),
            content.reason(),
            content.detail(),
            server.reasoning_tokens or content.num_reasoning_chunks,
        )

    def _read(
        self, dialect: Dialect, request: dict[str, Any], stop: threading.Event
    ) -> Generator[ReplyItem, None, None]:
        def is_over() -> bool:
            return stop.is_set() or self._is_over()

        parse = dialect.event_parser()
        with closing(self._client.stream_events(dialect.path, dialect.apply(request), is_over)) as events:
            for event in events:
                self.accepted = True
                if event.data.strip() == END_OF_STREAM:
                    self._content.finish("stop")
                    return
                chunk = self._parse(parse, event)
                if chunk.has_content:
                    self._clock.new_content(is_token=not chunk.finish_reason or bool(chunk.text))
                for item in self._content.add(chunk):
                    yield item
                    # The caller may have taken its time.
                    self._clock.new_content()
                if stop.is_set() or self._content.is_full:
                    return

    def _is_over(self) -> bool:
        """Return True some time after the finish reason. Raises `ServerError` if nothing comes for too long before."""
        waited = self._clock.seconds_without_content()
        if self._content.is_finished:
            return waited > FINISH_GRACE
        if waited > self._client.read_timeout:
            raise ServerError(
                f"The server at {self._client.base_url} has sent nothing for {self._client.read_timeout:g} seconds, "
                "and keeps the connection open: check what it is doing."
            )
        return False

    def _parse(self, parse: Callable[[str, str], Chunk], event: "httpx2.ServerSentEvent") -> Chunk:
        server = f"The server at {self._client.base_url}"
        try:
            chunk = parse(event.data, event.event)
        except ValueError as error:
            raise ServerError(
                f"{server} sent an invalid chunk: check that it offers OpenAI's chat completions."
            ) from error
        if chunk.failed:
            body = event.data.encode(errors="replace")
            message = self._client.words.error_message(body)
            raise ServerError(
                f"{server} stopped with an error{f' ({message})' if message else ''}: try again.",
                retryable=True,
                body=body,
            )
        return chunk


class _Content:
    """Content of a reply so far, which is cut to `max_tokens`: a server that ignores the limit would go on for ever."""

    def __init__(self, max_tokens: int) -> None:
        self.num_chunks = 0
        """Chunks with text so far. Usually one token each; servers under load may put several into one."""
        self.num_reasoning_chunks = 0
        self.server_usage = ServerUsage()
        self.is_full = False
        """True if the limit is exceeded."""
        self._max_tokens = max_tokens
        self._characters_left = max_tokens * _MAX_TOKEN_CHARACTERS
        self._finish_reason: FinishReason | None = None
        self._refusal = ""
        self._tools = ToolCallDeltas()

    @property
    def is_finished(self) -> bool:
        """True once the reply is complete."""
        return self._finish_reason is not None

    def add(self, chunk: Chunk) -> list[ReplyItem]:
        """Add a chunk and return its reasoning and its text, as far as the limit allows."""
        self.server_usage = chunk.usage or self.server_usage
        self._refusal = (self._refusal + chunk.refusal)[:_MAX_DETAIL]
        for call in chunk.tool_calls:
            self._tools.add(call)
        items = [*self._items(chunk.reasoning, Reasoning), *self._items(chunk.text, str)]
        if chunk.finish_reason is not None:
            self.finish(chunk.finish_reason)
        return items

    def tool_calls(self) -> list[ToolCall]:
        """Return the calls of tools, once the reply is complete."""
        return self._tools.complete()

    def _items(self, text: str, kind: type[Reasoning] | type[str]) -> list[ReplyItem]:
        if not text or self.is_full:
            return []
        allowed = text[: self._characters_left]
        if len(allowed) < len(text) or self.num_chunks + self.num_reasoning_chunks >= self._max_tokens:
            self.is_full = True
            self.finish("length")
            if self.num_chunks + self.num_reasoning_chunks >= self._max_tokens:
                return []
        if kind is Reasoning:
            self.num_reasoning_chunks += 1
        else:
            self.num_chunks += 1
        self._characters_left -= len(allowed)
        return [kind(allowed)] if allowed else []

    def finish(self, reason: FinishReason) -> None:
        """Note that the reply is complete. The first reason counts."""
        self._finish_reason = self._finish_reason or reason

    def reason(self) -> FinishReason:
        """Return the reason why the reply ends. Some servers only say "stop" after a refusal or a call."""
        if self._finish_reason not in (None, "stop"):
            return self._finish_reason
        return "refusal" if self._refusal else "tool_calls" if self._tools.complete() else "stop"

    def detail(self) -> str:
        """Return the words of a refusal, or the names of the tools called."""
        return self._refusal or ", ".join(call.name for call in self._tools.complete()[:4])


class _Clock:
    """Times of a reply."""

    def __init__(self) -> None:
        self.first_token_seconds = 0.0
        self._started = self._latest = time.monotonic()

    def new_content(self, *, is_token: bool = False) -> None:
        """Note that something has come, or that waiting begins anew."""
        self._latest = time.monotonic()
        if is_token:
            self.first_token_seconds = self.first_token_seconds or self._latest - self._started

    def seconds_without_content(self) -> float:
        """Return the time since the last content."""
        return time.monotonic() - self._latest

    def total_seconds(self) -> float:
        """Return the time since the start."""
        return time.monotonic() - self._started
