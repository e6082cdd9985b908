"""Download models from the Hugging Face hub into the cache that all of its tools share.

    configuration and processor ─▶ checks ─▶ safetensors weights, resumed if interrupted ─▶ checksums

A complete model in the cache is used without a request to the hub. Only data is fetched, never code or pickles.
"""

import hashlib
import queue
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging import ERROR
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import filelock

from assistant.errors import ModelError, first_line
from assistant.formatting import format_bytes
from assistant.parsing import parse_json, read_bounded
from assistant.text_cleaning import clean_line

if TYPE_CHECKING:
    from assistant.progress import Progress

_WEIGHTS = "*.safetensors"
_SMALL_FILES = ("*.json", "*.jinja", "*.txt", "*.model")
# Subfolders hold other formats, and `consolidated` files the same weights in the naming of another library.
_IGNORED_FILES = ("*/*", "consolidated*")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_MAX_CONFIG_BYTES = 4 << 20
_CHUNK_BYTES = 8 * 2**20
_HUB_TIMEOUT = 8.0
"""Seconds in which the hub has to answer the first request."""
_PROGRESS_SECONDS = 0.3
_ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class CachedModel:
    """A model in the cache: its hub id, its bytes on disk, and whether all of its weights are there."""

    repository: str
    size: int
    complete: bool


def cached_folder(repository: str, revision: str) -> Path | None:
    """Return the folder of a model in the cache, None if it is incomplete. Makes no request."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                repository,
                revision=revision,
                local_files_only=True,
                allow_patterns=[*_SMALL_FILES, _WEIGHTS],
                ignore_patterns=list(_IGNORED_FILES),
            )
        )
    except LocalEntryNotFoundError:
        return None
    return folder if any(folder.glob(_WEIGHTS)) and (folder / "config.json").is_file() else None


def fetch(repository: str, revision: str, progress: "Progress", check: Callable[[Path], object] = bool) -> Path:
    """Return the folder of a model in the cache, downloading it if it is missing.

    An interrupted download is kept, and a later call resumes it.

    Args:
        repository: Hub id.
        revision: Commit or branch.
        progress: Progress callback; an exception it raises stops the download.
        check: Called with a folder of the small files before the weights are fetched; raises to refuse the model.

    Raises:
        ModelError: The model does not exist, cannot be fetched or cannot be used.
    """
    from huggingface_hub import get_cached_repo_tree, snapshot_download

    with translate_errors(repository, revision):
        if (found := cached_folder(repository, revision)) is not None:
            return found
        ask_hub(repository, revision, progress)
        folder = Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=list(_SMALL_FILES),
                ignore_patterns=list(_IGNORED_FILES),
                tqdm_class=progress_bar(lambda _: None),
            )
        )
        listed = {file.path: file for file in get_cached_repo_tree(repository, revision=folder.name)}
        weights = sorted(name for name in listed if _is_weight(name))
        _check_files(repository, list(listed), weights)
        check(folder)
        fetch_files(repository, folder, {name: listed[name].size for name in weights}, progress)
    return folder


def fetch_files(repository: str, folder: Path, sizes: Mapping[str, int], progress: "Progress") -> None:
    """Download large files into the snapshot `folder`, in this order. Call it inside `translate_errors`.

    Args:
        repository: Hub id.
        folder: Its snapshot in the cache.
        sizes: Bytes of each file, by its name.
        progress: Progress callback; an exception it raises stops the download.

    Raises:
        ModelError: The disk has not enough room, or a file is not what the hub announced.
    """
    total = sum(sizes.values())
    _check_disk_space(repository, total, folder)
    done = 0
    for name, size in sizes.items():
        _fetch_weights(repository, name, folder, _ByteProgress(progress, f"fetching {repository}", done, total))
        done += size


def ask_hub(repository: str, revision: str, progress: "Progress") -> None:
    """Ask the hub for a model once. Raises what its client raises, and `ModelError` if there is no answer soon.

    The client itself tries for minutes, and looking up a name cannot be limited. So this is done on a thread that is
    left behind if it takes too long.
    """
    from huggingface_hub import HfApi

    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            HfApi().model_info(repository, revision=revision, timeout=_HUB_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - raised on the thread that waits
            answers.put(error)
        else:
            answers.put(None)

    threading.Thread(target=ask, daemon=True, name="hub").start()
    end = time.monotonic() + _HUB_TIMEOUT
    while time.monotonic() < end:
        progress(f"asking the hub for {repository}", 0, 0)
        with suppress(queue.Empty):
            if (error := answers.get(timeout=_PROGRESS_SECONDS)) is not None:
                raise error
            return
    raise _unreachable(repository, f"has not answered for {_HUB_TIMEOUT:g} seconds")


def _unreachable(repository: str, problem: str) -> ModelError:
    from huggingface_hub import constants

    hub = clean_line(urlsplit(constants.ENDPOINT).netloc.rpartition("@")[2])
    return ModelError(
        f"{repository} is not on this machine, and the hub at {hub} {problem}: check the network, or name a local "
        "folder."
    )


def answers(address: str) -> bool:
    """Return True if a web server answers at `address` within two seconds, whatever it says."""
    import httpx2

    found = threading.Event()

    def ask() -> None:
        with suppress(httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError):
            httpx2.head(address, timeout=_ANSWER_SECONDS)
            found.set()

    # Looking up a name cannot be limited, so it may be left behind.
    thread = threading.Thread(target=ask, daemon=True, name="answers")
    thread.start()
    thread.join(_ANSWER_SECONDS)
    return found.is_set()


def list_cached() -> list[CachedModel]:
    """Return all vision-language models in the cache, by name."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return []
    models = []
    for repo in found.repos:
        folders = [revision.snapshot_path for revision in repo.revisions]
        if repo.repo_type == "model" and any(_is_vision_model(folder) for folder in folders):
            complete = any(cached_folder(repo.repo_id, folder.name) for folder in folders)
            models.append(CachedModel(repo.repo_id, repo.size_on_disk, complete))
    return sorted(models, key=lambda model: model.repository.lower())


