"""The memory of a model is estimated before it is loaded; what does not fit is refused or reduced."""

import gc
import shutil
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.errors import ModelError
from assistant.messages import Image, user
from assistant.models.base import GenerationOptions
from assistant.models.catalog import CATALOG
from assistant.models.local.chat_template import ChatTemplate
from assistant.models.local.loader import load
from assistant.models.local.model import LocalModel
from assistant.models.local.placement import Placement, choose_device, plan_context, resolve_quantization
from assistant.models.memory import WINDOW_SLACK, ModelProfile, estimate, max_context, precision_for, profile_of
from tests.fakes.model_shapes import configs
from tests.fakes.tiny_models import decoder_of, image_encoder_of

GB = 10**9
QWEN_8B = next(entry.profile for entry in CATALOG if entry.name == "qwen3-vl-8b")
ON_CUDA = Placement("cuda:0", torch.bfloat16, "nf4")


@pytest.fixture(scope="module")
def real_configs() -> dict[str, Any]:
    return configs()


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_the_catalog_has_the_profiles_of_the_real_models(entry: Any, real_configs: dict[str, Any]) -> None:
    assert profile_of(real_configs[entry.name]) == entry.profile


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("qwen3-vl-2b", 2_127_532_032),
        ("qwen3-vl-4b", 4_437_815_808),
        ("qwen3-vl-8b", 8_767_123_696),
        # Without the layers that predict several tokens at once.
        ("qwen3.5-2b", 2_274_069_824 - 60_828_160),
        ("qwen3.5-4b", 4_659_865_088 - 120_599_552),
        ("qwen3.5-9b", 9_653_104_368 - 243_290_624),
        ("qwen3.8-27b", 27_781_427_952 - 424_699_392),
        ("smolvlm2-500m", 507_482_304),
        ("smolvlm2-2.2b", 2_246_784_880),
        ("gemma-3-4b", 4_300_079_472),
        ("gemma-3-12b", 12_187_325_040),
    ],
)
def test_profiles_add_up_to_the_published_number_of_parameters(name: str, published: int) -> None:
    assert next(entry for entry in CATALOG if entry.name == name).profile.num_parameters == published


