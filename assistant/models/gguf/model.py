"""Run a language model in a GGUF file: messages in, chunks of text out."""

import re
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from assistant.errors import ContextOverflow, ModelError
from assistant.events import FinishReason, Usage
from assistant.messages import Audio, Image, Message, Text
from assistant.models.base import MIN_RESPONSE_TOKENS, GenerationOptions, ModelInfo
from assistant.models.gguf.llama_server import LlamaServer, ServerOptions
from assistant.models.gguf.metadata import GgufMetadata, read_metadata
from assistant.models.gguf.sampling import recommended, to_request
from assistant.models.memory import DEFAULT_CONTEXT, free_bytes
from assistant.progress import OnNotice, Progress, no_notice, no_progress

_KV_BYTES = 2
_WORKSPACE_BYTES = 300 * 2**20
_BREAK = "\N{ZERO WIDTH SPACE}"


class GgufModel:
    """A `ChatModel` and `PromptPreparer` that llama.cpp runs in this process."""

    def __init__(self, server: LlamaServer, metadata: GgufMetadata, info: ModelInfo) -> None:
        self.info = info
        self._server = server
        self._recommended = recommended(metadata)
        self._special = _pattern(metadata.special_tokens)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        name: str | None = None,
        context_tokens: int | None = None,
        threads: int | None = None,
        progress: Progress = no_progress,
        on_notice: OnNotice = no_notice,  # noqa: ARG003 - not yet used
    ) -> "GgufModel":
        """Load a GGUF file.

        Args:
            path: The file.
            name: Name for people; by default that of the file.
            context_tokens: Longest prompt and reply together; by default 8,192 or what the model was trained for.
            threads: CPU threads; by default the number of cores.
            progress: Reports bytes loaded.
            on_notice: Receives a sentence each time the model has to reduce what it does.

        Raises:
            ModelError: The file cannot be read or run, or there is not enough memory.
            MissingExtraError: llama.cpp is not installed.
        """
        import os

        file = Path(path)
        metadata = read_metadata(file)
        name = name or file.stem
        if not metadata.chat_template:
            raise ModelError(
                f"{name} has no chat template, so it cannot hold a conversation: choose an instruct model."
            )
        context = context_tokens or min(DEFAULT_CONTEXT, metadata.context_tokens or DEFAULT_CONTEXT)
        _check_memory(metadata, context, name)
        progress(f"Loading {name}", 0, metadata.file_bytes)
        server = LlamaServer(file, ServerOptions(context, threads or os.cpu_count() or 1))
        progress(f"Loading {name}", metadata.file_bytes, metadata.file_bytes)
        return cls(server, metadata, ModelInfo(name, "cpu", metadata.quantization, context))

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        if stop.is_set():
            return Usage()
        request = self._request(messages) | to_request(options, self._recommended)
        reply = _Reply(self._max_prompt(options))
        for chunk in self._server.chunks(request, stop):
            if text := reply.add(chunk):
                yield text
        return reply.usage()

    def prepare(self, messages: Sequence[Message], stop: threading.Event) -> None:
        request = self._request(messages) | {"max_tokens": 1, "temperature": 0}
        reply = _Reply(self._max_prompt(GenerationOptions()))
        for chunk in self._server.chunks(request, stop):
            reply.add(chunk)

    def close(self) -> None:
        self._server.close()

    def _max_prompt(self, options: GenerationOptions) -> int:
        context = self.info.context_tokens
        return context - min(options.max_tokens, MIN_RESPONSE_TOKENS, context // 4)

    def _request(self, messages: Sequence[Message]) -> dict[str, Any]:
        return {
            "messages": [{"role": message.role, "content": self._content(message)} for message in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,
            "timings_per_token": True,
            "cache_prompt": True,
        }

    def _content(self, message: Message) -> str:
        texts = []
        for part in message.parts:
            match part:
                case Text():
                    texts.append(self._escape(part.text))
                case Image():
                    raise ModelError(f"{self.info.name} cannot see pictures: choose a vision-language model.")
                case Audio():
                    raise ModelError(f"{self.info.name} cannot listen to recordings: say it in words.")
        return "\n".join(texts)

    def _escape(self, text: str) -> str:
        """Insert a mark into everything in `text` that the tokenizer would parse as a special token."""
        # Repeated, because tokens may overlap, and breaking one can form another.
        while self._special.search(text):
            text = self._special.sub(lambda found: found[0][0] + _BREAK + found[0][1:], text)
        return text


class _Reply:
    """Text, token counts and times of one reply."""

    def __init__(self, max_prompt: int) -> None:
        self._max_prompt = max_prompt
        self._started = time.monotonic()
        self._first_token_seconds = 0.0
        self._prompt_tokens = self._cached_tokens = self._reply_tokens = self._reasoning_tokens = 0
        self._finish_reason: FinishReason = "stop"

    def add(self, chunk: dict[str, Any]) -> str:
        """Add a chunk and return its text. Raises `ContextOverflow` and `ModelError`."""
        if "error" in chunk:
            raise self._error(chunk["error"])
        if progress := chunk.get("prompt_progress"):
            self._prompt_tokens, self._cached_tokens = progress["total"], progress["cache"]
            if self._prompt_tokens > self._max_prompt:
                raise ContextOverflow(self._prompt_tokens, self._max_prompt)
            return ""
        if timings := chunk.get("timings"):
            self._reply_tokens = timings["predicted_n"]
        text = ""
        for choice in chunk.get("choices", ()):
            delta = choice["delta"]
            text += delta.get("content") or ""
            if delta.get("reasoning_content"):
                self._reasoning_tokens = self._reply_tokens
            if choice.get("finish_reason") == "length":
                self._finish_reason = "length"
        if self._reply_tokens and not self._first_token_seconds:
            self._first_token_seconds = time.monotonic() - self._started
        return text

    def usage(self) -> Usage:
        """Return the token counts and times so far."""
        return Usage(
            self._prompt_tokens,
            self._cached_tokens,
            self._reply_tokens,
            self._first_token_seconds,
            time.monotonic() - self._started,
            self._finish_reason,
            reasoning_tokens=self._reasoning_tokens,
        )

    def _error(self, error: dict[str, Any]) -> ModelError:
        if error.get("type") == "exceed_context_size_error":
            return ContextOverflow(int(error.get("n_prompt_tokens", 0)), self._max_prompt)
        return ModelError(f"llama.cpp cannot answer: {error.get('message', 'it gives no reason')}.")


def _check_memory(metadata: GgufMetadata, context: int, name: str) -> None:
    needed = metadata.file_bytes + context * metadata.kv_values * _KV_BYTES + _WORKSPACE_BYTES
    free = free_bytes("cpu")
    if needed > free:
        raise ModelError(
            f"{name} needs {needed / 2**30:.1f} GB of memory and {free / 2**30:.1f} GB are free: close other programs "
            "or choose a smaller model."
        )


def _pattern(tokens: frozenset[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)) or r"(?!)")
