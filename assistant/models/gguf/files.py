"""Find the GGUF file that a name given to `--model` means, and the vision encoder beside it."""

import os
import re
from contextlib import suppress
from pathlib import Path

from assistant.errors import ModelError, first_line
from assistant.models.gguf.metadata import read_projector

_SUFFIX = ".gguf"
# The part of a vision-language model that encodes images, which is no model of its own.
PROJECTOR = re.compile(r"mmproj", re.IGNORECASE)
"""Names of vision encoders."""
# Formats of a vision encoder, the best for a processor first: float32 is no better, and twice as large.
_FORMATS = ("q8_0", "f16", "bf16", "f32")
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
    models = [each for each in files if not PROJECTOR.search(each.name) and not _LATER_PART.search(each.name)]
    if len(models) > 1:
        names = ", ".join(each.name for each in models[:5])
        raise ModelError(f"{path} holds several models ({names}): choose one of these files.")
    return models[0] if models else None


def find_projector(model: Path, width: int) -> Path | None:
    """Return the vision encoder of `model` in the same folder, None if there is none.

    A folder may hold several, of other models or in other formats.

    Args:
        model: The model's file.
        width: Of its hidden states, which is that of what its encoder makes of an image.
    """
    try:
        names = [each for each in model.parent.iterdir() if each.suffix.lower() == _SUFFIX]
    except OSError:
        return None
    fitting = []
    for file in names:
        if PROJECTOR.search(file.name) and file != model:
            with suppress(ModelError):
                if read_projector(file).width == width:
                    fitting.append(file)
    return max(fitting, key=lambda file: likeness(file.name, model.name), default=None)


def likeness(projector: str, model: str) -> tuple[int, int, str]:
    """Return how well a vision encoder goes with a model: by their names, then by the format of its weights."""
    words = [set(re.findall(r"[a-z]+|\d+", name.lower())) - {"mmproj", "gguf"} for name in (projector, model)]
    format_ = next((rank for rank, word in enumerate(_FORMATS) if word in projector.lower()), len(_FORMATS))
    return len(words[0] & words[1]), -format_, projector
