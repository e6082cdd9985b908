"""Say on a machine without a GPU which model of the catalogue would fit it, and what it would bring."""

from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from assistant.formatting import format_bytes
from assistant.progress import OnNotice
from parley.factory.bundled import BUNDLED_MODELS

if TYPE_CHECKING:
    from assistant.models.catalog import CatalogEntry
    from assistant.settings import Settings

_MAX_PARAMETERS = 5 * 10**9
"""Larger models take seconds for each token on a processor."""
_SAID_FILE = "model-recommended"
"""File in the data folder that keeps the first start from being the first again."""


def recommend(settings: "Settings") -> "CatalogEntry | None":
    """Return the largest model that fits the free memory of a machine without a GPU, and that the hub has.

    None where a GPU or a server answers, where another model is chosen, where the model is downloaded already, and
    where the hub is not in reach.
    """
    from huggingface_hub import constants

    from assistant.models import hub
    from parley.factory.models import is_remote, needs_no_gpu

    if is_remote(settings) or settings.model not in ("auto", *BUNDLED_MODELS) or not needs_no_gpu(settings):
        return None
    entry = largest_that_fits()
    if entry is None or constants.HF_HUB_OFFLINE or hub.cached_folder(entry.repository, entry.revision) is not None:
        return None
    return entry if hub.answers(constants.ENDPOINT) else None


def largest_that_fits() -> "CatalogEntry | None":
    """Return the largest model of the catalogue that a processor runs at a bearable speed in the free memory."""
    from assistant.models import catalog
    from assistant.models.memory import RESERVED_FRACTION, free_bytes

    usable = free_bytes("cpu") * (1 - RESERVED_FRACTION)
    fitting = [
        entry
        for entry in catalog.CATALOG
        if entry.auto_selectable
        and entry.profile.num_parameters <= _MAX_PARAMETERS
        and entry.memory_bytes("int8", "cpu") <= usable
    ]
    return max(fitting, key=lambda entry: entry.profile.num_parameters, default=None)


def describe(entry: "CatalogEntry") -> str:
    """Return a sentence about a model: what it takes, what it brings, and the command that chooses it."""
    memory = entry.memory_bytes("int8", "cpu")
    missing = [package for package in entry.required_packages if find_spec(package) is None]
    first = "`pip install 'parley-assistant[gpu]'` and then " if missing else ""
    return (
        f"{entry.name} would fit this machine, too: it looks at pictures itself instead of being told about them in "
        f"words, and answers more slowly without a GPU. It takes {format_bytes(memory)} of memory and "
        f"{format_bytes(entry.download_bytes)} to download: {first}`parley models use {entry.name}`."
    )


def recommend_once(settings: "Settings", on_notice: OnNotice) -> None:
    """Tell `on_notice` at the first start, and never again, which model would fit."""
    from assistant.atomic_files import make_private_folder, write_atomically

    said = settings.data_dir / _SAID_FILE
    # Nobody misses the hint where the folder cannot be written to.
    with suppress(OSError):
        if settings.model not in ("auto", *BUNDLED_MODELS) or said.exists():
            return
        make_private_folder(settings.data_dir)
        write_atomically(said, b"")
        if (entry := recommend(settings)) is not None:
            on_notice(describe(entry))