def remove(repository: str) -> int:
    """Delete all revisions of a model from the cache and return the bytes freed.

    Raises:
        ModelError: The model is not in the cache.
    """
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        found = None
    repo = next(
        (repo for repo in (found.repos if found else ()) if (repo.repo_id, repo.repo_type) == (repository, "model")),
        None,
    )
    if found is None or repo is None:
        raise ModelError(f"{repository} is not in the cache: see `parley models` for what is.")
    strategy = found.delete_revisions(*(revision.commit_hash for revision in repo.revisions))
    size = strategy.expected_freed_size
    strategy.execute()
    # Partial downloads belong to no revision.
    shutil.rmtree(repo.repo_path, ignore_errors=True)
    return size


class _ByteProgress:
    """Report the bytes of one file as part of all files; `start` bytes came before this file."""

    def __init__(self, progress: "Progress", label: str, start: int, total: int) -> None:
        self._progress = progress
        self._label = label
        self._done = start
        self._total = total

    def __call__(self, count: int) -> None:
        """Add `count` bytes. With 0, `progress` only gets the chance to stop the download."""
        self._done += count
        self._progress(self._label, min(self._done, self._total), self._total)


def progress_bar(on_bytes: Callable[[int], object]) -> Any:
    """Return a progress bar class for the hub's client. It draws nothing and calls `on_bytes` as bytes arrive."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            on_bytes(int(n or 0))

    return Bar


def _is_weight(name: str) -> bool:
    return name.endswith(".safetensors") and "/" not in name and not name.startswith("consolidated")


def _check_files(repository: str, names: list[str], weights: list[str]) -> None:
    if "config.json" not in names:
        raise ModelError(f"{repository} is not a model for transformers: it has no config.json.")
    if weights:
        return
    if any(name.endswith(_PICKLES) for name in names):
        raise ModelError(f"{repository} has its weights as pickles only, which can run code: choose another model.")
    raise ModelError(f"{repository} has no safetensors weights: choose another model.")


def _check_disk_space(repository: str, size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    needed = size - sum(file.stat().st_size for file in folder.parents[1].glob("blobs/*"))
    if free < needed:
        raise ModelError(
            f"{repository} takes {format_bytes(needed)} more and the cache, {folder.parents[2]}, has "
            f"{format_bytes(free)} left: make room there, or name another folder with HF_HUB_CACHE."
        )


def _fetch_weights(repository: str, name: str, folder: Path, on_bytes: "_ByteProgress") -> None:
    """Download the file `name` into the snapshot `folder`.

    The hub's own client restarts a file after each interruption and compares no checksum. So the data is fetched here,
    with its functions, to where it looks before it fetches anything: `blobs/`, under the etag of the file, which for
    large files is their SHA-256.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined] # public by its documentation

    url = hf_hub_url(repository, name, revision=folder.name)
    metadata = get_hf_file_metadata(url)
    data = folder.parents[1] / "blobs" / str(metadata.etag)
    part = data.with_name(f"{data.name}.part")
    data.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(data.with_name(f"{data.name}.part.lock")):
        if not data.exists():
            if part.is_file() and part.stat().st_size > (metadata.size or 0):
                part.unlink()
            # The access token must not be sent to the storage provider.
            on_hub = urlsplit(metadata.location).netloc == urlsplit(url).netloc
            with part.open("ab") as file:
                on_bytes(file.tell())
                http_get(
                    metadata.location,
                    file,
                    resume_size=file.tell(),
                    headers=build_hf_headers(token=None if on_hub else False),
                    expected_size=metadata.size,
                    tqdm_class=progress_bar(on_bytes),
                )
            _check_hash(repository, name, part, data.name, on_bytes)
            part.replace(data)
    hf_hub_download(repository, name, revision=folder.name, tqdm_class=progress_bar(lambda _: None))


