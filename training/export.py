"""Stage 4: from a finished run to the weights that are committed.

    python -m training.export --data DATA --work WORK --name NAME

Writes `assistant/models/pocket/weights/`: all that was trained, in float16, and the names that the tags can say.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from assistant.models.pocket.assemble import WEIGHTS
from training.data import read_annotations
from training.recipe import Recipe
from training.words import Vocabulary

EYES_OPTIONS = (
    "variant",
    "grid",
    "hidden_size",
    "connector_width",
    "vocabulary",
    "word_hidden",
    "classes",
    "class_slots",
    "words",
    "word_slots",
    "pieces",
    "positions",
)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--target", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    run = arguments.work / "runs" / arguments.name
    recipe = Recipe(**json.loads((run / "recipe.json").read_text()))
    vocabulary = Vocabulary.load(arguments.work / "words" / "vocabulary.json")
    config = recipe.eyes(len(vocabulary.words))
    trained = load_file(run / "weights.safetensors")
    eyes = {name.removeprefix("eyes."): value.half() for name, value in trained.items() if name.startswith("eyes.")}
    head = load_file(arguments.work / "words" / "head.safetensors")
    eyes |= {f"word_head.{name}": value.half() for name, value in head.items()}
    adapter = {
        name.removeprefix("decoder."): value.half() for name, value in trained.items() if name.startswith("decoder.")
    }
    target: Path = arguments.target
    target.mkdir(parents=True, exist_ok=True)
    save_file(eyes, target / "eyes.safetensors")
    save_file(adapter, target / "picture_adapter.safetensors", {"alpha": str(recipe.alpha), "r": str(recipe.rank)})
    (target / "eyes.json").write_text(
        json.dumps({name: getattr(config, name) for name in EYES_OPTIONS}, indent=1) + "\n"
    )
    classes = [row["name"] for row in read_annotations(arguments.data, "imagenet1000")]
    (target / "names.json").write_text(json.dumps({"classes": classes, "words": vocabulary.words}, indent=0) + "\n")
    size = sum(file.stat().st_size for file in target.iterdir())
    count = sum(value.numel() for value in (*eyes.values(), *adapter.values()))
    print(f"{target}: {size / 1e6:.1f} MB, {count / 1e6:.2f} M trained weights in {torch.float16}")


if __name__ == "__main__":
    main()
