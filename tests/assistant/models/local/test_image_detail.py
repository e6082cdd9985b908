"""Image resolution, by the options of each family's own image processor."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch

from assistant.errors import ModelError
from assistant.messages import Image, user
from assistant.models.base import GenerationOptions
from assistant.models.catalog import CATALOG
from assistant.models.local import image_detail
from assistant.models.local.model import LocalModel
from assistant.models.local.placement import MemoryPlan, Placement, plan_memory
from assistant.models.memory import with_pixels
from tests.fakes.generation import complete_with_usage
from tests.fakes.model_shapes import configs

PHOTO = PIL.Image.new("RGB", (3000, 2000))


def qwen() -> Any:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    # As Qwen3-VL is published: up to 16 megapixels.
    sizes: Any = {"shortest_edge": 65536, "longest_edge": 16777216}
    return Qwen2VLImageProcessorPil(patch_size=16, size=sizes)


def internvl() -> Any:
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    tile: Any = {"height": 448, "width": 448}
    return GotOcr2ImageProcessorPil(size=tile, crop_to_patches=True, max_patches=12)


def smolvlm() -> Any:
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    largest: Any = {"longest_edge": 2048}
    tile: Any = {"longest_edge": 512}
    return SmolVLMImageProcessorPil(size=largest, max_image_size=tile)


def count_tokens(processor: Any, pixels: int) -> int:
    """Count the tokens of a photo of six megapixels."""
    inputs = processor(images=[PHOTO], return_tensors="pt", **image_detail.processor_options(processor, pixels))
    if "image_grid_thw" in inputs:
        return int(inputs["image_grid_thw"].prod()) // 4
    if "num_patches" in inputs:
        return 256 * int(inputs["num_patches"])
    return 64 * int(inputs["pixel_values"].shape[1])


@pytest.mark.parametrize(
    ("processor", "low", "middle", "high"),
    [(qwen, 247, 1014, 4056), (internvl, 256, 5 * 256, 7 * 256), (smolvlm, 64, 5 * 64, 13 * 64)],
)
def test_a_photo_takes_the_tokens_that_the_detail_allows(
    processor: Callable[[], Any], low: int, middle: int, high: int
) -> None:
    each = processor()
    assert [count_tokens(each, pixels) for pixels in (image_detail.LOW_PIXELS, 2**20, image_detail.HIGH_PIXELS)] == [
        low,
        middle,
        high,
    ]


def test_a_small_image_is_not_made_larger_than_its_family_would() -> None:
    each = qwen()
    small = PIL.Image.new("RGB", (320, 320))
    sizes = [
        each(images=[small], return_tensors="pt", **options)["image_grid_thw"].tolist()
        for options in (
            {},
            *(
                image_detail.processor_options(each, pixels)
                for pixels in (image_detail.LOW_PIXELS, image_detail.HIGH_PIXELS)
            ),
        )
    ]
    assert sizes == [[[1, 20, 20]]] * 3


def test_the_highest_detail_that_fits_into_memory_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = next(entry for entry in CATALOG if entry.name == "qwen3-vl-8b")
    config = configs()["qwen3-vl-8b"]
    values = [
        with_pixels(entry.profile, config, pixels).activation_values
        for pixels in (image_detail.LOW_PIXELS, 2**20, image_detail.HIGH_PIXELS)
    ]
    assert values[0] <= values[1] == entry.profile.activation_values < values[2]

    class Processor:
        image_processor = qwen()

    def plan(level: str, gigabytes: float) -> MemoryPlan:
        placement = Placement("cuda:0", torch.bfloat16, "nf4")
        monkeypatch.setattr("assistant.models.local.placement.free_bytes", lambda _: int(gigabytes * 1e9))
        return plan_memory("big", config, Processor(), entry.profile, placement, level)

    chosen = [plan("auto", gigabytes) for gigabytes in (80, 16, 12, 10, 9)]
    assert [each.max_pixels // 1024 for each in chosen] == [4096, 2048, 1024, 512, 256]
    assert plan("high", 12).max_pixels == image_detail.HIGH_PIXELS
    assert plan("high", 12).context_tokens < chosen[2].context_tokens
    with pytest.raises(ModelError, match=r"has 7\.0 GB free"):
        plan("auto", 7)


def test_detail_for_a_family_with_one_size_has_no_effect_and_a_notice(llava_folder: Path) -> None:
    notices = [LocalModel.load(str(llava_folder), device="cpu", detail=level).notices for level in image_detail.LEVELS]
    assert notices == [
        (),
        *(
            (f"tiny-llava looks at every picture in the same size: --detail {level} changes nothing.",)
            for level in ("low", "high")
        ),
    ]


@pytest.mark.gpu_stack
@pytest.mark.parametrize("family", ["qwen3_vl", "smolvlm2", "internvl"])
def test_low_detail_takes_fewer_tokens(
    family: str,
    request: pytest.FixtureRequest,
    make_image: Callable[[int, int, int], Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder: Path = request.getfixturevalue(f"{family}_folder")
    # A tile of the tiny towers, or the fewest tokens of the tiny Qwen.
    monkeypatch.setattr(image_detail, "LOW_PIXELS", 64 * 64 if family == "qwen3_vl" else 32 * 32)

    def prompt_tokens(detail: str) -> int:
        model = LocalModel.load(str(folder), device="cpu", quantize="none", detail=detail)
        stream = model.stream([user("", make_image(1, 96, 48))], GenerationOptions(max_tokens=1), threading.Event())
        return complete_with_usage(stream)[1].prompt_tokens

    assert prompt_tokens("low") < prompt_tokens("high")
