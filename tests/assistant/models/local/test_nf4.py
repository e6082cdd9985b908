"""nf4 through bitsandbytes on the CPU: which layers are quantized, in which dtype they compute, and the result."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.errors import ConfigError, ModelError
from assistant.messages import Image, user
from assistant.models.local.chat_template import ChatTemplate
from assistant.models.local.loader import load
from assistant.models.local.model import LocalModel
from assistant.models.local.placement import choose_device
from assistant.models.memory import estimate, precision_for, profile_of
from tests.fakes.generation import complete
from tests.fakes.tiny_models import QUANTIZABLE_SIZES, make_gemma, save_adapter


@pytest.fixture(scope="module", params=["even", "gemma", pytest.param("qwen3_vl", marks=pytest.mark.gpu_stack)])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param != "gemma":
        found: Path = request.getfixturevalue(f"{request.param}_folder")
        return found
    return make_gemma(tmp_path_factory.mktemp("even-gemma") / "tiny-gemma", QUANTIZABLE_SIZES)


def load_raw(folder: Path) -> Any:
    return load(str(folder), choose_device("cpu", "nf4")).decoder._model  # type: ignore[attr-defined]


def first_logits(folder: Path, quantize: str, image: Image) -> torch.Tensor:
    """Return the logits (vocab_size,) of the first token of a reply about `image`."""
    loaded = load(str(folder), choose_device("cpu", quantize))
    text = ChatTemplate(loaded.processor, "tiny").render([user("Look!", image)])
    with torch.inference_mode():
        prompt = loaded.decoder.build_prompt(text, [image])
        loaded.decoder.crop(prompt, 0)
        return loaded.decoder.forward(prompt, 0, len(prompt)).float()


def test_only_the_decoder_is_quantized_and_everything_else_is_bfloat16(folder: Path) -> None:
    from bitsandbytes.nn.modules import Linear4bit

    model = load_raw(folder)
    inside: list[Any] = [layer for layer in model.get_decoder().modules() if isinstance(layer, torch.nn.Linear)]
    outside = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear) and layer not in set(inside)]
    assert len(inside) == 7 * len(model.get_decoder().layers)
    assert all(isinstance(layer, Linear4bit) for layer in inside)
    for layer in inside:
        assert layer.compute_dtype is torch.bfloat16
        assert layer.weight.quant_type == "nf4"
        assert layer.weight.quant_state.nested, "scales are quantized as well"
    assert len(outside) > 10
    assert not any(isinstance(layer, Linear4bit) for layer in outside)
    assert {layer.weight.dtype for layer in outside} == {torch.bfloat16}
    assert model.lm_head in outside


def test_its_logits_are_close_to_those_of_unquantized_weights(folder: Path, make_image: Callable[[int], Image]) -> None:
    exact, quantized = (first_logits(folder, quantize, make_image(1)) for quantize in ("none", "nf4"))
    # Random weights allow no more, over four layers less than over two. Unrelated logits would give about 0.
    assert torch.nn.functional.cosine_similarity(exact, quantized, dim=0) > 0.7
    assert not torch.equal(exact, quantized)


def test_the_image_changes_the_logits(folder: Path, make_image: Callable[[int], Image]) -> None:
    one, other = (first_logits(folder, "nf4", make_image(number)) for number in (1, 2))
    assert not torch.allclose(one, other, atol=0.01)


def test_it_generates_the_reply_of_transformers(even_folder: Path) -> None:
    from transformers import AutoProcessor

    model = load_raw(even_folder)
    processor = AutoProcessor.from_pretrained(even_folder)
    messages = [user("What is in this picture?")]
    prompt = ChatTemplate(processor, "tiny").render(messages)
    inputs = processor(text=[prompt], return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=16, do_sample=False, pad_token_id=0, eos_token_id=[0, 2])
    expected = processor.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    local = LocalModel.load(str(even_folder), device="cpu", quantize="nf4")
    assert local.info.quantization == "nf4"
    reply = complete(local, *messages, max_tokens=16)
    assert len(reply) > 5
    assert reply == expected.rstrip("\N{REPLACEMENT CHARACTER}")


def test_its_weights_take_the_estimated_memory(folder: Path) -> None:
    from transformers import AutoConfig

    model = load_raw(folder)
    num_bytes = 0
    for parameter in model.parameters():
        num_bytes += parameter.nbytes
        if state := getattr(parameter, "quant_state", None):
            num_bytes += state.absmax.nbytes + state.state2.absmax.nbytes
    expected = estimate(profile_of(AutoConfig.from_pretrained(folder)), precision_for("nf4", "cpu"), 1).weights
    assert num_bytes == pytest.approx(expected, rel=0.02)


def test_a_decoder_of_odd_sizes_that_the_kernel_cannot_run_is_refused(llava_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be quantized to nf4 on the CPU: its layer .* Choose --quantize int8"):
        LocalModel.load(str(llava_folder), device="cpu", quantize="nf4")


def test_an_image_adapter_is_refused(even_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapted"
    shutil.copytree(even_folder, folder)
    save_adapter(folder)
    with pytest.raises(ConfigError, match="cannot be used in nf4: choose --quantize auto"):
        LocalModel.load(str(folder), device="cpu", quantize="nf4")


def test_bfloat16_on_the_cpu_is_close_to_float32(even_folder: Path, make_image: Callable[[int], Image]) -> None:
    exact, halved = (first_logits(even_folder, quantize, make_image(1)) for quantize in ("none", "bf16"))
    assert torch.nn.functional.cosine_similarity(exact, halved, dim=0) > 0.99
    assert not torch.equal(exact, halved)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_loading_and_a_reply_print_nothing(even_folder: Path) -> None:
    program = (
        "import sys, threading\n"
        "from assistant.messages import user\n"
        "from assistant.models.base import GenerationOptions\n"
        "from assistant.models.local.model import LocalModel\n"
        "model = LocalModel.load(sys.argv[1], device='cpu', quantize='nf4')\n"
        "list(model.stream([user('Hello')], GenerationOptions(max_tokens=3), threading.Event()))\n"
    )
    # In a process of its own, because bitsandbytes reports missing kernels once, when it is imported.
    finished = subprocess.run(
        [sys.executable, "-c", program, str(even_folder)], capture_output=True, text=True, check=True
    )
    assert (finished.stdout, finished.stderr) == ("", "")
