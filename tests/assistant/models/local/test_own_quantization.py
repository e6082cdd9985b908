"""Checkpoints that are quantized already load with their own quantization, or are refused in one sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.errors import MissingExtraError, ModelError
from assistant.messages import Image, user
from assistant.models.local.model import LocalModel
from assistant.models.local.own_quantization import check_own_quantization, keep_own_quantization
from assistant.models.local.placement import Placement
from assistant.models.memory import ModelProfile
from tests.fakes.generation import complete

AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128}
FP8_BLOCK = 16
OUTSIDE_DECODER = ["lm_head", "model.vision_tower", "model.multi_modal_projector"]


class Config:
    """Transformers' configuration of a quantized model, as far as it is looked at."""

    def __init__(self, **described: Any) -> None:
        self.quantization_config = described


@pytest.fixture
def folder(even_folder: Path, tmp_path: Path) -> Path:
    found = tmp_path / "quantized"
    shutil.copytree(even_folder, found)
    return found


def describe(folder: Path, quantization: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"quantization_config": quantization}))


def quantize_to_nf4(folder: Path) -> None:
    from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", llm_int8_skip_modules=OUTSIDE_DECODER
    )
    model: Any = AutoModelForImageTextToText.from_pretrained(
        folder, quantization_config=quantization, device_map={"": "cpu"}, dtype=torch.bfloat16
    )
    model.save_pretrained(folder)


def quantize_to_fp8(folder: Path) -> None:
    """Store the decoder's layers as FP8 with a scale for each block, as the makers of models do."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if ".layers." in name and "language_model" in name and "proj" in name]:
        blocks = tensors[name].unflatten(0, (-1, FP8_BLOCK)).unflatten(2, (-1, FP8_BLOCK))
        scales = blocks.abs().amax((1, 3), keepdim=True) / 448
        tensors[name] = (blocks / scales).flatten(2, 3).flatten(0, 1).to(torch.float8_e4m3fn)
        tensors[f"{name}_scale_inv"] = scales[:, 0, :, 0].contiguous()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    describe(
        folder,
        {
            "quant_method": "fp8",
            "weight_block_size": [FP8_BLOCK, FP8_BLOCK],
            "modules_to_not_convert": OUTSIDE_DECODER,
        },
    )


@pytest.mark.parametrize(("quantize", "name"), [(quantize_to_nf4, "bitsandbytes"), (quantize_to_fp8, "fp8")])
def test_a_quantized_checkpoint_is_loaded_as_it_is(
    quantize: Callable[[Path], None], name: str, folder: Path, even_folder: Path, make_image: Callable[[int], Image]
) -> None:
    quantize(folder)
    # `int8` is what `auto` means on a CPU: it cannot apply.
    model = LocalModel.load(str(folder), device="cpu", quantize="int8")
    assert (model.info.quantization, model.info.device) == (name, "cpu")
    messages = [user("What is this?", make_image(1))]
    reply = complete(model, *messages, max_tokens=8)
    assert reply == complete(model, *messages, max_tokens=8)
    assert reply


@pytest.mark.parametrize(
    ("quantization", "error", "sentence"),
    [
        (AWQ, MissingExtraError, r"by AWQ, which needs gptqmodel \(`pip install gptqmodel`\): install that, or choose"),
        ({"quant_method": "gptq", "bits": 4}, MissingExtraError, "by GPTQ, which needs gptqmodel and optimum"),
        ({"quant_method": "compressed-tensors"}, MissingExtraError, "needs compressed-tensors"),
        ({"quant_method": "torchao"}, MissingExtraError, "needs torchao"),
        ({"quant_method": "sorcery\n"}, ModelError, "by the method sorcery, which this version of transformers does"),
        ({"quant_method": "hqq"}, MissingExtraError, r"by hqq, which cannot run here \(.*\): choose another quantiz"),
        ({"quant_method": "higgs"}, ModelError, r"by higgs, which cannot run here \(.*\): choose another quantization"),
        ({"quant_method": ["awq"]}, ModelError, "by the method"),
    ],
)
def test_a_quantization_that_this_machine_cannot_run_is_named(
    quantization: Any, error: type[Exception], sentence: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.models.local.own_quantization.find_spec", lambda _: None)
    describe(folder, quantization)
    with pytest.raises(error, match=sentence) as caught:
        LocalModel.load(str(folder), device="cpu")
    assert "\n" not in str(caught.value)


def test_a_device_that_does_not_run_it_is_named_with_what_helps() -> None:
    for config, name in (
        (Config(quant_method="bitsandbytes", load_in_8bit=True), r"bitsandbytes \(8 bits\)"),
        (Config(load_in_8bit=True), r"bitsandbytes \(8 bits\)"),
        (Config(**AWQ), "AWQ"),
        (Config(quant_method="torchao"), "torchao"),
    ):
        sentence = f"m is quantized by {name}, which does not run on mps: choose --device cpu, the model without"
        with pytest.raises(ModelError, match=sentence):
            check_own_quantization(config, "m", "mps")
    check_own_quantization(Config(quant_method="bitsandbytes", load_in_4bit=True), "m", "mps")


def test_the_memory_is_that_of_the_files_and_twice_that_where_fp8_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = ModelProfile(8000, 1000, 100, 10, 10)
    (tmp_path / "a.safetensors").write_bytes(bytes(8000 + 2 * 1000))
    placements = {}
    for capability in ((8, 6), (8, 9), (9, 0)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        fp8 = Config(quant_method="fp8")
        placements[capability] = keep_own_quantization(on_cuda(), fp8, "m", tmp_path, profile)
    assert [placement.own_weight_bytes for placement in placements.values()] == [2.0, 1.0, 1.0]
    assert placements[9, 0].precision.quantizable == 1.0
    assert placements[9, 0].quantization == "fp8"
    assert keep_own_quantization(on_cuda(), object(), "m", tmp_path, profile) == on_cuda()


def test_a_quantized_checkpoint_that_does_not_fit_is_told_to_choose_another_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantize_to_nf4(folder)
    monkeypatch.setattr("assistant.models.local.placement.free_bytes", lambda _: 1000)
    with pytest.raises(ModelError, match="in bitsandbytes and cpu has 1 kB free: close other programs, or choose a sm"):
        LocalModel.load(str(folder), device="cpu")


def test_weights_far_fewer_than_described_are_refused_quantized_or_not(folder: Path) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config["text_config"] = {"model_type": "llama"}
    file.write_text(json.dumps(config))
    describe(folder, {"quant_method": "fp8"})
    with pytest.raises(ModelError, match=r"describes [67],[0-9,]+ parameters"):
        LocalModel.load(str(folder), device="cpu")


def on_cuda() -> Placement:
    return Placement("cuda:0", torch.bfloat16, "auto")
