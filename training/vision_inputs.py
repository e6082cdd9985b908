"""Inputs of `TrainedVisionEncoder`: features, class and word probabilities of every image, with augmentation."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from assistant.models.pocket.efficientnet import IMAGENET_CLASSES, EfficientNetLite
from assistant.models.pocket.vision_encoder import WordHead
from training import blends, synthetic_images
from training.curriculum import DOG_WORDS, Sample
from training.data import DATASETS
from training.features import FeatureStore, TowerHead
from training.recipe import WORD_HIDDEN, Recipe
from training.word_targets import Vocabulary


class VisionBatch(NamedTuple):
    """Arguments of `TrainedVisionEncoder.forward`."""

    features: Tensor
    classes: Tensor
    words: Tensor
    keep_visual: Tensor
    keep_tags: Tensor


class VisionInputs:
    """Precomputed inputs of all images.

    Attributes:
        vocabulary: Words of the word head.
        store: Features of every dataset.
        class_probabilities: The tower's class probabilities (images, 2, 1000) of each dataset, as it is and mirrored.
        word_probabilities: The same of the word head (images, 2, vocabulary).
    """

    def __init__(self, work: Path, tower: EfficientNetLite, recipe: Recipe) -> None:
        self.vocabulary = Vocabulary.load(work / "words" / "vocabulary.json")
        self.store = FeatureStore(work, TowerHead(tower))
        self.word_probabilities = load_file(work / "words" / "probabilities.safetensors")
        self.class_probabilities = class_probabilities(work, self.store, tower)
        self._recipe = recipe
        words = self.vocabulary.words
        self._dog_columns = [words.index(word) for word in DOG_WORDS if word in words]

    @torch.inference_mode()
    def add_generated(self, work: Path, tower: EfficientNetLite, blended: Mapping[str, Sequence[int]]) -> None:
        """Add the drawn images and the blends of the images `blended`, with what the frozen heads predict for them."""
        head = WordHead(len(self.vocabulary.words), WORD_HIDDEN)
        head.load_state_dict(load_file(work / "words" / "head.safetensors"))
        head.eval()
        generated = {
            "drawings": synthetic_images.synthetic_maps(work, tower),
            "blends": blends.blend_maps(work, self.store, tower.class_logits, blended),
        }
        for name, maps in generated.items():
            self.store.maps[name] = maps.numpy()
            classes, words = [], []
            for mirrored in (False, True):
                chunks = [
                    self.store.features(name, rows, torch.full((len(rows),), mirrored)).float()
                    for rows in torch.arange(len(maps)).split(64)
                ]
                classes.append(
                    torch.cat([tower.class_logits(chunk.bfloat16()).float().softmax(-1) for chunk in chunks])
                )
                words.append(torch.cat([head(chunk).sigmoid() for chunk in chunks]))
            self.class_probabilities[name] = torch.stack(classes, 1).clone()
            self.word_probabilities[name] = torch.stack(words, 1).clone()

    def batch(self, samples: Sequence[Sample], rng: random.Random, *, training: bool) -> VisionBatch:
        """Return the inputs of `samples`; with `training`, augmented at random."""
        features, classes, words = [], [], []
        keep_visual, keep_tags = torch.ones(len(samples)), torch.ones(len(samples))
        for number, sample in enumerate(samples):
            name, row, mirrored = sample.dataset, sample.row, sample.mirrored
            features.append(self.store.features(name, torch.tensor([row]), torch.tensor([mirrored])))
            class_probability = self.class_probabilities[name][row, int(mirrored)].float().clone()
            word_probability = self.word_probabilities[name][row, int(mirrored)].float().clone()
            if sample.replaced_class:
                index, confidence = sample.replaced_class
                rest = class_probability * (torch.rand(IMAGENET_CLASSES) < 0.02)
                class_probability = rest / rest.sum().clamp(min=1e-6) * (1 - confidence)
                class_probability[index] = confidence
                word_probability[self._dog_columns] *= 0.02
                keep_visual[number] = 0
            if training and sample.augment:
                roll = rng.random()
                if roll < self._recipe.tag_dropout:
                    keep_tags[number] = 0
                elif roll < self._recipe.tag_dropout + self._recipe.picture_dropout:
                    keep_visual[number] = 0
                # On new images the word head misses words that are there.
                word_probability *= (torch.rand(len(word_probability)) > 0.04).float()
            classes.append(class_probability)
            words.append(word_probability)
        return VisionBatch(
            torch.cat(features).float(), torch.stack(classes), torch.stack(words), keep_visual, keep_tags
        )


def class_probabilities(work: Path, store: FeatureStore, tower: EfficientNetLite) -> dict[str, Tensor]:
    """Return the tower's ImageNet probabilities of every image, float16 (images, 2, 1000), by dataset.

    Written to `WORK/classes.safetensors` by the first call.
    """
    path = work / "classes.safetensors"
    if not path.exists():
        out: dict[str, Tensor] = {}
        for name in DATASETS:
            rows = torch.arange(len(store.names[name]))
            views = []
            for mirrored in (False, True):
                parts = []
                for chunk in rows.split(64):
                    with torch.inference_mode():
                        features = store.features(name, chunk, torch.full((len(chunk),), mirrored))
                        parts.append(tower.class_logits(features).float().softmax(-1).half())
                views.append(torch.cat(parts))
            out[name] = torch.stack(views, 1).contiguous()
        save_file(out, path)
    return load_file(path)
