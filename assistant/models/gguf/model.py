"""Run a language model or a vision-language model in GGUF files: messages in, chunks of the reply out."""

import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from assistant.errors import ModelError
from assistant.events import Usage
from assistant.formatting import format_bytes
from assistant.messages import Message
from assistant.models.base import MIN_RESPONSE_TOKENS, GenerationOptions, ModelInfo, ReplyItem
from assistant.models.gguf.files import find_projector
from assistant.models.gguf.llama_server import LlamaServer, ServerOptions, available_cores
from assistant.models.gguf.metadata import GgufMetadata, read_metadata, read_projector
from assistant.models.gguf.reply import Reply, token_logprobs
from assistant.models.gguf.requests import RequestBuilder, continuation, forced_reply
from assistant.models.gguf.sampling import recommended, to_request
from assistant.models.gguf.template import check_template, opens_reasoning
from assistant.models.gguf.vocabulary import Vocabulary
from assistant.models.memory import DEFAULT_CONTEXT, MIN_CONTEXT, free_bytes
from assistant.models.think_tags import opened
from assistant.progress import OnNotice, Progress, no_notice, no_progress

_KV_BYTES = 2
_WORKSPACE_BYTES = 300 * 2**20
_TICK_SECONDS = 0.05
_SAMPLE_SECONDS = 0.2


