"""Linear heads for emotion in a voice, and their cross-validation over speakers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from skills.emotions.voice import VOICES
from training.calibration import minimize
from training.emodb import ClipFeatures

ENCODER_WIDTH = 512
PROSODY_WIDTH = 15
WIDTH = ENCODER_WIDTH + PROSODY_WIDTH
_INNER_FOLDS = 3


class HeadConfig(NamedTuple):
    """Hyperparameters, chosen without the speaker who is evaluated.

    Attributes:
        ridge: Weight of the L2 penalty.
        width: Number of features: `ENCODER_WIDTH` without prosody, `WIDTH` with it.
    """

    ridge: float
    width: int


CONFIGS = tuple(HeadConfig(ridge, width) for ridge in (1e-3, 3e-3, 1e-2, 3e-2) for width in (ENCODER_WIDTH, WIDTH))
"""Candidates of `choose_config`."""


class LinearHead(NamedTuple):
    """A linear classifier on standardized features.

    Attributes:
        mean: (width,).
        deviation: Standard deviation (width,).
        weight: (7, width).
        bias: (7,).
    """

    mean: Tensor
    deviation: Tensor
    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Return logits (segments, 7) of features (segments, at least the head's width)."""
        return ((features[:, : len(self.mean)] - self.mean) / self.deviation) @ self.weight.T + self.bias


def fit_head(features: Tensor, labels: Tensor, config: HeadConfig) -> LinearHead:
    """Fit multinomial logistic regression with an L2 penalty. Computes in float64, for reproducible results.

    Args:
        features: (segments, at least `config.width`).
        labels: Indices of `VOICES` (segments,).
        config: Hyperparameters.
    """
    features = features[:, : config.width].double()
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    standardized = (features - mean) / deviation
    weight = torch.zeros(len(VOICES), config.width, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(VOICES), dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        return F.cross_entropy(standardized @ weight.T + bias, labels) + config.ridge * weight.square().sum()

    minimize(loss, [weight, bias], max_iterations=200)
    return LinearHead(*(tensor.detach().float() for tensor in (mean, deviation, weight, bias)))


def cross_validate(clips: ClipFeatures, folds: Sequence[Sequence[str]], configs: Sequence[HeadConfig]) -> Tensor:
    """Return logits (clips, 7) by heads that were not trained on the speakers of the clip's fold.

    Logits are averaged over the segments of a clip. They are NaN for speakers in no fold.

    Args:
        clips: Features of the clips.
        folds: Names of the speakers of each fold.
        configs: With several, each fold uses the one that is best within its own training speakers.
    """
    features, labels = torch.from_numpy(clips.features), torch.from_numpy(clips.labels)
    logits = torch.full((len(labels), len(VOICES)), torch.nan)
    for fold in folds:
        training_clips = ~np.isin(clips.speakers, fold)
        training_segments = training_clips[clips.clip_indices]
        if len(configs) == 1:
            config = configs[0]
        else:
            config = choose_config(clips.select(training_clips), configs)
            print(f"without {' '.join(fold)}: ridge {config.ridge:g}, {config.width} features", flush=True)
        head = fit_head(features[training_segments], labels[clips.clip_indices][training_segments], config)
        fold_logits = head.logits(features[~training_segments])
        for clip in np.flatnonzero(~training_clips):
            logits[clip] = fold_logits[clips.clip_indices[~training_segments] == clip].mean(0)
    return logits


def choose_config(clips: ClipFeatures, configs: Sequence[HeadConfig]) -> HeadConfig:
    """Return the config with the smallest cross-entropy on held-out speakers of `clips`."""
    speakers = clips.speaker_names
    folds = [speakers[start::_INNER_FOLDS] for start in range(_INNER_FOLDS)]
    labels = torch.from_numpy(clips.labels)
    return min(configs, key=lambda config: float(F.cross_entropy(cross_validate(clips, folds, [config]), labels)))
