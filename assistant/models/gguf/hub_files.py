"""Fetch a GGUF model from the hub: one of its quantizations, and its vision encoder if it has one.

    hub:owner/name:Q4_K_M ─▶ list of files ─▶ mmproj, then the model, in one part or several ─▶ cache

What is in the cache is used without a request to the hub.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant.errors import ConfigError, ModelError
from assistant.models import hub
from assistant.models.gguf.files import PROJECTOR, likeness
from assistant.progress import Progress
from assistant.text_cleaning import clean_line

PREFIX = "hub:"
"""Begins the name of a GGUF model on the hub: "hub:owner/name" or "hub:owner/name:Q4_K_M"."""

_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?::([\w.-]+))?")
_QUANTIZATION = re.compile(r"(?<![A-Za-z0-9])((?:UD-)?I?Q\d\w*|B?F16|F32|MXFP4\w*)(?![A-Za-z0-9])", re.IGNORECASE)
_PART = re.compile(r"-(\d+)-of-(\d+)$")
# The first of these that a model has: 4 bits lose little, and fit where a model of their size is wanted.
_PREFERRED = ("Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "Q4_0", "IQ4_XS", "IQ4_NL", "MXFP4", "Q5_K_M", "Q6_K", "Q8_0")
_REVISION = "main"
# Fetched first, so that the client makes a snapshot.
_SMALL_FILES = ["*.json", "README.md"]


@dataclass(frozen=True)
class HubName:
    """A GGUF model on the hub; `quantization` is empty if any will do."""

    repository: str
    quantization: str = ""


@dataclass(frozen=True)
class HubFiles:
    """Names of the files of a model in its repository. Of several parts, llama.cpp wants the first."""

    model: tuple[str, ...]
    projector: str | None = None


def parse_hub_name(name: str) -> HubName | None:
    """Return the model that `name` means, None if it is no name of this kind. Raises `ConfigError` if it is invalid."""
    if not name.startswith(PREFIX):
        return None
    found = _NAME.fullmatch(name.removeprefix(PREFIX))
    if found is None:
        raise ConfigError(
            f"{clean_line(name, 80)} is no GGUF model on the hub: name one like hub:owner/name or "
            "hub:owner/name:Q4_K_M."
        )
    return HubName(found[1], found[2] or "")


def choose_files(name: HubName, sizes: Mapping[str, int]) -> HubFiles:
    """Choose the files of a model among those of its repository.

    Args:
        name: The model.
        sizes: Bytes of each file, by its name.

    Raises:
        ModelError: There is no GGUF file, or none of this quantization.
    """
    models: dict[str, list[str]] = {}
    projectors: list[str] = []
    for file in sorted(sizes):
        if not file.lower().endswith(".gguf"):
            continue
        if PROJECTOR.search(file):
            projectors.append(file)
        else:
            models.setdefault(_quantization(file), []).append(file)
    models = {quantization: _one_model(files) for quantization, files in models.items()}
    if not models:
        raise ModelError(f"{name.repository} has no GGUF files: choose another model.")
    chosen = _choose(name, models, sizes)
    projector = max(projectors, key=lambda file: likeness(Path(file).name, Path(chosen[0]).name), default=None)
    return HubFiles(tuple(chosen), projector)


def fetch_gguf(name: HubName, progress: Progress) -> tuple[Path, Path | None]:
    """Return the model and its vision encoder in the cache, downloading what is missing. Raises `ModelError`.

    An interrupted download is kept, and a later call resumes it.
    """
    from huggingface_hub import get_cached_repo_tree, snapshot_download

    if (found := cached_gguf(name)) is not None:
        return found
    with hub.translate_errors(name.repository, _REVISION):
        hub.ask_hub(name.repository, _REVISION, progress)
        folder = Path(
            snapshot_download(
                name.repository,
                revision=_REVISION,
                allow_patterns=_SMALL_FILES,
                tqdm_class=hub.progress_bar(lambda _: None),
            )
        )
        sizes = {file.path: file.size for file in get_cached_repo_tree(name.repository, revision=folder.name)}
        files = choose_files(name, sizes)
        # The encoder first: what has the model is complete.
        wanted = [*([files.projector] if files.projector else []), *reversed(files.model)]
        hub.fetch_files(name.repository, folder, {file: sizes[file] for file in wanted}, progress)
    return folder / files.model[0], folder / files.projector if files.projector else None


def cached_gguf(name: HubName) -> tuple[Path, Path | None] | None:
    """Return the model and its vision encoder in the cache, None if it is incomplete. Makes no request."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(name.repository, revision=_REVISION, local_files_only=True, allow_patterns=_SMALL_FILES)
        )
        sizes = {str(each.relative_to(folder)): each.stat().st_size for each in folder.rglob("*.gguf")}
        files = choose_files(name, sizes)
    except (LocalEntryNotFoundError, HFValidationError, ModelError, OSError):
        return None
    last = _PART.search(Path(files.model[-1]).stem)
    if last and int(last[2]) != len(files.model):
        return None
    return folder / files.model[0], folder / files.projector if files.projector else None


def _quantization(file: str) -> str:
    """Return the quantization that the name of a file or of its folder ends with, in capitals; empty for none."""
    found = _QUANTIZATION.findall(_PART.sub("", Path(file).stem)) or _QUANTIZATION.findall(file)
    return str(found[-1]).upper() if found else ""


def _one_model(files: Sequence[str]) -> list[str]:
    """Return the files of one model: those that share the name of the first but for the number of the part."""
    first = _PART.sub("", str(Path(files[0]).with_suffix("")))
    return [file for file in files if _PART.sub("", str(Path(file).with_suffix(""))) == first]


def _choose(name: HubName, models: Mapping[str, list[str]], sizes: Mapping[str, int]) -> list[str]:
    if name.quantization:
        if (chosen := models.get(name.quantization.upper())) is not None:
            return chosen
        available = ", ".join(sorted(filter(None, models))) or "files that name none"
        raise ModelError(f"{name.repository} has no quantization {name.quantization}: choose one of {available}.")
    preferred = next((models[each] for each in _PREFERRED if each in models), None)
    return preferred or min(models.values(), key=lambda files: sum(sizes[file] for file in files))
