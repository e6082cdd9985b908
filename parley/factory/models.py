"""Build language models and the clients that skills use to ask them."""

import threading
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import ConfigError, MissingExtraError, ModelError
from assistant.hardware import gpu_backend
from assistant.models.base import ChatModel
from assistant.progress import OnNotice, Progress, no_notice, no_progress
from parley.factory.bundled import (
    BUNDLED_MODELS,
    POCKET,
    POCKET_SMALL,
    assemble_pocket,
    choose_bundled,
    fetch_bundled,
    load_pocket,
)
from parley.factory.servers import SCRIPTED_MODEL, chosen_server, connect_model

if TYPE_CHECKING:
    from assistant.models.catalog import CatalogEntry
    from assistant.models.local.model import LocalModel
    from assistant.settings import Settings
    from skills.vision_model import VisionClient

# Torch and pydantic are imported where they are used, so that commands that need neither start at once.

# Most tokens of an image for GGUF models that take any resolution. On a CPU, a thousand take half a minute.
_IMAGE_TOKENS = {"low": 256, "auto": 1024, "high": None}
_MAX_TOKEN_DELAY = 3600
"""Longest delay of the scripted model, in seconds: `threading.Event.wait` overflows on much larger values."""


def build_model(settings: "Settings", progress: Progress = no_progress, on_notice: OnNotice = no_notice) -> ChatModel:
    """Load the model that `settings` select; download and assemble it first if needed.

    Blocks for seconds, and on first use for as long as the download takes.

    Args:
        settings: Model, device, quantization, backend.
        progress: Receives download and loading progress.
        on_notice: Receives notices about the choice, such as a fallback to the bundled model.

    Raises:
        ModelError: The model cannot be loaded.
        ConfigError: There can be no model of this name, or the settings contradict each other.
    """
    if is_remote(settings):
        return connect_model(settings, progress, on_notice)
    name, _, token_delay = settings.model.partition(":")
    if name == SCRIPTED_MODEL:
        return _build_scripted(settings.model, token_delay)

    if (found := _gguf_files(settings.model, progress)) is not None:
        from assistant.models.gguf.model import GgufModel

        file, projector = found
        tokens = _IMAGE_TOKENS[settings.detail]
        return GgufModel.load(
            file, projector=projector, max_image_tokens=tokens, progress=progress, on_notice=on_notice
        )

    source, quantize = settings.model, settings.quantize
    if source == "auto" and (entry := best_catalog_entry(settings)) is not None:
        progress(f"loading {entry.name}", 0, 0)
        try:
            return _load_local(settings, progress, on_notice, entry.name, quantize)
        except (ModelError, MissingExtraError) as error:
            # The hub is unreachable, or another process has taken the memory that was free.
            on_notice(f"{error} Until then the bundled model answers instead of {entry.name}.")
            # The quantization was chosen for the other model and may not suit the bundled one.
            quantize = "auto"
    if source == "auto" or source in BUNDLED_MODELS:
        return _load_bundled(settings, progress, on_notice, quantize)
    progress(f"loading {Path(source).name}", 0, 0)
    return _load_local(settings, progress, on_notice, source, quantize)


def _load_bundled(settings: "Settings", progress: Progress, on_notice: OnNotice, quantize: str) -> ChatModel:
    """Load the bundled model that `settings` name, or for "auto" the large one where memory allows and it can be had.

    Raises:
        ModelError: It cannot be loaded; of "auto" neither can, and the message tells both reasons.
    """

    def load_small() -> ChatModel:
        progress(f"loading {POCKET_SMALL}", 0, 0)
        return _load_local(settings, progress, on_notice, str(assemble_pocket(settings, progress)), quantize)

    chosen = choose_bundled(on_notice) if settings.model == "auto" else settings.model
    if chosen == POCKET_SMALL:
        return load_small()
    try:
        return load_pocket(settings, progress, on_notice)
    except (ModelError, MissingExtraError) as error:
        # Such as a machine without a network that has the small one already.
        if settings.model != "auto":
            raise
        reason = error
    try:
        model = load_small()
    except (ModelError, MissingExtraError) as error:
        # What helps one, such as some room on the disk, may not be enough for the other.
        raise ModelError(f"Neither bundled model can be loaded. {POCKET}: {reason} {POCKET_SMALL}: {error}") from error
    on_notice(f"{reason} Until then {POCKET_SMALL} answers.")
    return model


def _gguf_files(name: str, progress: Progress) -> "tuple[Path, Path | None] | None":
    """Return the GGUF file that a model's name means and its vision encoder if that is known, fetched if needed.

    None for another kind of model. Raises as `build_model` does.
    """
    from assistant.models.gguf.hub_files import fetch_gguf, parse_hub_name

    if (on_hub := parse_hub_name(name)) is not None:
        return fetch_gguf(on_hub, progress)
    file = _find_file(name)
    return None if file is None else (file, None)


def _find_file(name: str) -> Path | None:
    """Return the GGUF file that a model's name means, or None for another kind of model. Imports nothing heavy.

    Raises:
        ConfigError: There can be no model of this name.
    """
    from assistant.models.gguf.files import find_gguf
    from assistant.models.names import find_folder

    file = find_gguf(name)
    if file is None and name != "auto" and name not in BUNDLED_MODELS:
        find_folder(name)
    if file is not None and not file.exists():
        raise ConfigError(f"There is no file {file}: check the path.")
    return file


