"""Devices are chosen by what torch says is there, on machines with GPUs of any kind (which are fakes here)."""

import re

import pytest
import torch

from assistant.errors import ConfigError
from assistant.models.local.placement import Placement, choose_device, resolve_quantization
from assistant.models.memory import ModelProfile, free_bytes

LARGE = ModelProfile(4 * 10**9, 10**9, 10**7, 50_000, 10**8)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A machine with the GPUs in the parameter; AMD's are "cuda" to torch."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in request.param)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: "xpu" in request.param)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in request.param)


@pytest.mark.parametrize(
    ("machine", "device", "quantization"),
    [
        ((), "cpu", "int8"),
        (("cuda",), "cuda", "nf4"),
        (("xpu",), "xpu", "nf4"),
        (("mps",), "mps", "none"),
        # Beside a graphics card, what is built into the processor is slow.
        (("cuda", "xpu"), "cuda", "nf4"),
    ],
    indirect=["machine"],
)
def test_auto_takes_the_gpu_that_there_is(machine: None, device: str, quantization: str) -> None:
    placement = resolve_quantization(choose_device(), LARGE)
    assert (placement.device, placement.quantization) == (device, quantization)
    assert placement.dtype is (torch.float32 if device == "cpu" else torch.bfloat16)
    assert choose_device("cpu").device == "cpu"


@pytest.mark.parametrize("machine", [("cuda", "xpu", "mps")], indirect=True)
@pytest.mark.parametrize(
    ("device", "quantize", "by_bitsandbytes"),
    [
        ("cuda:1", "int8", True),
        ("xpu", "int8", True),
        ("xpu", "nf4", True),
        ("mps", "nf4", True),
        ("mps", "bf16", False),
        ("cpu", "int8", False),
    ],
)
def test_each_device_has_the_quantizations_that_bitsandbytes_has_kernels_for(
    machine: None, device: str, quantize: str, by_bitsandbytes: bool
) -> None:
    placement = choose_device(device, quantize)
    assert (placement.device, placement.uses_bitsandbytes) == (device, by_bitsandbytes)
    with pytest.raises(ConfigError, match="int8 is not available on mps: choose --quantize auto, none, nf4, bf16 or"):
        choose_device("mps", "int8")


@pytest.mark.parametrize("machine", [()], indirect=True)
def test_a_device_that_is_not_there_is_refused(machine: None) -> None:
    for device, name in (("cuda", "CUDA"), ("xpu:1", "XPU"), ("mps", "mps")):
        with pytest.raises(ConfigError, match=f"No {name} device can be used here: choose --device auto or cpu"):
            choose_device(device)
    with pytest.raises(ConfigError, match=re.escape("Models do not run on meta: choose --device auto, cpu, mps, xpu")):
        choose_device("meta")


def test_decoding_is_compiled_only_when_asked_for() -> None:
    for device in ("cpu", "cuda:0"):
        compiled = {choice: Placement(device, torch.bfloat16, "nf4", choice).should_compile for choice in OPTIONS}
        assert compiled == OPTIONS


OPTIONS = {"auto": False, "off": False, "on": True}


def test_the_free_memory_of_a_gpu_is_its_own_and_that_of_a_chip_of_apple_the_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000 + device.index, 9999))
    monkeypatch.setattr(torch.xpu, "mem_get_info", lambda _: (2000, 9999))
    monkeypatch.setattr("assistant.models.memory.free_memory", lambda: 3000)
    assert [free_bytes(name) for name in ("cuda:1", "xpu", "mps", "cpu")] == [1001, 2000, 3000, 3000]
