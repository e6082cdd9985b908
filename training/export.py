"""Stage 4: export a finished run as the weights that are committed.

    python -m training.export --data DATA --work WORK --name NAME

Writes `assistant/models/pocket/weights/`: `eyes.safetensors` (connector, tagger, word head) and
`picture_adapter.safetensors` (LoRA) in float16, `eyes.json` (sizes) and `names.json` (names of the tag tokens).
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from assistant.models.pocket.vision_weights import WEIGHTS
from training.data import read_annotations
from training.recipe import Recipe
from training.word_targets import Vocabulary

VISION_CONFIG_KEYS = (
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
"""Parameters of `PocketVisionConfig` that `eyes.json` holds."""


def export(data: Path, work: Path, name: str, target: Path) -> None:
    """Write the weights of run `name` to the folder `target`."""
    run = work / "runs" / name
    recipe = Recipe(**json.loads((run / "recipe.json").read_text()))
    vocabulary = Vocabulary.load(work / "words" / "vocabulary.json")
    config = recipe.vision_config(len(vocabulary.words))
    trained = {key: value.half() for key, value in load_file(run / "weights.safetensors").items()}
    vision = {key.removeprefix("eyes."): value for key, value in trained.items() if key.startswith("eyes.")}
    head = load_file(work / "words" / "head.safetensors")
    vision |= {f"word_head.{key}": value.half() for key, value in head.items()}
    adapter = {key.removeprefix("decoder."): value for key, value in trained.items() if key.startswith("decoder.")}
    target.mkdir(parents=True, exist_ok=True)
    save_file(vision, target / "eyes.safetensors")
    save_file(adapter, target / "picture_adapter.safetensors", {"alpha": str(recipe.alpha), "r": str(recipe.rank)})
    sizes = {key: getattr(config, key) for key in VISION_CONFIG_KEYS}
    (target / "eyes.json").write_text(json.dumps(sizes, indent=1) + "\n")
    classes = [row["name"] for row in read_annotations(data, "imagenet1000")]
    (target / "names.json").write_text(json.dumps({"classes": classes, "words": vocabulary.words}, indent=0) + "\n")
    size = sum(file.stat().st_size for file in target.iterdir())
    count = sum(value.numel() for value in (*vision.values(), *adapter.values()))
    print(f"{target}: {size / 1e6:.1f} MB, {count / 1e6:.2f} M trained weights in {torch.float16}")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--target", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    export(arguments.data, arguments.work, arguments.name, arguments.target)


if __name__ == "__main__":
    main()
