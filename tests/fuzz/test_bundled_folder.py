"""The folder of the small bundled model after damage on the disk: used, or assembled again, or an error of ours."""

import io
import random
import shutil
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import PIL.Image
import pytest
import torch

from assistant.errors import ModelError
from assistant.messages import Image, user
from assistant.models.base import GenerationOptions
from assistant.models.local.model import LocalModel
from assistant.models.pocket import assemble
from assistant.models.pocket.describe import Describer
from assistant.models.pocket.described_images import DescribedImages, Vision
from assistant.models.pocket.efficientnet import EfficientNetLite
from assistant.models.pocket.recognizer import Recognizer
from assistant.models.pocket.vision_weights import is_complete
from assistant.models.replies import stream_text
from tests.fakes.pocket_parts import CONFIG, published_tower_weights, write_tiny_decoder, write_tiny_weights
from tests.fuzz.folder_changes import change_json, change_weights
from tests.fuzz.harness import fuzz, mutate_bytes

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Change:
    """A damaged file: its name and new content, None to delete it."""

    name: str
    content: bytes | None


def make_changes(files: dict[str, bytes], rng: random.Random) -> list[Change]:
    return [make_change(files, rng, name) for name in rng.sample(sorted(files), rng.choice((1, 1, 1, 2, 3)))]


def make_change(files: dict[str, bytes], rng: random.Random, name: str) -> Change:
    data = files[name]
    kind = rng.random()
    if kind < 0.1:
        return Change(name, None)
    if kind < 0.2:
        return Change(name, data[: rng.randrange(len(data))])
    if kind < 0.3:
        # Of another file, as after a repair of the disk.
        return Change(name, files[rng.choice(sorted(files))])
    if kind < 0.35:
        return Change(name, bytes(len(data)))
    if kind < 0.6 and name.endswith(".json"):
        return Change(name, change_json(rng, data))
    if kind < 0.6 and name.endswith(".safetensors"):
        return Change(name, change_weights(rng, data))
    return Change(name, mutate_bytes(rng, data, 3))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as it is assembled, with the graphs that the first use keeps in it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    parts, folder = tmp_path_factory.mktemp("parts"), tmp_path_factory.mktemp("assembled")
    write_tiny_decoder(parts / "decoder.gguf")
    torch.save(published_tower_weights(EfficientNetLite(CONFIG.variant)), parts / "tower.pth")
    (parts / "weights").mkdir()
    write_tiny_weights(parts / "weights")
    assemble.assemble(parts / "decoder.gguf", parts / "tower.pth", parts / "weights", folder)
    use_model(folder, draw())
    return folder


def draw() -> Image:
    pixels = PIL.Image.effect_noise((64, 48), 90).convert("RGB")
    file = io.BytesIO()
    pixels.save(file, "PNG")
    return Image(file.getvalue(), "image/png", *pixels.size, "noise.png")


def use_model(folder: Path, image: Image) -> None:
    """Load the model, ask about an image, and describe it, as the large model has it described."""
    model = LocalModel.load(str(folder), device="cpu")
    try:
        reply = stream_text(model, [user("What is it?", image)], GenerationOptions(max_tokens=4), threading.Event())
        "".join(reply).encode()
        images = DescribedImages(lambda: Vision(model, Describer(Recognizer.load(folder), model)))
        if (found := images.describe(image, threading.Event())) is not None:
            found.as_text().encode()
    finally:
        model.close()


def test_no_damage_of_the_bundled_folder_is_a_fault(original: Path, tmp_path: Path) -> None:
    image, folder = draw(), tmp_path / "model"
    files = {file.name: file.read_bytes() for file in original.iterdir()}
    assert any(name.startswith("graph-") for name in files)

    def use(changes: list[Change]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        # With the times of the files, which say whose graphs these are.
        shutil.copytree(original, folder)
        for change in changes:
            (folder / change.name).unlink()
            if change.content is not None:
                (folder / change.name).write_bytes(change.content)
        if not is_complete(folder):
            raise ModelError("It is assembled again.")
        use_model(folder, image)

    fuzz("bundled_folder", partial(make_changes, files), use)