def _load_local(
    settings: "Settings", progress: Progress, on_notice: OnNotice, source: str, quantize: str
) -> "LocalModel":
    # Takes torch and transformers along, which take seconds and half a gigabyte: `pocket` starts without them.
    from assistant.models.local.model import LocalModel

    model = LocalModel.load(
        source,
        device=settings.device,
        quantize=quantize,
        compile=settings.compile,
        detail=settings.detail,
        progress=progress,
        on_notice=on_notice,
    )
    for notice in model.notices:
        on_notice(notice)
    return model


def _build_scripted(model_name: str, token_delay: str) -> ChatModel:
    from assistant.models.scripted import ScriptedModel

    try:
        seconds = float(token_delay or 0)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= _MAX_TOKEN_DELAY:
        raise ConfigError(f"The model {model_name} needs its seconds per token as a number, like scripted:0.1.")
    return ScriptedModel(token_seconds=seconds)


class ModelLoader:
    """Fetch and load models by name, for a session that changes its model."""

    def __init__(self, settings: "Settings", on_notice: OnNotice = no_notice) -> None:
        """Create a loader. `settings` decide everything but the name; `on_notice` is passed to `build_model`."""
        self._settings = settings
        self._on_notice = on_notice

    def fetch(self, name: str, progress: Progress = no_progress) -> None:
        """Download the model called `name` if it is not in the cache. Raises what `load` raises."""
        settings = self._settings_for(name)
        if is_remote(settings) or name == "auto" or name.partition(":")[0] == SCRIPTED_MODEL:
            return
        if name in BUNDLED_MODELS:
            fetch_bundled(name, settings, progress)
            return
        if _gguf_files(name, progress) is None:
            from assistant.models.local import checkpoint

            checkpoint.fetch_and_validate(name, progress)

    def load(self, name: str, progress: Progress = no_progress) -> ChatModel:
        """Load the model that `--model name` selects. Blocks and raises as `build_model` does."""
        return build_model(self._settings_for(name), progress, self._on_notice)

    def _settings_for(self, name: str) -> "Settings":
        return self._settings.model_copy(update={"model": name})


def is_remote(settings: "Settings") -> bool:
    """Return True if a server runs the model, and not this process. Raises `ConfigError` if settings name two."""
    return settings.backend == "remote" or chosen_server(settings) is not None


def selects_bundled_model(settings: "Settings") -> bool:
    """Return True if `build_model` will load a bundled model. Loads nothing. Raises `ConfigError` as it does."""
    if is_remote(settings):
        return False
    return settings.model in BUNDLED_MODELS or (settings.model == "auto" and best_catalog_entry(settings) is None)


def for_skills(settings: "Settings") -> "Settings":
    """Return `settings` with the model that skills ask: of the bundled ones the small one, which has what they need.

    It alone scores answers, runs in batches, and was calibrated for the skills.
    """
    return settings.model_copy(update={"model": POCKET_SMALL}) if selects_bundled_model(settings) else settings


def best_catalog_entry(settings: "Settings") -> "CatalogEntry | None":
    """Return the best model of the catalog that fits into free GPU memory, or None without a GPU or with a full one.

    Raises:
        ConfigError: There is no such device.
    """
    from assistant.models import catalog, memory

    # A chip of Apple shares the machine's memory with everything else, and llama.cpp runs the bundled model on it.
    if needs_no_gpu(settings) or (settings.device == "auto" and gpu_backend() == "mps"):
        return None
    from assistant.models.local.placement import choose_device

    placement = choose_device(settings.device, settings.quantize)
    if placement.device_type not in {"cuda", "xpu"}:
        return None
    return catalog.best_fit(memory.free_bytes(placement.device), placement.quantization)


def needs_no_gpu(settings: "Settings") -> bool:
    """Return True if the CPU is chosen, or there is nothing else. Asking torch takes seconds.

    Raises:
        ConfigError: The CPU does not support the quantization.
    """
    from assistant.models.quantization import choose_quantization

    if settings.device == "cpu" or (settings.device == "auto" and gpu_backend() is None):
        choose_quantization("cpu", settings.quantize)
        return True
    return False


def build_vision_client(settings: "Settings", progress: Progress = no_progress) -> "VisionClient":
    """Load the model that `settings` select and return a client for skills. Blocks and raises as `build_model` does."""
    return build_vision_clients(settings, threading.Event(), progress)[0]


def build_vision_clients(
    settings: "Settings",
    stop: threading.Event,
    progress: Progress = no_progress,
    on_notice: OnNotice = no_notice,
    *,
    workers: int | None = None,
    max_clients: int = 1,
) -> "list[VisionClient]":
    """Load the model that skills ask and return a client for each thread that may ask it at the same time.

    Args:
        settings: As for `build_model`.
        stop: Setting it ends every question in progress.
        progress: As for `build_model`.
        on_notice: As for `build_model`.
        workers: Number of clients; None for as many as suit the model.
        max_clients: Upper limit, such as the number of questions.

    Raises:
        ConfigError: Several workers are asked for, and the model answers one question at a time.
        ModelError: The model cannot be loaded.
    """
    from skills.batching import create_clients, supports_batching
    from skills.vision_model import VisionClient

    settings = for_skills(settings)
    model = build_model(settings, progress, on_notice)
    if supports_batching(model) and min(max_clients, workers or max_clients) > 1:
        return [*create_clients(model, stop, max_clients, workers)]
    count = min(max_clients, workers or 1)
    if count == 1:
        return [VisionClient(model, stop)]
    if is_remote(settings) or settings.model.partition(":")[0] == SCRIPTED_MODEL:
        # A copy costs nothing: it holds an address and no weights. `connect` asks the server only once.
        return [VisionClient(copy(model), stop) for _ in range(count)]
    model.close()
    raise ConfigError(f"The model {model.info.name} answers one question at a time: leave --jobs out.")
