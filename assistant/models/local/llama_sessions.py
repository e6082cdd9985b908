"""Open onnxruntime's sessions of a Llama, from its weights or from graphs that were kept.

Quantizing the bundled model takes seconds and its weights in float32 take half a gigabyte. So its graphs are kept in
its folder, 240 MB, and later loads read no weights of its layers:

    graph-<key>-head.bin, graph-<key>-layers.bin, graph-<key>-adapted.bin      SHA-256 of the graph, the graph

The key stands for the files that the graphs were made of, the format and the processor. What is missing, damaged or of
another key is built again.
"""

import ctypes
import hashlib
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from assistant.atomic_files import replace_file
from assistant.models.local.llama_graph import head_graph, layers_graph, max_exact_weight, open_session
from assistant.models.local.lora import LoraAdapter

HEAD, LAYERS, ADAPTED = "head", "layers", "adapted"
"""Graphs of a Llama: output layer, layers, and layers with the adapter."""

Sessions = Callable[[str], Any]
"""Returns the session of one of these graphs."""
GraphBuilder = Callable[[str], bytes]
"""Builds one of these graphs."""

_FORMAT = 1
"""To be raised when `llama_graph` builds another graph of the same weights."""
_SOURCES = ("config.json", "*.safetensors")
_DIGEST_BYTES = hashlib.sha256().digest_size


def graph_builder(
    decoder: Any,
    head: Tensor,
    adapter: LoraAdapter | None,
    *,
    quantized: bool,
    on_layer: Callable[[], None] = lambda: None,
) -> GraphBuilder:
    """Return a function that builds graphs from the weights of transformers' modules.

    Args:
        decoder: A `LlamaModel`.
        head: Weight of the output layer (vocab_size, hidden_size).
        adapter: The adapter of `ADAPTED`.
        quantized: True for int8 weights.
        on_layer: Called after each layer of `LAYERS`.

    Raises:
        ModelError: `adapter` does not fit the model.
    """
    if adapter is not None:
        adapter.validate(decoder)

    def build(name: str) -> bytes:
        if name == HEAD:
            return head_graph(decoder, head, quantized=quantized)
        if name == LAYERS:
            return layers_graph(decoder, None, quantized=quantized, on_layer=on_layer)
        return layers_graph(decoder, adapter, quantized=quantized)

    return build


def graph_names(*, has_adapter: bool) -> tuple[str, ...]:
    """Return the names of a Llama's graphs."""
    return (HEAD, LAYERS, ADAPTED) if has_adapter else (HEAD, LAYERS)


def open_all(build: GraphBuilder, num_threads: int, *, has_adapter: bool) -> Sessions:
    """Open every session now, so that nothing holds the weights afterwards."""
    return {name: open_session(build(name), num_threads) for name in graph_names(has_adapter=has_adapter)}.__getitem__


class KeptSessions:
    """Sessions of graphs that are kept in a folder, each opened when it is first needed. Several threads may share it.

    Most conversations with the bundled model have an image, or none: of the two graphs of its layers, 110 MB each, one
    is in memory.
    """

    def __init__(
        self, folder: Path, read_weights: Callable[[], GraphBuilder], num_threads: int, *, has_adapter: bool
    ) -> None:
        """Create sessions that are not open yet.

        Args:
            folder: The model's folder. Where it cannot be written, graphs are built each time.
            read_weights: Reads the weights, where a graph has to be built.
            num_threads: Threads of each session.
            has_adapter: True if there is `ADAPTED`.
        """
        self._names = graph_names(has_adapter=has_adapter)
        self._folder = folder
        self._read_weights = read_weights
        self._num_threads = num_threads
        self._key = _key(folder)
        self._open: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str) -> Any:
        """Return the session of a graph. Raises what reading the weights raises, if the graph has to be built."""
        with self._lock:
            if name not in self._open:
                graph = _read(self._path(name)) or self._build(name)
                self._open[name] = open_session(graph, self._num_threads)
                del graph
                _return_free_memory()
            return self._open[name]

    def _build(self, wanted: str) -> bytes:
        """Build and keep every graph that is missing, because reading the weights takes longest. Return one of them."""
        build = self._read_weights()
        self._remove_outdated()
        graph = b""
        for name in self._names:
            if name == wanted or not self._path(name).exists():
                built = build(name)
                # A full disk, or a folder of somebody else.
                with suppress(OSError), replace_file(self._path(name)) as file:
                    file.write(hashlib.sha256(built).digest())
                    file.write(built)
                graph = built if name == wanted else graph
        return graph

    def _path(self, name: str) -> Path:
        return self._folder / f"graph-{self._key}-{name}.bin"

    def _remove_outdated(self) -> None:
        for path in self._folder.glob("graph-*.bin"):
            if not path.name.startswith(f"graph-{self._key}-"):
                with suppress(OSError):
                    path.unlink()


def _key(folder: Path) -> str:
    """Return a digest of names, sizes and times of the files that graphs are made of."""
    stated = [(path.name, path.stat()) for pattern in _SOURCES for path in sorted(folder.glob(pattern))]
    files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stated]
    return hashlib.sha256(repr((_FORMAT, max_exact_weight(), files)).encode()).hexdigest()[:12]


def _read(path: Path) -> bytes | None:
    """Return the graph in a file, None if there is no whole one."""
    try:
        with path.open("rb") as file:
            digest, graph = file.read(_DIGEST_BYTES), file.read()
    except OSError:
        return None
    return graph if hashlib.sha256(graph).digest() == digest else None


def _return_free_memory() -> None:
    """Give memory that was freed back to the system: glibc keeps 55 of the 110 MB that reading a graph takes."""
    if sys.platform == "linux":
        # Other C libraries do not have it.
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)
