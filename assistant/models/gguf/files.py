"""Find the GGUF file that a name given to `--model` means."""

import os
import re
from pathlib import Path

from assistant.errors import ModelError, first_line

_SUFFIX = ".gguf"
# The part of a vision-language model that encodes images, which is no model of its own.
_PROJECTOR = re.compile(r"mmproj", re.IGNORECASE)
# llama.cpp finds the other parts of a split model beside the first.
_LATER_PART = re.compile(r"-(?!0*1-)\d+-of-\d+\.gguf$", re.IGNORECASE)


def find_gguf(name: str) -> Path | None:
    """Return the GGUF file that `name` means, or None if it means another kind of model.

    That is a file that ends in .gguf, whether it exists or not, or the only such model in a folder that holds no
    config.json.

    Raises:
        ModelError: There are several in the folder, or it cannot be read.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() == _SUFFIX:
        return path
    # `Path.is_dir` raises an error for a name that no file can have.
    if not os.path.isdir(path) or os.path.exists(path / "config.json"):  # noqa: PTH110, PTH112
        return None
    try:
        files = sorted(each for each in path.iterdir() if each.suffix.lower() == _SUFFIX)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {first_line(error)}.") from error
    models = [each for each in files if not _PROJECTOR.search(each.name) and not _LATER_PART.search(each.name)]
    if len(models) > 1:
        names = ", ".join(each.name for each in models[:5])
        raise ModelError(f"{path} holds several models ({names}): choose one of these files.")
    return models[0] if models else None
