"""Model folders: damaged, odd and hostile files of a tiny model, through the public loader, and a reply if it loads."""

import json
import random
import shutil
import struct
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
from assistant.models.replies import stream_reply
from tests.fakes.tiny_models import make_image, make_llava
from tests.fuzz.harness import fuzz, mutate_bytes, odd_json, odd_text

JSON_FILES = ("config.json", "config.json", "processor_config.json", "tokenizer_config.json", "tokenizer.json")
SMALL_FILES = (*JSON_FILES, "generation_config.json", "chat_template.jinja")
ODD_NUMBERS = (0, -1, 1, 3, 7, 2**16, 10**6, 2**31, 2**63, 10**30, 0.5, -0.5, 1e300)
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


def odd_value(rng: random.Random) -> object:
    return rng.choice(ODD_NUMBERS) if rng.random() < 0.5 else odd_json(rng, ("model_type", "size", "content"), 2)


def change_json(rng: random.Random, data: bytes) -> bytes:
    """Replace, remove or add values anywhere in a JSON file."""
    root = json.loads(data)
    for _ in range(rng.randint(1, 3)):
        place = root
        while True:
            inner = [
                each
                for each in (place.values() if isinstance(place, dict) else place)
                if each and isinstance(each, dict | list)
            ]
            if not inner or rng.random() < 0.4:
                break
            place = rng.choice(inner)
        if isinstance(place, dict):
            names = [*place, odd_text(rng, 1)]
            name = rng.choice(names)
            if rng.random() < 0.2:
                place.pop(name, None)
            else:
                place[name] = odd_value(rng)
        elif isinstance(place, list):
            place[rng.randrange(len(place) + 1) :][:1] = [odd_value(rng)]
            place.insert(rng.randrange(len(place) + 1), odd_value(rng))
    return json.dumps(root).encode(errors="replace")


def change_weights(rng: random.Random, data: bytes) -> bytes:
    """Damage the header or the tensors of a safetensors file."""
    size = struct.unpack("<Q", data[:8])[0]
    if rng.random() < 0.3:
        return mutate_bytes(rng, data[: 8 + size]) + data[8 + size :]
    if rng.random() < 0.2:
        return struct.pack("<Q", rng.choice((0, 2**20, 10 * 2**30, 2**63))) + data[8:]
    if rng.random() < 0.3:
        kept = rng.randrange(len(data))
        return data[:kept]
    header = change_json(rng, data[8 : 8 + size])
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


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
            text = "".join(stream_reply(model, [message], GenerationOptions(max_tokens=8), threading.Event()))
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
