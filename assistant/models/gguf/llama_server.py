"""llama.cpp in this process: a model file, and requests to it whose chunks come as they are computed.

`LlamaServer` owns threads of llama.cpp. A request runs on one more thread, which hands each chunk over; leaving the
iteration ends the request. llama.cpp wants to listen for HTTP: it gets a Unix socket in a private folder, which is
removed at once, so that nothing can connect.
"""

import os
import queue
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import MissingExtraError, ModelError, first_line

_TICK_SECONDS = 0.05
"""Time after which a stop is noticed while no chunk comes."""
_PREFILL_CHUNK = 128
"""Tokens that are prefilled at once: a stop waits for that long, 2 s with 1.5 billion parameters on two cores."""
_IMAGE_CHUNK = 1024
"""The same for models that see. Gemma needs the tokens of an image, up to 280, in one piece."""
_CACHE_MIB = 256
"""Memory for the prompts of earlier conversations, beside the current one."""
_SILENT = -1
_ALL_OPTIONS = 2**31 - 1


@dataclass(frozen=True)
class ServerOptions:
    """How a model runs.

    Attributes:
        context_tokens: Longest prompt and reply together.
        threads: CPU threads that decode.
        prefill_threads: CPU threads that process the prompt.
        projector: File with the vision encoder, None for a model without one.
        max_image_tokens: Most tokens of an image, for encoders that take any resolution; None leaves it to the model.
    """

    context_tokens: int
    threads: int
    prefill_threads: int
    projector: Path | None = None
    max_image_tokens: int | None = None


class LlamaServer:
    """One model in llama.cpp. Requests come from one thread at a time."""

    def __init__(self, file: Path, options: ServerOptions) -> None:
        """Load `file`. Blocks for a second per gigabyte. Raises `ModelError` and `MissingExtraError`."""
        self.options = options
        self._file = file
        self._server: Any = _start(file, options)
        self._process = os.getpid()
        self._request: _Request | None = None
        self.is_interrupted = False
        """True if `interrupt` has ended the latest request."""

    def chunks(self, request: dict[str, Any], stop: threading.Event) -> Generator[dict[str, Any], None, None]:
        """Yield the chunks of the reply to `request`, in the format of OpenAI's chat completions.

        Ends soon after `stop` is set, even while the prompt is prefilled. llama.cpp may then still be busy for a
        moment; the next request waits for it.
        """
        if self._process != os.getpid():
            # The threads of llama.cpp stayed in the other process: a request would wait for ever.
            raise ModelError("The model was loaded by another process: load it in this one.")
        self._finish()
        if self.is_closed:
            raise ModelError("The model has been closed: load it again.")
        if stop.is_set():
            return
        self.is_interrupted = False
        running = self._request = _Request(self._server, request)
        try:
            while not stop.is_set():
                try:
                    chunk = running.chunks.get(timeout=_TICK_SECONDS)
                except queue.Empty:
                    continue
                if chunk is None:
                    break
                yield chunk
        finally:
            running.cancelled.set()
        if running.error is not None and not stop.is_set():
            raise _refused(running.error)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the whole answer to a short `request`, which cannot be ended early. Raises `ModelError`."""
        self._finish()
        try:
            response: dict[str, Any] = self._server.handle_chat_completions(request)
        except RuntimeError as error:
            raise _refused(error) from error
        return response

    @property
    def is_closed(self) -> bool:
        """True after `close`."""
        return self._server is None

    def interrupt(self) -> None:
        """End the current request after the token that is being computed. May be called from any thread."""
        running = self._request
        if running is not None:
            self.is_interrupted = True
            running.cancelled.set()

    def restart(self, options: ServerOptions) -> None:
        """Load the file again with other options, or with the same if that fails. Does nothing if the file is gone.

        Raises `ModelError` if it cannot be loaded at all, and is closed then.
        """
        if not self._file.is_file():
            return
        self.close()
        try:
            self._server = _start(self._file, options)
        except ModelError:
            options = self.options
            self._server = _start(self._file, options)
        self.options = options

    def close(self) -> None:
        """Free the model. Idempotent."""
        self._finish()
        self._server = None

    def _finish(self) -> None:
        running, self._request = self._request, None
        if running is not None:
            running.cancelled.set()
            running.thread.join()


class _Request:
    """A request on a thread of its own. `chunks` ends with None."""

    def __init__(self, server: Any, request: dict[str, Any]) -> None:
        self.chunks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.cancelled = threading.Event()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, args=(server, request), name="llama.cpp request")
        self.thread.start()

    def _run(self, server: Any, request: dict[str, Any]) -> None:
        try:
            server.handle_chat_completions(request, self._receive)
        except Exception as error:  # noqa: BLE001 - raised where the chunks are read
            self.error = error
        finally:
            self.chunks.put(None)

    def _receive(self, chunk: dict[str, Any]) -> bool:
        self.chunks.put(chunk)
        return self.cancelled.is_set()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _refused(error: Exception) -> ModelError:
    return ModelError(f"llama.cpp cannot answer: {first_line(error)}.")


def _start(file: Path, options: ServerOptions) -> Any:
    xllamacpp = _import_llama()
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    # Read, not mapped: 1.4 GB are resident instead of 2.0, since most weights are copied into another order anyway, and
    # a file that is cut short meanwhile does not crash this process.
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
    params.n_ctx = options.context_tokens
    params.n_parallel = 1
    params.n_batch = params.n_ubatch = _PREFILL_CHUNK if options.projector is None else _IMAGE_CHUNK
    if options.projector is not None:
        params.mmproj.path = str(options.projector)
        params.image_max_tokens = options.max_image_tokens or -1
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.prefill_threads
    params.cache_ram_mib = _CACHE_MIB
    params.verbosity = _SILENT
    params.warmup = False
    # Requests say how to sample, and `metadata` reads what a file recommends. llama.cpp would take any value of it, and
    # end the process for some.
    params.sampling.user_sampling_config = _ALL_OPTIONS
    params.ui = params.endpoint_slots = params.endpoint_metrics = params.endpoint_props = False
    with tempfile.TemporaryDirectory(prefix="llama-") as folder:
        params.hostnames = [str(Path(folder) / "socket.sock")]
        try:
            server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ModelError(
                f"llama.cpp cannot load {file}: the file is damaged or newer than this version."
            ) from error
    # Its threads begin after the constructor returns, and a model that is freed before they do waits for them for ever.
    server.handle_completions({"prompt": "a", "max_tokens": 1})
    return server


@contextmanager
def _default_spinning() -> Iterator[None]:
    """Let libgomp spin at barriers as long as it wants to if it is loaded now.

    `assistant.models` sets a short time, for torch beside busy programs. With it, two threads on two idle cores write
    21 tokens a second instead of 25 to 27 (1.5 billion parameters, 2026-11-30).
    """
    spinning = os.environ.pop("GOMP_SPINCOUNT", None)
    try:
        yield
    finally:
        if spinning is not None:
            os.environ["GOMP_SPINCOUNT"] = spinning


def _import_llama() -> Any:
    # Where llama.cpp ends the process, it would start a debugger, which prints a hundred lines.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    try:
        try:
            with _default_spinning():
                import xllamacpp
        except ImportError as error:
            if "libgomp" not in str(error):
                raise
            # Slim systems lack it. torch brings one, and a library that is loaded already is found by its name.
            import torch  # noqa: F401
            import xllamacpp
    except ImportError as error:
        raise MissingExtraError(
            f"GGUF models need llama.cpp, which cannot be loaded here ({first_line(error)}): install xllamacpp."
        ) from error
    return xllamacpp
