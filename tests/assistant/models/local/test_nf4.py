"""Four bits a weight through bitsandbytes, on the CPU: which layers are, in what they compute, and what comes of it."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.errors import ConfigError, ModelError
from assistant.messages import Image, user
from assistant.models.base import GenerationOptions
from assistant.models.local.chat_template import ChatTemplate
from assistant.models.local.loader import load
from assistant.models.local.model import LocalModel
from assistant.models.local.placement import choose_device
from assistant.models.memory import estimate, precision_for, profile_of
from tests.assistant.models.conftest import EVEN, make_gemma, save_adapter


@pytest.fixture(scope="module", params=["even", "gemma", pytest.param("qwen3_vl", marks=pytest.mark.gpu_stack)])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param != "gemma":
        found: Path = request.getfixturevalue(f"{request.param}_folder")
        return found
    return make_gemma(tmp_path_factory.mktemp("even-gemma") / "tiny-gemma", EVEN)


def load_raw(folder: Path) -> Any:
    return load(str(folder), choose_device("cpu", "nf4")).decoder._model  # type: ignore[attr-defined]


def logits_of(folder: Path, quantize: str, picture: Image) -> torch.Tensor:
    """What the model makes of a question about `picture`: logits (vocabulary,) of the first word."""
    loaded = load(str(folder), choose_device("cpu", quantize))
    text = ChatTemplate(loaded.processor, "tiny").render([user("Look!", picture)])
    with torch.inference_mode():
        prompt = loaded.decoder.build_prompt(text, [picture])
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


def test_it_hears_nearly_what_whole_weights_hear(folder: Path, picture: Callable[[int], Image]) -> None:
    whole, quantized = (logits_of(folder, quantize, picture(1)) for quantize in ("none", "nf4"))
    # Random weights allow no more, over four layers less than over two; of unlike logits it would be about 0.
    assert torch.nn.functional.cosine_similarity(whole, quantized, dim=0) > 0.7
    assert not torch.equal(whole, quantized)


def test_the_picture_makes_a_difference(folder: Path, picture: Callable[[int], Image]) -> None:
    one, other = (logits_of(folder, "nf4", picture(number)) for number in (1, 2))
    assert not torch.allclose(one, other, atol=0.01)


def test_it_writes_what_transformers_would(even_folder: Path) -> None:
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
    said = "".join(local.stream(messages, GenerationOptions(max_tokens=16), threading.Event()))
    assert len(said) > 5
    assert said == expected.rstrip("\N{REPLACEMENT CHARACTER}")


def test_its_weights_take_what_was_estimated(folder: Path) -> None:
    from transformers import AutoConfig

    model = load_raw(folder)
    taken = 0
    for parameter in model.parameters():
        taken += parameter.nbytes
        if state := getattr(parameter, "quant_state", None):
            taken += state.absmax.nbytes + state.state2.absmax.nbytes
    expected = estimate(profile_of(AutoConfig.from_pretrained(folder)), precision_for("nf4", "cpu"), 1).weights
    assert taken == pytest.approx(expected, rel=0.02)


def test_a_decoder_of_odd_sizes_is_refused_where_the_kernel_would_fail(llava_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be held in nf4 on the CPU: its layer .* Choose --quantize int8"):
        LocalModel.load(str(llava_folder), device="cpu", quantize="nf4")


def test_a_picture_adapter_is_refused(even_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapted"
    shutil.copytree(even_folder, folder)
    save_adapter(folder)
    with pytest.raises(ConfigError, match="cannot be used in nf4: choose --quantize auto"):
        LocalModel.load(str(folder), device="cpu", quantize="nf4")


def test_bfloat16_on_the_cpu_is_what_it_says(even_folder: Path, picture: Callable[[int], Image]) -> None:
    whole, halved = (logits_of(even_folder, quantize, picture(1)) for quantize in ("none", "bf16"))
    assert torch.nn.functional.cosine_similarity(whole, halved, dim=0) > 0.99
    assert not torch.equal(whole, halved)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_loading_and_the_first_words_leave_the_screen_alone(even_folder: Path) -> None:
    program = (
        "import sys, threading\n"
        "from assistant.messages import user\n"
        "from assistant.models.base import GenerationOptions\n"
        "from assistant.models.local.model import LocalModel\n"
        "model = LocalModel.load(sys.argv[1], device='cpu', quantize='nf4')\n"
        "list(model.stream([user('Hello')], GenerationOptions(max_tokens=3), threading.Event()))\n"
    )
    # In a process of its own, because bitsandbytes says which of its kernels are missing once, when it is imported.
    finished = subprocess.run(
        [sys.executable, "-c", program, str(even_folder)], capture_output=True, text=True, check=True
    )
    assert (finished.stdout, finished.stderr) == ("", "")
