"""Train the heads for emotion in a voice on EmoDB, cross-validated over speakers, and write their weights.

    python -m training.voices --data DATA --work WORK

Takes half a minute in all:

1. Extract the features of `skills.emotions.voice` from each clip. They are cached in WORK.
2. Evaluate: each of the ten speakers is classified by a head that was not trained on them. Its ridge, and whether it
   uses prosody beside the encoder's features, is chosen by three-fold cross-validation over the nine others.
3. Train the head on all ten speakers, with the temperature fitted on the held-out predictions.

A second head (`training.voice_baseline`) classifies how an utterance differs from the mean of some neutral ones by the
same speaker. It is evaluated in the same way, and written to the same file.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from skills.emotions.voice import VOICES, WEIGHTS
from training.calibration import evaluate_classifier, fit_temperature, save_weights
from training.emodb import ClipFeatures, extract_features, load_whisper
from training.recipe import SEED
from training.voice_baseline import evaluate_baseline_head, fit_baseline_head
from training.voice_head import CONFIGS, WIDTH, LinearHead, choose_config, cross_validate, fit_head
from voice.stt.whisper import detect_speech


def load_features(data: Path, work: Path) -> ClipFeatures:
    """Return the features of all clips, from the cache in `work` if they are there."""
    cache = work / "voices.npz"
    if cache.exists():
        return ClipFeatures.load(cache)
    clips = extract_features(data, load_whisper().encode, detect_speech)
    clips.save(cache)
    return clips


def evaluate_head(clips: ClipFeatures) -> tuple[float, dict[str, Any]]:
    """Evaluate the first head on held-out speakers. Prints the tables.

    Returns:
        Temperature fitted on all held-out predictions, and figures. The figures use, for each speaker, the temperature
        of the other nine.
    """
    labels = torch.from_numpy(clips.labels)
    logits = cross_validate(clips, [[speaker] for speaker in clips.speaker_names], CONFIGS)
    probabilities = torch.empty_like(logits)
    for speaker in clips.speaker_names:
        is_held_out = torch.from_numpy(clips.speakers == speaker)
        temperature = fit_temperature(logits[~is_held_out], labels[~is_held_out])
        probabilities[is_held_out] = (logits[is_held_out] / temperature).softmax(1)
    figures = evaluate_classifier("held-out speakers", probabilities, labels, VOICES)
    majority, count = Counter(clips.labels.tolist()).most_common(1)[0]
    print(f"always {VOICES[majority]}: accuracy {100 * count / len(labels):.1f}")
    return fit_temperature(logits, labels), figures


def write(head: LinearHead, baseline_head: LinearHead, figures: dict[str, Any], path: Path = WEIGHTS) -> None:
    """Write both heads where the skill loads them. Features that a head does not use get weight 0."""
    tensors: dict[str, Tensor] = {}
    for prefix, each in (("", head), ("usual.", baseline_head)):
        unused = WIDTH - len(each.mean)
        tensors |= {
            f"{prefix}mean": F.pad(each.mean, (0, unused)),
            f"{prefix}deviation": F.pad(each.deviation, (0, unused), value=1.0),
            f"{prefix}weight": F.pad(each.weight, (0, unused)),
            f"{prefix}bias": each.bias,
        }
    save_weights({name: tensor.contiguous() for name, tensor in tensors.items()}, figures, path)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    clips = load_features(arguments.data, arguments.work)
    temperature, figures = evaluate_head(clips)
    config = choose_config(clips, CONFIGS)
    print(f"final head: ridge {config.ridge:g}, {config.width} features")
    labels = torch.from_numpy(clips.labels[clips.clip_indices])
    head = fit_head(torch.from_numpy(clips.features), labels, config)
    rng = np.random.default_rng(SEED)
    baseline_temperature, baseline_figures = evaluate_baseline_head(clips, rng)
    metadata = {
        "temperature": round(temperature, 4),
        "usual temperature": round(baseline_temperature, 4),
        "speakers left out": figures,
        "speakers left out, by neutral clips before": baseline_figures,
    }
    write(head, fit_baseline_head(clips, rng), metadata)


if __name__ == "__main__":
    main()
