"""Say on a machine without a GPU which model would fit it, and what it would bring."""

from contextlib import suppress
from typing import TYPE_CHECKING

from assistant.errors import ModelError
from assistant.formatting import format_bytes
from assistant.progress import OnNotice
from parley.factory.bundled import BUNDLED_MODELS

if TYPE_CHECKING:
    from assistant.models.gguf.recommended import RecommendedGguf
    from assistant.settings import Settings

RECOMMENDED = "recommended"
"""Name that `parley models use` takes for the model that fits this machine."""
_SAID_FILE = "model-recommended"
"""File in the data folder that keeps the first start from being the first again."""


def recommend(settings: "Settings") -> "RecommendedGguf | None":
    """Return the largest model that fits the free memory of a machine without a GPU, and that the hub has.

    None where a GPU or a server answers, where another model is chosen, where the model is downloaded already, and
    where the hub is not in reach.
    """
    from huggingface_hub import constants

    from assistant.models import hub
    from assistant.models.gguf.hub_files import cached_gguf, parse_hub_name
    from parley.factory.models import is_remote, needs_no_gpu

    if is_remote(settings) or settings.model not in ("auto", *BUNDLED_MODELS) or not needs_no_gpu(settings):
        return None
    model = largest_that_fits()
    if model is None or constants.HF_HUB_OFFLINE:
        return None
    name = parse_hub_name(model.name)
    assert name is not None
    if cached_gguf(name) is not None:
        return None
    return model if hub.answers(constants.ENDPOINT) else None


def largest_that_fits() -> "RecommendedGguf | None":
    """Return the largest vision-language model that a processor runs at a bearable speed in the free memory."""
    from assistant.models.gguf.recommended import largest_within
    from assistant.models.memory import RESERVED_FRACTION, free_bytes

    return largest_within(free_bytes("cpu") * (1 - RESERVED_FRACTION))


def recommended_name(settings: "Settings") -> str:
    """Return the name of the model that `recommended` means on this machine: on a GPU that is "auto".

    Raises:
        ModelError: None fits into the free memory.
    """
    from parley.factory.models import needs_no_gpu

    if not needs_no_gpu(settings):
        return "auto"
    model = largest_that_fits()
    if model is None:
        raise ModelError("No vision-language model fits the free memory: the bundled model remains the best choice.")
    return model.name


def describe(model: "RecommendedGguf") -> str:
    """Return a sentence about a model: what it takes, what it brings, and the command that chooses it."""
    short_name = model.name.rpartition("/")[2]
    return (
        f"{short_name} would fit this machine, too: it looks at pictures itself instead of being told "
        f"about them in words, and answers more slowly without a GPU. It takes {format_bytes(model.memory_bytes)} of "
        f"memory and {format_bytes(model.download_bytes)} to download: `parley models use {RECOMMENDED}`."
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
        if (model := recommend(settings)) is not None:
            on_notice(describe(model))
