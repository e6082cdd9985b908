"""Fakes for tests of skills: images, models that batch, emotion models, conversations and plugin packages."""

import asyncio
import io
import json
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest
from numpy.typing import NDArray

from assistant.conversation.session import Session
from assistant.errors import ContextOverflow, ModelError
from assistant.events import Event, Usage
from assistant.messages import Audio, Image, Message
from assistant.models.base import BatchReply, GenerationOptions
from assistant.models.scripted import ScriptedModel
from skills import VisionClient, VisionModel
from skills.emotions.face import FaceEmotionClassifier
from skills.emotions.face_boxes import Face
from skills.emotions.labels import EMOTIONS
from skills.emotions.voice import VocalEmotion
from skills.slash_commands import SlashCommandRouter
from tests.fakes.conversation import RecordingStore, run_turn

RATE = 16_000
STATE_WIDTH = 576
"""Width of the bundled model's hidden states."""

InstallSkill = Callable[..., None]


def make_image(width: int = 60, height: int = 40, colour: str = "red", name: str = "photo.png") -> Image:
    """Return an image of one colour."""
    data = io.BytesIO()
    PIL.Image.new("RGB", (width, height), colour).save(data, "PNG")
    return Image(data.getvalue(), "image/png", width, height, name)


def make_text_image(*rows: tuple[int, int, str], size: tuple[int, int] = (640, 320), name: str = "sign.png") -> Image:
    """Return a white image with text; each row is left, top and the words."""
    canvas = PIL.Image.new("RGB", size, "white")
    draw = PIL.ImageDraw.Draw(canvas)
    font = PIL.ImageFont.load_default(40)
    for left, top, words in rows:
        draw.text((left, top), words, fill="black", font=font)
    data = io.BytesIO()
    canvas.save(data, "PNG")
    return Image(data.getvalue(), "image/png", *size, name)


def silence(seconds: float = 1.0) -> Audio:
    """Return a silent recording."""
    return Audio(np.zeros(int(seconds * RATE), "<f4").tobytes(), RATE)


class BatchingModel(ScriptedModel):
    """Echo several questions at once and record the batch sizes.

    The question "too long" raises `ContextOverflow`, the question "broken" raises `ModelError`, and a question with
    "(empty)" in it gets an empty reply.
    """

    batch_size = 4

    def __init__(self, replicas: int = 1) -> None:
        super().__init__()
        self.batch_sizes: list[int] = []
        self._replicas = [self, *(BatchingModel() for _ in range(replicas - 1))]

    def replicas(self, max_replicas: int) -> "list[BatchingModel]":
        return self._replicas[:max_replicas]

    def generate_batch(
        self, conversations: Sequence[Sequence[Message]], options: GenerationOptions, stop: threading.Event
    ) -> list[BatchReply]:
        self.batch_sizes.append(len(conversations))
        texts = [messages[-1].text for messages in conversations]
        if "too long" in texts:
            raise ContextOverflow(600, 500)
        if "broken" in texts:
            raise ModelError("The model broke.")
        replies = ["" if stop.is_set() else f"{text}, in {options.max_tokens}" for text in texts]
        return [BatchReply("" if "(empty)" in reply else reply, Usage()) for reply in replies]


class FakeEmotionModels:
    """`EmotionModels` with constant hidden states, so that only the n-grams of a text decide, and a given voice."""

    def __init__(self, vocal_emotion: VocalEmotion | None = None) -> None:
        self.texts: list[str] = []
        self._vocal_emotion = vocal_emotion

    def model(self) -> VisionModel:
        return VisionClient(ScriptedModel("anger"))

    def hidden_states(self, texts: Sequence[str], layers: Sequence[int]) -> list[NDArray[np.float32]]:
        self.texts.append(texts[1])
        return [np.ones((len(layers), len(text), STATE_WIDTH), np.float32) for text in texts]

    def faces(self, image: PIL.Image.Image) -> list[Face]:
        # The cascade of OpenCV, which nobody has to download.
        return FaceEmotionClassifier.load().classify(image)

    def vocal_emotion(self, samples: NDArray[np.float32]) -> VocalEmotion | None:
        assert samples.dtype == np.float32
        return self._vocal_emotion


def peaked_at(label: str, probability: float = 0.94) -> dict[str, float]:
    """Return probabilities of `EMOTIONS` with one peak and equal others."""
    rest = (1 - probability) / (len(EMOTIONS) - 1)
    return {each: probability if each == label else rest for each in EMOTIONS}


def run_turns(model: ScriptedModel, *messages: Message, store: RecordingStore | None = None) -> list[list[Event]]:
    """Return the events of each turn of one conversation in which skills can be called."""

    async def run() -> list[list[Event]]:
        session = Session(model, router=SlashCommandRouter(lambda: model), store=store)
        return [await run_turn(session, message) for message in messages]

    return asyncio.run(run())


def skill_installer(site: Path, monkeypatch: pytest.MonkeyPatch) -> InstallSkill:
    """Return a function that installs a package with one skill, as pip would have done, into `site`."""

    def install(name: str, code: str, *, skill: str | None = None, package: str | None = None) -> None:
        info = site / f"{package or name}_pack-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package or name}-pack\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[parley.skills]\n{name} = {name}_module:{skill or name}\n")
        (site / f"{name}_module.py").write_text(code)
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, f"{name}_module", raising=False)

    return install


def write_jsonl(path: Path, *records: dict[str, Any]) -> Path:
    """Write a file of JSON lines and return its path."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path