@pytest.mark.parametrize("family", ["qwen", "gemma"])
@pytest.mark.parametrize("quantize", ["none", "bf16"])
def test_weights_and_cache_take_the_estimated_memory(
    family: str, quantize: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(f"{family}_folder")
    loaded = load(str(folder), choose_device("cpu", quantize))
    decoder: Any = loaded.decoder
    prompt = decoder.build_prompt(ChatTemplate(loaded.processor, family).render([user("dog " * 60)]), [])
    with torch.inference_mode():
        decoder.crop(prompt, 0)
        decoder.forward(prompt, 0, len(prompt))
    weights = sum(parameter.nbytes for parameter in decoder._model.parameters())
    # Sliding-window layers keep one token less than their window.
    cache = sum(layer.keys.nbytes + layer.values.nbytes for layer in decoder._kv_cache.layers)
    expected = estimate(profile_of(loaded.config), precision_for(quantize, "cpu"), len(prompt))
    assert weights == expected.weights  # Bytes, so exactly.
    assert cache == pytest.approx(expected.cache, rel=0.05)


@pytest.mark.parametrize(("quantization", "min_gb", "max_gb"), [("nf4", 6, 9), ("int8", 9, 13), ("bf16", 17, 20)])
def test_fewer_bits_take_less_memory(quantization: str, min_gb: float, max_gb: float) -> None:
    total = estimate(QWEN_8B, precision_for(quantization, "cuda"), 8192).total
    assert min_gb * GB < total < max_gb * GB


def test_the_longest_context_is_the_longest_that_fits() -> None:
    precision = precision_for("nf4", "cuda")
    for free in (9 * GB, 12 * GB, 24 * GB, 80 * GB):
        tokens = max_context(QWEN_8B, precision, free)
        assert (
            estimate(QWEN_8B, precision, tokens).total <= 0.95 * free < estimate(QWEN_8B, precision, tokens + 1).total
        )
    assert max_context(QWEN_8B, precision, 6 * GB) == 0


def test_sliding_window_layers_stop_growing() -> None:
    profile = ModelProfile(0, 0, 0, kv_values=10, activation_values=0, window_kv_values=100, window=50)
    precision = precision_for("bf16", "cuda")
    grown = [estimate(profile, precision, tokens).cache for tokens in (50 + WINDOW_SLACK, 150 + WINDOW_SLACK)]
    assert grown[1] - grown[0] == 2 * 10 * 100


def test_only_full_attention_takes_memory_for_every_token(real_configs: dict[str, Any]) -> None:
    # Eight of 32 layers have keys of four heads of 256; the rest keep a state of one size.
    assert profile_of(real_configs["qwen3.5-9b"]).kv_values == 8 * 2 * 4 * 256
    # Of 24 layers with keys of two heads, four have heads of 512 and see everything, the others of 256 in a window.
    gemma = profile_of(real_configs["gemma-4-e4b"])
    assert (gemma.kv_values, gemma.window_kv_values) == (4 * 2 * 2 * 512, 20 * 2 * 2 * 256)


def test_a_model_that_does_not_fit_is_refused_with_advice() -> None:
    unquantized = replace(ON_CUDA, quantization="bf16")
    with pytest.raises(ModelError, match=r"big takes about 18\.\d GB in bf16 and cuda:0 has 10\.0 GB free: .*nf4"):
        plan_context("big", QWEN_8B, unquantized, 262_144, 10 * GB)
    with pytest.raises(ModelError, match="close other programs, or choose a smaller model"):
        plan_context("big", QWEN_8B, ON_CUDA, 262_144, 6 * GB)


def test_the_context_is_reduced_to_fit_and_a_short_one_is_reported() -> None:
    tokens, notice = plan_context("big", QWEN_8B, ON_CUDA, 262_144, 9 * GB)
    assert 2048 <= tokens < 8192
    assert notice == f"There is memory for {tokens:,} of the 262,144 tokens of big's context."
    tokens, notice = plan_context("big", QWEN_8B, ON_CUDA, 262_144, 24 * GB)
    assert 8192 < tokens < 262_144
    assert not notice
    assert plan_context("big", QWEN_8B, ON_CUDA, 4096, 24 * GB) == (4096, "")


def test_small_models_are_not_quantized_on_a_gpu_by_default() -> None:
    automatic = replace(ON_CUDA, quantization="auto")
    small = replace(QWEN_8B, decoder_linear_params=10**8)
    assert resolve_quantization(automatic, small).quantization == "none"
    assert resolve_quantization(automatic, QWEN_8B).quantization == "nf4"
    assert resolve_quantization(ON_CUDA, small).quantization == "nf4"


def test_a_model_that_does_not_fit_is_refused_before_its_weights_are_read(
    llava_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(llava_folder, folder)
    (folder / "model.safetensors").write_bytes(b"never opened")
    monkeypatch.setattr("assistant.models.local.placement.free_bytes", lambda _: 1000)
    with pytest.raises(ModelError, match=r"model takes about .* MB in int8 and cpu has 1 kB free"):
        LocalModel.load(str(folder), device="cpu")


def test_a_reduced_context_is_that_of_the_model_and_reported(
    qwen_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "assistant.models.local.placement.plan_context", lambda *_: (300, "There is memory for 300 of the 512 tokens.")
    )
    model = LocalModel.load(str(qwen_folder), device="cpu")
    assert model.info.context_tokens == 300
    assert model.notices == ("There is memory for 300 of the 512 tokens.",)


@pytest.mark.parametrize(
    ("family", "quantize"), [("llava", "int8"), ("qwen", "none"), ("gemma", "none"), ("even", "nf4")]
)
def test_closing_a_model_frees_its_memory(
    family: str, quantize: str, request: pytest.FixtureRequest, make_image: Callable[[int], Image]
) -> None:
    folder: Path = request.getfixturevalue(f"{family}_folder")
    model = LocalModel.load(str(folder), device="cpu", quantize=quantize)
    stream = model.stream([user("Look!", make_image(1))], GenerationOptions(max_tokens=4), threading.Event())
    next(stream, "")
    stream.close()
    references = [weakref.ref(each) for each in (decoder_of(model), image_encoder_of(model)._model)]
    assert all(reference() is not None for reference in references)
    model.close()
    gc.collect()
    assert all(reference() is None for reference in references)
