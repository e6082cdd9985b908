"""Servers and batch APIs that run models, and the names by which they know them."""

from typing import TYPE_CHECKING

from assistant.errors import ConfigError
from parley.factory.bundled import BUNDLED_MODELS

if TYPE_CHECKING:
    from assistant.settings import Settings


def batch_model(settings: "Settings") -> str:
    """Return the name under which a batch API knows the model that `settings` select. Connects to nothing.

    Raises:
        ConfigError: The settings name no model, or one that only Parley has.
    """
    from assistant.models import catalog

    if settings.model in ("auto", *BUNDLED_MODELS) or settings.model.partition(":")[0] == "scripted":
        raise ConfigError(
            "A batch file needs the name of the model that will answer it: give it with --model, as in "
            "--model Qwen/Qwen3-VL-8B-Instruct."
        )
    entry = catalog.find(settings.model)
    return settings.model if entry is None else entry.repository
