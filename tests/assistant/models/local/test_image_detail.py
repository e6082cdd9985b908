"""How closely pictures are looked at, by the options of each family's own image processor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch

from assistant.errors import ModelError
from assistant.messages import Image
from assistant.models.catalog import CATALOG
from assistant.models.local import image_detail, loader
from assistant.models.local.model import LocalModel
from assistant.models.local.placement import Placement
from assistant.models.memory import with_pixels
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

    whole: Any = {"longest_edge": 2048}
    tile: Any = {"longest_edge": 512}
    return SmolVLMImageProcessorPil(size=whole, max_image_size=tile)


def tokens(processor: Any, pixels: int) -> int:
    """What a photo of six megapixels takes of a prompt."""
    shown = processor(images=[PHOTO], return_tensors="pt", **image_detail.processor_options(processor, pixels))
    if "image_grid_thw" in shown:
        return int(shown["image_grid_thw"].prod()) // 4
    if "num_patches" in shown:
        return 256 * int(shown["num_patches"])
    return 64 * int(shown["pixel_values"].shape[1])


@pytest.mark.parametrize(
    ("processor", "low", "middle", "high"),
    [(qwen, 247, 1014, 4056), (internvl, 256, 5 * 256, 7 * 256), (smolvlm, 64, 5 * 64, 13 * 64)],
)
def test_a_photo_takes_as_many_tokens_as_the_detail_allows(
    processor: Callable[[], Any], low: int, middle: int, high: int
) -> None:
    each = processor()
    assert [tokens(each, pixels) for pixels in (image_detail.LOW_PIXELS, 2**20, image_detail.HIGH_PIXELS)] == [low, middle, high]


def test_a_small_picture_is_not_made_larger_than_its_family_would() -> None:
    each = qwen()
    small = PIL.Image.new("RGB", (320, 320))
    sizes = [
        each(images=[small], return_tensors="pt", **options)["image_grid_thw"].tolist()
        for options in ({}, *(image_detail.processor_options(each, pixels) for pixels in (image_detail.LOW_PIXELS, image_detail.HIGH_PIXELS)))
    ]
    assert sizes == [[[1, 20, 20]]] * 3


def test_a_higher_detail_is_chosen_where_there_is_memory_for_it_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = next(entry for entry in CATALOG if entry.name == "qwen3-vl-8b")
    config = configs()["qwen3-vl-8b"]
    work = [with_pixels(entry.profile, config, pixels).activation_values for pixels in (image_detail.LOW_PIXELS, 2**20, image_detail.HIGH_PIXELS)]
    assert work[0] <= work[1] == entry.profile.activation_values < work[2]

    class Processor:
        image_processor = qwen()

    def room(level: str, gigabytes: float) -> Any:
        placement = Placement("cuda:0", torch.bfloat16, "nf4")
        monkeypatch.setattr(loader, "free_bytes", lambda _: int(gigabytes * 1e9))
        return loader._room("big", config, Processor(), entry.profile, placement, level)

    chosen = [room("auto", gigabytes) for gigabytes in (80, 16, 12, 10, 9)]
    assert [each.pixels // 1024 for each in chosen] == [4096, 2048, 1024, 512, 256]
    assert room("high", 12).pixels == image_detail.HIGH_PIXELS
    assert room("high", 12).context_tokens < chosen[2].context_tokens
    with pytest.raises(ModelError, match=r"has 7\.0 GB free"):
        room("auto", 7)


def test_detail_of_a_family_with_one_size_changes_nothing_and_says_so(llava_folder: Path) -> None:
    told = [LocalModel.load(str(llava_folder), device="cpu", detail=level).notices for level in image_detail.LEVELS]
    assert told == [
        (),
        *(
            (f"tiny-llava looks at every picture in the same size: --detail {level} changes nothing.",)
            for level in ("low", "high")
        ),
    ]


@pytest.mark.gpu_stack
@pytest.mark.parametrize("family", ["qwen3_vl", "smolvlm2", "internvl"])
def test_chat_looks_less_closely_when_asked_to(
    family: str,
    request: pytest.FixtureRequest,
    picture: Callable[[int, int, int], Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder: Path = request.getfixturevalue(f"{family}_folder")
    # A tile of the tiny towers, or the fewest tokens of the tiny Qwen.
    monkeypatch.setattr(image_detail, "LOW", 64 * 64 if family == "qwen3_vl" else 32 * 32)
    model = LocalModel.load(str(folder), device="cpu", quantize="none", detail="low")
    pictures = model._image_encoder
    assert pictures is not None
    low = pictures.expand_placeholders(pictures._processor.image_token, [picture(1, 96, 48)])[1][0].num_tokens
    high = LocalModel.load(str(folder), device="cpu", quantize="none", detail="high")._image_encoder
    assert high is not None
    assert low < high.expand_placeholders(pictures._processor.image_token, [picture(1, 96, 48)])[1][0].num_tokens