class GgufModel:
    """A chat model that llama.cpp runs in this process.

    It is a `Scorer`, `PromptPreparer`, `PausableModel` and `CoreSharer` as well.
    """

    def __init__(self, server: LlamaServer, metadata: GgufMetadata, info: ModelInfo) -> None:
        self.info = info
        self._server = server
        self._alone = self._wanted = server.options
        self._recommended = recommended(metadata)
        self._requests = RequestBuilder(info.name, metadata.special_tokens, sees=server.options.projector is not None)
        self._metadata = metadata
        self._running = threading.Event()
        """Not set while the reply is paused."""

    @property
    def defaults(self) -> GenerationOptions:
        values: dict[str, Any] = dict(self._recommended)
        return GenerationOptions(**values | ({"top_k": int(values["top_k"])} if "top_k" in values else {}))

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        projector: str | Path | None = None,
        name: str | None = None,
        context_tokens: int | None = None,
        threads: int | None = None,
        max_image_tokens: int | None = None,
        progress: Progress = no_progress,
        on_notice: OnNotice = no_notice,
    ) -> "GgufModel":
        """Load a GGUF file.

        Args:
            path: The file.
            projector: File with its vision encoder; by default the "mmproj" file that fits, in the same folder.
            name: Name for people; by default that of the file.
            context_tokens: Longest prompt and reply together; by default 8,192, or less if the model was trained so.
            threads: CPU threads; by default one for each core that is free, see `free_cores`.
            max_image_tokens: Most tokens of an image, for encoders that take any resolution.
            progress: Receives what is being loaded.
            on_notice: Receives a sentence if little memory makes the context shorter.

        Raises:
            ModelError: The file cannot be read or run, or there is not enough memory.
            MissingExtraError: llama.cpp cannot be imported.
        """
        file = Path(path)
        metadata = read_metadata(file)
        name = name or file.stem
        check_template(metadata.chat_template, name)
        # llama.cpp itself goes no further than the training.
        wanted = min(context_tokens or DEFAULT_CONTEXT, metadata.context_tokens or DEFAULT_CONTEXT)
        encoder = Path(projector) if projector else find_projector(file, metadata.width)
        encoder_bytes = read_projector(encoder).file_bytes if encoder else 0
        context = _affordable_context(metadata, wanted, name, encoder_bytes)
        if context < wanted:
            on_notice(f"Memory is short: {name} remembers {context} tokens of a conversation instead of {wanted}.")
        # llama.cpp does not say how far it is.
        progress(f"loading {name}", 0, 0)
        cores = threads or free_cores()
        server = LlamaServer(file, ServerOptions(context, cores, cores, encoder, max_image_tokens))
        return cls(server, metadata, ModelInfo(name, "cpu", metadata.quantization, context))

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[ReplyItem, None, Usage]:
        self._begin()
        reply = Reply(self._max_prompt(options))
        items = self._items(messages, options, reply, stop)
        template = self._metadata.chat_template
        if opens_reasoning(template, reasoning=options.reasoning != "off"):
            items = opened(items)
        yield from items
        return reply.usage()

    def _items(
        self, messages: Sequence[Message], options: GenerationOptions, reply: Reply, stop: threading.Event
    ) -> Iterator[ReplyItem]:
        request = self._requests.build(messages) | to_request(options, self._recommended)
        part: dict[str, Any] = request
        while not stop.is_set():
            for chunk in self._server.chunks(part, stop):
                if not self._running.is_set():
                    # Paused before there was this request.
                    self._server.interrupt()
                yield from reply.add(chunk)
            if reply.is_finished or not self._server.is_interrupted or not self._wait_until_resumed(stop):
                break
            part = continuation(request, reply)

    def prepare(self, messages: Sequence[Message], stop: threading.Event) -> None:
        self._begin()
        reply = Reply(self._max_prompt(GenerationOptions()))
        request = self._requests.build(messages) | to_request(GenerationOptions(max_tokens=1, temperature=0), {})
        for chunk in self._server.chunks(request, stop):
            reply.add(chunk)

    def score(
        self, messages: Sequence[Message], candidates: Sequence[str], stop: threading.Event
    ) -> list[tuple[float, ...]]:
        replies = [self._vocabulary.tokenize(candidate) for candidate in candidates]
        # Prefilled first, because this can be stopped.
        self.prepare(messages, stop)
        scores: list[tuple[float, ...]] = []
        for reply in replies:
            if stop.is_set():
                return []
            answer = self._server.answer(self._requests.build(messages) | forced_reply(reply))
            scores.append(token_logprobs(answer))
        return scores

    def pause(self, *, paused: bool) -> None:
        if paused:
            self._running.clear()
            # llama.cpp has no pause: the request ends, and another one continues the reply.
            self._server.interrupt()
        else:
            self._running.set()

    def share_cores(self, *, shared: bool) -> None:
        fewer = max(min(self._alone.threads, available_cores() - 1), 1)
        self._wanted = replace(self._alone, threads=fewer) if shared else self._alone

    def close(self) -> None:
        self._server.close()

    def _begin(self) -> None:
        """Prepare for a request: it is not paused, and runs on the threads that are wanted."""
        self._running.set()
        wanted = self._wanted
        if wanted != self._server.options and not self._server.is_closed:
            # llama.cpp cannot change them while a model is loaded.
            self._server.restart(wanted)
            self._wanted = self._server.options

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self._metadata.tokenizer, self._metadata.tokens, self._metadata.special_tokens)

    def _wait_until_resumed(self, stop: threading.Event) -> bool:
        """Wait while the reply is paused. Return False if `stop` is set meanwhile, or if the model has been closed."""
        while not stop.is_set() and not self._server.is_closed:
            if self._running.wait(_TICK_SECONDS):
                return True
        return False

    def _max_prompt(self, options: GenerationOptions) -> int:
        """Return the longest prompt that leaves room for a reply."""
        context = self.info.context_tokens
        return context - min(options.max_tokens, MIN_RESPONSE_TOKENS, context // 4)


def free_cores() -> int:
    """Return the number of cores that other programs leave free at this moment, at least 1.

    Threads that decode wait for each other some hundred times a token. On two cores, tokens a second of 1.5 billion
    parameters (2026-11-30): two threads 27, beside a busy program 9; one thread 17, beside a busy program 16. So do
    those that process the prompt: while several programs ran, a short question took two threads 6.4 s and one 1.0 s,
    and 110 tokens 8.3 and 5.7 s.
    """
    process = psutil.Process()
    own = sum(process.cpu_times()[:2])
    used = psutil.cpu_percent(_SAMPLE_SECONDS) / 100 * (psutil.cpu_count() or 1)
    own = (sum(process.cpu_times()[:2]) - own) / _SAMPLE_SECONDS
    # Less than seven tenths of a core is no busy program.
    return max(available_cores() - int(max(used - own, 0) + 0.3), 1)


def _affordable_context(metadata: GgufMetadata, wanted: int, name: str, encoder_bytes: int) -> int:
    """Return the longest context up to `wanted` tokens that fits into free memory, at least `MIN_CONTEXT`.

    Raises `ModelError` if not even that fits: the machine would begin to swap, or end some program.
    """
    free = free_bytes("cpu")
    fixed = metadata.file_bytes + encoder_bytes + _WORKSPACE_BYTES
    token_bytes = metadata.kv_values * _KV_BYTES or 1
    context = min(wanted, (free - fixed) // token_bytes)
    if context < min(wanted, MIN_CONTEXT):
        needed = fixed + min(wanted, MIN_CONTEXT) * token_bytes
        raise ModelError(
            f"{name} needs {format_bytes(needed)} of memory and {format_bytes(free)} are free: close other programs or "
            "choose a smaller model."
        )
    return context
