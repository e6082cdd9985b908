"""Predictions and features of single modalities, clean and degraded, for `training.fusion`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from skills.emotions.face import FaceEmotionClassifier
from skills.emotions.face_network import face_logits, standardize
from skills.emotions.labels import EMOTIONS
from skills.emotions.probabilities import softmax
from skills.emotions.text import TextHead, hash_ngrams
from skills.emotions.voice import VOICES
from training.calibration import fit_temperature
from training.emodb import features_without_vad, load_whisper, read_clips
from training.fer2013 import read_faces
from training.goemotions import group_labels, read_comments
from training.recipe import SEED
from training.voice_head import WIDTH, HeadConfig, fit_head

LABELS = tuple(name for name in EMOTIONS if name != "surprise")
"""Labels of the comparison. EmoDB has no surprise."""

_EXAMPLES_PER_LABEL = 60
_DEGRADED_WORDS = 3
_DEGRADED_FACE_SIDE = 8
# The config that `training.voices` chose for every speaker.
_VOICE_CONFIG = HeadConfig(1e-2, WIDTH)

Floats = NDArray[np.float32]


class Pool(NamedTuple):
    """Examples of one modality and split.

    Attributes:
        labels: Indices of `EMOTIONS` (examples,).
        clean: Probabilities over `EMOTIONS` (examples, 7).
        degraded: The same for the degraded examples.
        clean_features: Inputs of early fusion (examples, width).
        degraded_features: The same for the degraded examples.
    """

    labels: NDArray[np.int64]
    clean: Floats
    degraded: Floats
    clean_features: Floats
    degraded_features: Floats


def sample_per_label(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of at most `_EXAMPLES_PER_LABEL` random examples of each of `LABELS`."""
    sampled = []
    for name in LABELS:
        candidates = np.flatnonzero(labels == EMOTIONS.index(name))
        sampled.append(rng.choice(candidates, min(_EXAMPLES_PER_LABEL, len(candidates)), replace=False))
    return np.concatenate(sampled)


def text_pool(data: Path, split: str, hidden_states: Callable[[Sequence[str]], Any], rng: np.random.Generator) -> Pool:
    """Return GoEmotions comments with exactly one of the seven labels. Degraded: their first three words."""
    texts, fine = read_comments(data, split)
    basic = group_labels(fine)
    labels = np.where(basic.sum(1) == 1, basic.argmax(1), -1)
    sampled = sample_per_label(labels, rng)
    head = TextHead.load()

    def classify(texts: Sequence[str]) -> tuple[Floats, Floats]:
        pooled = hidden_states(texts).astype(np.float32).reshape(len(texts), -1)
        activations = np.maximum((pooled - head.mean) / head.deviation @ head.hidden.T + head.hidden_bias, 0)
        logits = head.logits(pooled, [hash_ngrams(text) for text in texts])
        return softmax(logits[:, -len(EMOTIONS) :]), activations

    clean = [" ".join(texts[index].split()) for index in sampled]
    degraded = [" ".join(texts[index].split()[:_DEGRADED_WORDS]) for index in sampled]
    (clean_probabilities, clean_features), (probabilities, features) = classify(clean), classify(degraded)
    return Pool(labels[sampled], clean_probabilities, probabilities, clean_features, features)


@torch.no_grad()
def face_pool(data: Path, split: str, rng: np.random.Generator) -> Pool:
    """Return FER-2013 faces. Degraded: scaled down to 8 x 8 pixels and up again."""
    faces = read_faces(data, split)
    sampled = sample_per_label(faces.labels.numpy(), rng)
    pixels = faces.pixels[torch.from_numpy(sampled)]
    small = F.interpolate(pixels[:, None].float(), (_DEGRADED_FACE_SIDE, _DEGRADED_FACE_SIDE), mode="area")
    blurred = F.interpolate(small, pixels.shape[1:], mode="bilinear")[:, 0].round().to(torch.uint8)
    classifier = FaceEmotionClassifier.load()

    def classify(pixels: Tensor) -> tuple[Floats, Floats]:
        maps = classifier.network.features(standardize(pixels).contiguous(memory_format=torch.channels_last))
        probabilities = (face_logits(classifier.network, pixels) / classifier.temperature).softmax(1)
        return probabilities.numpy(), maps.mean((2, 3)).numpy()

    (clean_probabilities, clean_features), (probabilities, features) = classify(pixels), classify(blurred)
    return Pool(faces.labels.numpy()[sampled], clean_probabilities, probabilities, clean_features, features)


def voice_pools(data: Path, work: Path) -> dict[str, Pool]:
    """Return EmoDB clips: five speakers as "dev", the other five as "test". Degraded: white noise as loud as the voice.

    Each clip is classified by a head that was not trained on its speaker.
    """
    features, labels, speakers = _voice_features(data, work)
    names = sorted(set(speakers.tolist()))
    logits = torch.zeros(2, len(labels), len(VOICES))
    for name in names:
        own = speakers == name
        head = fit_head(torch.from_numpy(features[0, ~own]), torch.from_numpy(labels[~own]), _VOICE_CONFIG)
        for condition in range(2):
            logits[condition, own] = head.logits(torch.from_numpy(features[condition, own]))
    voice_probabilities = (logits / fit_temperature(logits[0], torch.from_numpy(labels))).softmax(2).numpy()
    # Boredom counts as neutral, as in the skill.
    columns = np.array([EMOTIONS.index("neutral" if name == "boredom" else name) for name in VOICES])
    probabilities = np.zeros((2, len(labels), len(EMOTIONS)), np.float32)
    for index, column in enumerate(columns):
        probabilities[:, :, column] += voice_probabilities[:, :, index]
    pools = {}
    for split, split_speakers in {"dev": names[::2], "test": names[1::2]}.items():
        mask = np.isin(speakers, split_speakers)
        pools[split] = Pool(columns[labels[mask]], *probabilities[:, mask], *features[:, mask])
    return pools


def _voice_features(data: Path, work: Path) -> tuple[Floats, NDArray[np.int64], NDArray[np.str_]]:
    """Return features (clean and noisy, clips, width), labels (clips,) as indices of `VOICES`, and speakers (clips,).

    Features are averaged over the segments of a clip. They are cached in `work`.
    """
    cache = work / "emotion" / "voices-noisy.npz"
    if not cache.exists():
        whisper = load_whisper()
        rng = np.random.default_rng(SEED)
        clean: list[Floats] = []
        noisy: list[Floats] = []
        labels: list[int] = []
        speakers: list[str] = []
        for clip in read_clips(data):
            loudness = float(np.sqrt(np.square(clip.samples).mean()))
            noise = rng.normal(0, loudness, clip.samples.size).astype(np.float32)
            clean.append(features_without_vad(clip.samples, whisper.encode).mean(0))
            noisy.append(features_without_vad(clip.samples + noise, whisper.encode).mean(0))
            labels.append(clip.label)
            speakers.append(clip.speaker)
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, rows=np.stack([clean, noisy]), labels=np.array(labels), speakers=np.array(speakers))
    arrays = np.load(cache)
    return arrays["rows"], arrays["labels"], arrays["speakers"]
