"""The classifiers of the bundled model's vision tower, by themselves: ImageNet classes and words of captions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from assistant.errors import ModelError, first_line
from assistant.models.pocket.efficientnet import IMAGENET_CLASSES, VARIANTS, EfficientNetLite
from assistant.models.pocket.vision_encoder import WordHead

_PREFIXES = ("vision_tower.tower.", "vision_tower.word_head.")


@dataclass(frozen=True)
class Recognition:
    """Probabilities of what is in one image; those of classes exclude each other, those of words do not.

    Attributes:
        classes: Probability of each ImageNet class, by its number.
        words: Probability that a caption of the image uses each word.
    """

    classes: Sequence[float]
    words: Mapping[str, float]


class Recognizer:
    """Recognizes things in images. It has 11 million weights of its own, 45 MB, and takes 20 to 40 ms an image."""

    def __init__(self, tower: EfficientNetLite, head: WordHead, names: Mapping[str, Sequence[str]], side: int) -> None:
        self._tower = tower
        self._head = head
        self.class_names = tuple(names["classes"])
        """Names of the ImageNet classes, in the order of their numbers."""
        self._words = names["words"]
        self._side = side

    @classmethod
    def load(cls, folder: Path) -> "Recognizer":
        """Load the classifiers from the folder of the assembled model. Raises `ModelError` if it is damaged."""
        try:
            return cls._load(folder)
        except (LookupError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
            raise ModelError(
                f"The files of the bundled model in {folder} are damaged ({first_line(error)}): delete that folder, "
                "and it is put together again."
            ) from error

    @classmethod
    def _load(cls, folder: Path) -> "Recognizer":
        config = json.loads((folder / "config.json").read_bytes())["vision_config"]
        names = json.loads((folder / "names.json").read_bytes())
        tower, head = EfficientNetLite(config["variant"]), WordHead(config["vocabulary"], config["word_hidden"])
        if (len(names["classes"]), len(names["words"])) != (IMAGENET_CLASSES, config["vocabulary"]):
            raise ValueError("names.json is of another model")
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
            Recognition(of_class, dict(zip(self._words, of_word, strict=True)))
            for of_class, of_word in zip(classes.tolist(), words.tolist(), strict=True)
        ]


def _preprocess(image: PIL.Image.Image, side: int) -> Tensor:
    squashed = image.resize((side, side), PIL.Image.Resampling.BICUBIC)
    pixels = torch.frombuffer(bytearray(squashed.tobytes()), dtype=torch.uint8).view(side, side, 3)
    return ((pixels.float() - 127) / 128).permute(2, 0, 1)