def _check_hash(repository: str, name: str, part: Path, etag: str, on_bytes: "_ByteProgress") -> None:
    if not re.fullmatch(r"[0-9a-f]{64}", etag):
        return
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            on_bytes(0)
    if digest.hexdigest() != etag:
        part.unlink()
        raise ModelError(
            f"{name} of {repository} is not what the hub announced (its SHA-256 differs) and was deleted: try again."
        )


def _is_vision_model(folder: Path) -> bool:
    try:
        return "vision_config" in parse_json(read_bounded(folder / "config.json", _MAX_CONFIG_BYTES))
    except (OSError, ValueError, TypeError):
        return False


@contextmanager
def translate_errors(repository: str, revision: str) -> Iterator[None]:
    """Turn the errors of the hub's client into `ModelError`."""
    import httpx2
    from huggingface_hub import errors
    from huggingface_hub.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(ERROR)
    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{repository} is given to those who accept its terms: do that at https://huggingface.co/{repository}, "
            "then run `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(f"There is no model {repository} on the hub, or not for you: check its id.") from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"The hub has no revision {revision} of {repository} any more: update Parley.") from error
    except errors.OfflineModeIsEnabled as error:
        raise ModelError(
            f"{repository} is not on this machine, and HF_HUB_OFFLINE is set: unset it, or name a local folder."
        ) from error
    except (errors.LocalEntryNotFoundError, httpx2.TransportError) as error:
        raise _unreachable(repository, "cannot be reached") from error
    except (errors.HfHubHTTPError, errors.XetDownloadError) as error:
        raise ModelError(f"The hub does not hand out {repository}: {first_line(error)}.") from error
    except errors.HFValidationError as error:
        raise ModelError(f"{repository} is not a hub id, like owner/name: check it.") from error
    except BrokenPipeError:
        # Comes from the progress callback, not from the disk.
        raise
    except OSError as error:
        raise ModelError(
            f"{repository} cannot be fetched: {first_line(error)}. What has come so far is kept."
        ) from error
    finally:
        logging.set_verbosity(verbosity)
