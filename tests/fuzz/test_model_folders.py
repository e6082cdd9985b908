"""Model folders: damaged, odd and hostile files of a tiny model, through the public loader, and a reply if it loads."""

import json
import random
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch

from assistant.messages import Image, user
from assistant.models.base import GenerationOptions
from assistant.models.local import template_limits
from assistant.models.local.model import LocalModel
from assistant.models.replies import stream_text
from tests.fakes.tiny_models import make_image, make_llava
from tests.fuzz.folder_changes import change_json, change_weights
from tests.fuzz.harness import fuzz, mutate_bytes, odd_json, odd_text

JSON_FILES = ("config.json", "config.json", "processor_config.json", "tokenizer_config.json", "tokenizer.json")
SMALL_FILES = (*JSON_FILES, "generation_config.json", "chat_template.jinja")
SNIPPETS = (
    *(
        "{{ messages }}",
        "{% for m in messages %}{{ m }}{% endfor %}",
        "{{ 'a' * 99999 }}",
        "{{ 9 ** 9 }}",
        "{{ x.y.z }}",
    ),
    *("{{ raise_exception('no') }}", "{% set x = 'a' %}{{ x[99] }}", "{% include 'x' %}", "{{ 1 / 0 }}", "<image>"),
    *(
        "{% for i in range(99999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        "{{ ''.__class__ }}",
        "{% if %}",
    ),
)


@dataclass(frozen=True)
class Change:
    """A damaged file: its name and new content, None to delete it."""

    name: str
    content: bytes | None


def make_change(files: dict[str, bytes], rng: random.Random) -> Change:
    kind = rng.random()
    if kind < 0.5:
        name = rng.choice(JSON_FILES)
        return Change(name, change_json(rng, files[name]))
    if kind < 0.65:
        name = rng.choice(SMALL_FILES)
        return Change(name, mutate_bytes(rng, files[name]))
    if kind < 0.8:
        return Change("model.safetensors", change_weights(rng, files["model.safetensors"]))
    if kind < 0.93:
        template = files["chat_template.jinja"].decode()
        at = rng.randrange(len(template))
        snippet = rng.choice((*SNIPPETS, odd_text(rng, 2)))
        return Change("chat_template.jinja", (template[:at] + snippet + template[at:]).encode(errors="replace"))
    if kind < 0.97:
        return Change(rng.choice(SMALL_FILES), rng.choice((b"", b"{}", b"[" * 100_000, b"\xff\xfe", None)))
    extra = ("pytorch_model.bin", "model.safetensors.index.json", "picture_adapter.safetensors", "evil.py", "vocab.txt")
    return Change(rng.choice(extra), rng.choice((b"", b"{}", rng.randbytes(100), json.dumps(odd_json(rng)).encode())))


def make_changes(files: dict[str, bytes], rng: random.Random) -> list[Change]:
    return [make_change(files, rng) for _ in range(rng.choice((1, 1, 1, 2)))]


def load_and_ask(original: Path, folder: Path, image: Image, changes: list[Change]) -> None:
    """Load the changed folder, and ask about a picture if it loads."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder)
    for change in changes:
        (folder / change.name).unlink(missing_ok=True)
        if change.content is not None:
            (folder / change.name).write_bytes(change.content)
    model = LocalModel.load(str(folder), device="cpu", quantize="none")
    try:
        for message in (user("What is it?", image), user("And?")):
            text = "".join(stream_text(model, [message], GenerationOptions(max_tokens=8), threading.Event()))
            text.encode()
    finally:
        model.close()


@pytest.mark.slow
def test_no_model_folder_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_limits, "MAX_SECONDS", 1.0)
    torch.set_num_threads(1)
    original = make_llava(tmp_path / "original")
    files = {file.name: file.read_bytes() for file in original.iterdir()}
    use: Callable[[list[Change]], None] = partial(load_and_ask, original, tmp_path / "model", make_image(1))
    fuzz("model_folders", partial(make_changes, files), use)
