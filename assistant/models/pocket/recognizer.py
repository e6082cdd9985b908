"""The classifiers of the bundled model's vision tower, by themselves: ImageNet classes and words of captions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import torch
from safetensors import safe_open
from torch import Tensor

from assistant.models.pocket.efficientnet import VARIANTS, EfficientNetLite
from assistant.models.pocket.vision_encoder import WordHead

_PREFIXES = ("vision_tower.tower.", "vision_tower.word_head.")


@dataclass(frozen=True)
class Recognition:
    """Probabilities by name; those of classes exclude each other, those of words do not.

    Attributes:
        classes: Probability of each ImageNet class, the likeliest first.
        words: Probability that a caption of the image uses each word, the likeliest first.
    """

    classes: Mapping[str, float]
    words: Mapping[str, float]


class Recognizer:
    """Recognizes things in images. It has 11 million weights of its own, 45 MB, and takes 20 to 40 ms an image."""

    def __init__(self, tower: EfficientNetLite, head: WordHead, names: Mapping[str, Sequence[str]], side: int) -> None:
        self._tower = tower
        self._head = head
        self._names = names
        self._side = side

    @classmethod
    def load(cls, folder: Path) -> "Recognizer":
        """Load the classifiers from the folder of the assembled model."""
        config = json.loads((folder / "config.json").read_bytes())["vision_config"]
        names = json.loads((folder / "names.json").read_bytes())
        tower, head = EfficientNetLite(config["variant"]), WordHead(config["vocabulary"], config["word_hidden"])
        with safe_open(folder / "model.safetensors", "pt") as weights:
            keys = list(weights.keys())
            for module, prefix in zip((tower, head), _PREFIXES, strict=True):
                module.load_state_dict(
                    {key[len(prefix) :]: weights.get_tensor(key) for key in keys if key.startswith(prefix)}
                )
        return cls(tower.eval(), head.eval(), names, VARIANTS[config["variant"]].image_size)

    @torch.inference_mode()
    def recognize(self, images: Sequence[PIL.Image.Image]) -> list[Recognition]:
        """Recognize what is in each of some RGB images. They are squashed to a square, as the tower was trained."""
        pixels = torch.stack([_preprocess(image, self._side) for image in images])
        features = self._tower.features(self._tower.neck(pixels))
        classes = self._tower.class_logits(features).softmax(-1)
        words = self._head(features).sigmoid()
        return [
            Recognition(_ranked(self._names["classes"], of_class), _ranked(self._names["words"], of_word))
            for of_class, of_word in zip(classes, words, strict=True)
        ]


def _preprocess(image: PIL.Image.Image, side: int) -> Tensor:
    squashed = image.resize((side, side), PIL.Image.Resampling.BICUBIC)
    pixels = torch.frombuffer(bytearray(squashed.tobytes()), dtype=torch.uint8).view(side, side, 3)
    return ((pixels.float() - 127) / 128).permute(2, 0, 1)


def _ranked(names: Sequence[str], probabilities: Tensor) -> dict[str, float]:
    values, order = probabilities.sort(descending=True)
    ranked: dict[str, float] = {}
    for index, value in zip(order.tolist(), values.tolist(), strict=True):
        # Two ImageNet classes may have one name (crane, maillot): the likelier one counts.
        ranked.setdefault(names[index], value)
    return ranked
