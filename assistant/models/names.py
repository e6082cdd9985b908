"""Names of models as `--model` takes them: checked before torch and transformers are imported, which takes seconds."""

import os
import re
from pathlib import Path

from assistant.attachments.file_lookup import expand_user
from assistant.config_file import closest_name
from assistant.errors import ConfigError
from assistant.models import catalog
from assistant.text_cleaning import clean_line

BUNDLED = ("pocket", "pocket-small")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def find_folder(source: str) -> Path | None:
    """Return the local folder that `source` names, None for a name in the catalog or a hub id.

    Raises:
        ConfigError: It names neither.
    """
    folder = expand_user(source)
    # Not the methods of `Path`, which raise errors for names that no file can have.
    if source and os.path.isdir(folder):  # noqa: PTH112
        return folder
    if source and os.path.lexists(folder):
        raise ConfigError(f"{source} is a file: name the folder of a model, with its config.json in it.")
    if catalog.find(source) or (_HUB_ID.fullmatch(source) and not source.startswith(".")):
        return None
    raise unknown_model(source)


def unknown_model(name: str) -> ConfigError:
    """Return the error for a name that no model can have."""
    close = closest_name(name, ("auto", *BUNDLED, *(entry.name for entry in catalog.CATALOG)))
    hint = f" Did you mean {close}?" if close else ""
    return ConfigError(
        f"There is no model {clean_line(name, len(name) + 1)}: choose one that `parley models` lists, a folder, a GGUF "
        f"file, an id on the hub, like owner/name, or hub:owner/name for a GGUF model there.{hint}"
    )
