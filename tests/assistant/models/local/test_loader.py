"""A model that cannot be loaded is refused in one sentence that says why."""

import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.errors import ConfigError, MissingExtraError, ModelError
from assistant.models.local.model import LocalModel
from assistant.models.local.placement import choose_device

Damage = Callable[[Path], object]


def edit(name: str, **changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return damage


def edit_decoder(**changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        edit("config.json", text_config=config["text_config"] | changes)(folder)

    return damage


def remove_one_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors[next(name for name in tensors if "q_proj" in name)]
    save_file(tensors, file, {"format": "pt"})


def add_code(folder: Path) -> None:
    edit("config.json", model_type="mystery", auto_map={"AutoConfig": "configuration_mystery.Mystery"})(folder)
    (folder / "configuration_mystery.py").write_text("raise SystemExit('this code ran')")


def need_torchvision(folder: Path) -> None:
    edit("processor_config.json", processor_class="SmolVLMProcessor")(folder)
    (folder / "video_preprocessor_config.json").write_text('{"video_processor_type": "SmolVLMVideoProcessor"}')


def truncate(name: str, size: int) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "config.json").unlink(), "not a model folder"),
        (truncate("config.json", 10), "damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "has no model type"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "pickles"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (truncate("model.safetensors", 5000), "damaged"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 5000), "damaged"),
        (remove_one_weight, "lacks 1 of the model's weights"),
        (add_code, "own code, which Parley never runs"),
        (edit("config.json", model_type="mystery"), "does not know"),
        (edit("config.json", model_type="llama"), "cannot look at pictures"),
        (edit("config.json", text_config={"model_type": "llama", "hidden_size": 64}), "other shapes"),
        # Without sizes it is a model of 7 billion parameters, which must not be allocated to find that out.
        (
            edit("config.json", text_config={"model_type": "llama"}),
            "describes [67],[0-9,]+ parameters, and",
        ),
        (edit("config.json", model_type=["x"]), "cannot be used"),
        (edit_decoder(num_attention_heads=0), "cannot be"),
        (edit_decoder(hidden_act="no-such"), "cannot be"),
        (edit_decoder(rope_parameters={"rope_type": "no-such", "rope_theta": 1e4}), "cannot be"),
        (edit_decoder(dtype="no-such"), "cannot be"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("[]"), "cannot be"),
        (lambda folder: (folder / "processor_config.json").unlink(), "processor"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "processor"),
        (lambda folder: (folder / "chat_template.jinja").unlink(), "no chat template"),
        (lambda folder: (folder / "chat_template.jinja").write_text("{% for"), "chat template"),
        (
            lambda folder: (folder / "chat_template.jinja").write_text(
                "{% if not tools %}{{ raise_exception('Give me tools!') }}{% endif %}"
            ),
            "chat template.*Give me tools",
        ),
        (lambda folder: (folder / "chat_template.jinja").write_text("{{ 'a' + messages[0]['content'] }}"), "template"),
        (lambda folder: (folder / "picture_adapter.safetensors").write_bytes(b"xx"), "damaged"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(
    llava_folder: Path, tmp_path: Path, damage: Damage, sentence: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(llava_folder, folder)
    damage(folder)
    with pytest.raises(ModelError, match=sentence) as caught:
        LocalModel.load(str(folder), device="cpu")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value) or "model" in str(caught.value)


def test_a_processor_that_needs_torchvision_says_so(llava_folder: Path, tmp_path: Path) -> None:
    try:
        import torchvision  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
    except (ImportError, RuntimeError):
        pass
    else:
        pytest.skip("needs an environment without torchvision")
    folder = tmp_path / "model"
    shutil.copytree(llava_folder, folder)
    need_torchvision(folder)
    with pytest.raises(MissingExtraError, match="needs torchvision"):
        LocalModel.load(str(folder), device="cpu")


@pytest.mark.parametrize("source", ["no-such-model", "./no/such/folder", "/no/such/folder", "", "a/b/c"])
def test_a_missing_folder_is_named(source: str) -> None:
    with pytest.raises(ConfigError, match="There is no model"):
        LocalModel.load(source)


def test_a_file_is_not_a_model(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match="is a file"):
        LocalModel.load(str(file))


def test_an_unreachable_hub_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="is not on this machine, and HF_HUB_OFFLINE is set"):
        LocalModel.load("parley-tests/no-such-model")


def test_devices_and_quantizations_that_do_not_exist_are_refused() -> None:
    assert choose_device("cpu").quantization in {"int8", "none"}
    assert choose_device("cpu", "none").dtype is torch.float32
    for device, quantize in (
        ("cpu", "int3"),
        ("toaster", "auto"),
        ("mps" if not torch.backends.mps.is_available() else "toaster", "auto"),
        ("cpu", "fp16"),
        ("mps", "int8"),
        ("meta", "auto"),
    ):
        with pytest.raises(ConfigError):
            choose_device(device, quantize)


def test_a_driver_that_is_too_old_is_given_as_the_reason(monkeypatch: pytest.MonkeyPatch, llava_folder: Path) -> None:
    def warn() -> bool:
        warnings.warn(
            "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). Please update "
            "your GPU driver. (Triggered internally at CUDAFunctions.cpp:119.)",
            stacklevel=1,
        )
        return False

    monkeypatch.setattr(torch.cuda, "is_available", warn)
    reason = "The NVIDIA driver on your system is too old (found version 11040)"
    with pytest.raises(ConfigError, match=re.escape(f"No CUDA device can be used here ({reason}): choose --device")):
        choose_device("cuda")
    model = LocalModel.load(str(llava_folder))
    assert model.info.device == "cpu"
    assert model.notices == (f"The GPU is not used: {reason}.",)


def test_progress_reaches_the_end(llava_folder: Path) -> None:
    reports: list[tuple[str, int, int]] = []
    LocalModel.load(str(llava_folder), device="cpu", progress=lambda *step: reports.append(step))
    assert reports[0][1] == 0
    assert reports[-1][1] == reports[-1][2] > 0
    assert [done for _, done, _ in reports] == sorted(done for _, done, _ in reports)


def test_loading_prints_nothing(llava_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    LocalModel.load(str(llava_folder), device="cpu")
    assert capfd.readouterr() == ("", "")
