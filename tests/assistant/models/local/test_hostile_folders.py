"""A model folder is data from outside: whatever is in it ends in one sentence, in little time and memory."""

import json
import os
import shutil
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from assistant.errors import ModelError, ParleyError
from assistant.messages import user
from assistant.models.base import GenerationOptions
from assistant.models.local import template_limits
from assistant.models.local.model import LocalModel
from assistant.models.local.template_limits import TemplateLimitError, check_numbers
from assistant.models.replies import stream_text
from tests.fakes.tiny_models import make_image

Damage = Callable[[Path], object]
DEEP = b"[" * 100_000
LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture
def folder(llava_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(llava_folder, tmp_path / "model"))


def answer(folder: Path) -> str:
    model = LocalModel.load(str(folder), device="cpu", quantize="none")
    return "".join(stream_text(model, [user("Hello")], GenerationOptions(max_tokens=32), threading.Event()))


def put(name: str, content: bytes | str) -> Damage:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def template(text: str) -> Damage:
    return put("chat_template.jinja", text)


def change_decoder(**values: object) -> Damage:
    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["text_config"] |= values
        (folder / "config.json").write_text(json.dumps(config))

    return damage


def replace_by(make: Callable[[Path], object]) -> Damage:
    def damage(folder: Path) -> None:
        (folder / "config.json").unlink()
        make(folder / "config.json")

    return damage


def fill(value: float) -> Damage:
    def damage(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / "model.safetensors")
        save_file(
            {name: torch.full_like(tensor, value) for name, tensor in tensors.items()},
            folder / "model.safetensors",
            {"format": "pt"},
        )

    return damage


def reshape(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = torch.zeros(3, 3)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (put("config.json", b'{"model_type": "llava", "x": ' + DEEP), r"config\.json is damaged"),
        (put("tokenizer.json", DEEP), "is nested too deeply"),
        (put("tokenizer_config.json", DEEP), "is nested too deeply"),
        (put("model.safetensors", struct.pack("<Q", 10 * 2**30) + b"{}"), "weights of .* are damaged"),
        (put("model.safetensors", struct.pack("<Q", len(DEEP)) + DEEP), "weights of .* are damaged"),
        (change_decoder(num_hidden_layers=10**6), r"describes a model with 1e\+06 layers"),
        (change_decoder(vocab_size=10**9), r"describes 9[0-9,]+ parameters, and its weights take only"),
        (change_decoder(max_position_embeddings=-5), "has a context of -5 tokens, too short"),
        (change_decoder(num_attention_heads=0), "configuration that cannot be used"),
        (reshape, "other shapes than its config.json says"),
        (fill(float("nan")), "produced NaN"),
        (replace_by(os.mkfifo), r"config\.json is no file"),
        (replace_by(lambda path: path.symlink_to("/dev/zero")), r"config\.json is no file"),
        (replace_by(lambda path: path.symlink_to(path)), "config.json cannot be read"),
        (replace_by(Path.mkdir), r"config\.json is no file"),
        (template(LOOP), "it runs without end"),
        (template("{% for i in range(10 * 99999) %}{% endfor %}"), "Range too big"),
        (template("{{ 'a' * 10**10 }}"), "it computes powers"),
        (template("{{ 'a' * 10000000000 }}"), "numbers over a million"),
        (template("{{ 'a' * 100000 * 100000 }}"), "numbers over a million"),
        (template("{% import 'os' as os %}"), "does not take this conversation"),
        (template("{% include '/etc/passwd' %}"), "does not take this conversation"),
        (template("{{ ''.__class__.__mro__[1].__subclasses__() }}"), "is unsafe"),
        (template("{{ raise_exception('no\x1b[31m way\nat all') }}"), r"no\[31m way\.$"),
        (template("{{ 1 // 0 }}"), "division"),
        (template("{% for %}"), "does not take this conversation"),
        (template("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), "recursion"),
    ],
)
def test_odd_content_is_refused_in_one_sentence(
    folder: Path, damage: Damage, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_limits, "MAX_SECONDS", 0.5)
    damage(folder)
    with pytest.raises(ParleyError, match=message) as caught:
        answer(folder)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("field", ["AutoConfig", "AutoProcessor", "AutoModelForImageTextToText"])
def test_code_in_the_folder_never_runs(folder: Path, field: str, tmp_path: Path) -> None:
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        values = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(values | {"auto_map": {field: "evil.Evil"}}))
    assert answer(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("layer", [99, -99])
def test_a_layer_that_the_vision_tower_does_not_have(folder: Path, layer: int) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vision_feature_layer": layer}))
    model = LocalModel.load(str(folder), device="cpu", quantize="none")
    reply = model.stream([user("Look!", make_image(1))], GenerationOptions(max_tokens=4), threading.Event())
    with pytest.raises(ModelError, match="does not fit its vision tower"):
        list(reply)


@pytest.mark.parametrize("count", [2**31, 1e300])
def test_a_picture_cannot_stand_for_gigabytes_of_tokens(folder: Path, count: float) -> None:
    config = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").write_text(json.dumps(config | {"num_additional_image_tokens": count}))
    with pytest.raises(ModelError, match="num_additional_image_tokens, which is too much"):
        answer(folder)


def test_an_index_cannot_lead_out_of_the_folder(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"metadata": {}, "weight_map": {"x": "../../etc/passwd"}}')
    with pytest.raises(ModelError):
        answer(folder)


def test_templates_of_real_models_pass_the_check() -> None:
    check_numbers(
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% if loop.index0 % 2 == 0 %}{{ m.content * 2 }}"
        "{% set ns.n = ns.n + 1 %}{% endif %}{% break %}{% endfor %}{{ 4096 - ns.n }}"
    )
    check_numbers("{% generation %}left to transformers{% endgeneration %}")
    with pytest.raises(TemplateLimitError, match="powers"):
        check_numbers("{{ 2 ** 3 }}")


def test_tracing_ends_with_the_limit() -> None:
    def run_for_ever() -> None:
        while True:
            pass

    before = sys.gettrace()
    with pytest.raises(TemplateLimitError), template_limits.time_limit(0.05):
        run_for_ever()
    assert sys.gettrace() is before
