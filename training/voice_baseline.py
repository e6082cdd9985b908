"""The second voice head: emotion from how an utterance differs from earlier neutral ones of the same speaker."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skills.emotions.prosody import Floats
from skills.emotions.speaker_baseline import MIN_BASELINE_UTTERANCES
from skills.emotions.voice import VOICES
from training.calibration import evaluate_classifier, fit_temperature
from training.emodb import ClipFeatures
from training.voice_head import WIDTH, HeadConfig, LinearHead, fit_head
from voice.emotion import DetectedEmotion

# Numbers of neutral clips in the training baselines. Several, since the head has to work after 2 clips and after 20.
_BASELINE_SIZES = (1, 2, 3, 5, 8)
# As few as one, to show how much two help.
_EVALUATED_SIZES = (1, MIN_BASELINE_UTTERANCES, 5)
# The weakest ridge was best for this head as well. It was chosen on all ten speakers, as were the training baselines.
_CONFIG = HeadConfig(3e-3, WIDTH)


def fit_baseline_head(clips: ClipFeatures, rng: np.random.Generator) -> LinearHead:
    """Fit the head to the differences of every clip from baselines of one to eight neutral clips."""
    pairs = [baseline_differences(clips, size, rng) for size in _BASELINE_SIZES]
    differences = np.concatenate([each for each, _ in pairs])
    indices = np.concatenate([each for _, each in pairs])
    return fit_head(torch.from_numpy(differences), torch.from_numpy(clips.labels[indices]), _CONFIG)


def baseline_differences(clips: ClipFeatures, size: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    """Subtract from each clip the mean of other neutral clips of its speaker.

    Args:
        clips: Features of the clips.
        size: Number of neutral clips, drawn at random; fewer if the speaker has fewer.
        rng: Source of randomness.

    Returns:
        Differences (count, width), and the indices of their clips (count,). Clips whose speaker has no other neutral
        clip are left out.
    """
    means = np.stack([clips.features[clips.clip_indices == clip].mean(0) for clip in range(len(clips.labels))])
    is_neutral = clips.labels == VOICES.index("neutral")
    differences, indices = [], []
    for clip, speaker in enumerate(clips.speakers):
        others = np.flatnonzero(is_neutral & (clips.speakers == speaker) & (np.arange(len(is_neutral)) != clip))
        if len(others):
            baseline = means[rng.choice(others, min(size, len(others)), replace=False)].mean(0)
            differences.append(means[clip] - baseline)
            indices.append(clip)
    return np.stack(differences), np.array(indices)


def evaluate_baseline_head(clips: ClipFeatures, rng: np.random.Generator) -> tuple[float, dict[str, Any]]:
    """Evaluate on held-out speakers, by the number of neutral clips in the baseline. Prints the tables.

    Returns:
        Temperature fitted with baselines of `MIN_BASELINE_UTTERANCES` clips, and figures for the weights' metadata.
    """
    labels = torch.from_numpy(clips.labels)
    logits = {size: torch.full((len(labels), len(VOICES)), torch.nan) for size in _EVALUATED_SIZES}
    for speaker in clips.speaker_names:
        is_held_out = clips.speakers == speaker
        head = fit_baseline_head(clips.select(~is_held_out), rng)
        for size in _EVALUATED_SIZES:
            differences, indices = baseline_differences(clips.select(is_held_out), size, rng)
            logits[size][np.flatnonzero(is_held_out)[indices]] = head.logits(torch.from_numpy(differences))
    temperature = fit_temperature(logits[MIN_BASELINE_UTTERANCES], labels)
    probabilities = {size: (each / temperature).softmax(1) for size, each in logits.items()}
    figures: dict[str, Any] = {
        str(size): evaluate_classifier(f"held-out speakers, after {size} neutral clips", each, labels, VOICES)
        for size, each in probabilities.items()
    }
    figures["taken for upset"] = distress_rates(probabilities[MIN_BASELINE_UTTERANCES], labels)
    return temperature, figures


def distress_rates(probabilities: Tensor, labels: Tensor) -> dict[str, float]:
    """Return, in percent, how often empathy mode would detect distress: in distressed clips and in all others.

    A detector that guesses at random has the same rate in both. Prints the rates.

    Args:
        probabilities: Over `VOICES` (clips, 7).
        labels: Indices of `VOICES` (clips,).
    """
    detected, actual = [], []
    for row, label in zip(probabilities, labels.tolist(), strict=True):
        confidence, prediction = row.max(0)
        detected.append(bool(DetectedEmotion(VOICES[prediction], float(confidence)).distress))
        actual.append(bool(DetectedEmotion(VOICES[label], 1.0).distress))
    is_detected, is_actual = np.array(detected), np.array(actual)
    distressed, others = 100 * float(is_detected[is_actual].mean()), 100 * float(is_detected[~is_actual].mean())
    print(f"distress detected: in {distressed:.1f} % of distressed clips, in {others:.1f} % of the others", flush=True)
    return {"upset": round(distressed, 1), "others": round(others, 1)}
