"""Short runs that differ in one thing each, and the table of what each gave on the dev photos.

    python -m training.ablations --data DATA --work WORK --tower TOWER.pth --decoder DECODER [--steps N] [--batch N]

Every run sees the same photos in the same order. Runs this short compare how fast a recipe learns, not where it ends.
Runs that are finished are not run again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

TRIALS: dict[str, tuple[str, ...]] = {
    "base: 49 visual + 32 tag tokens, LoRA, positions, all tasks": (),
    "16 visual tokens": ("--grid", "4"),
    "81 visual tokens": ("--grid", "9"),
    "no LoRA": ("--rank", "0"),
    "no position encodings": ("--no-positions",),
    "no tag tokens": ("--no-tags",),
    "Flickr captions alone": ("--no-mix",),
}
COLUMNS = {
    "caption loss": "caption loss",
    "caltech101 name": "everyday name",
    "imagenet1000 name": "ImageNet name",
    "daquar room": "room answer",
    "flickr8k there": "is there",
    "flickr8k colour": "colour",
}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("data", "work", "tower", "decoder"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()
    print(f"| {arguments.steps} steps of {arguments.batch} photos | {' | '.join(COLUMNS.values())} |")
    print(f"|---|{'---:|' * len(COLUMNS)}", flush=True)
    for number, (what, options) in enumerate(TRIALS.items()):
        name = f"trial-{arguments.steps}x{arguments.batch}-{number}"
        result = arguments.work / "runs" / name / "dev.json"
        if not result.exists():
            command = [sys.executable, "-m", "training.connector", "--name", name]
            for option in ("data", "work", "tower", "decoder"):
                command += [f"--{option}", str(getattr(arguments, option))]
            command += [
                "--steps",
                str(arguments.steps),
                "--batch",
                str(arguments.batch),
                "--warmup",
                "10",
                "--judge",
                "96",
            ]
            subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
        figures = json.loads(result.read_text())
        cells = [f"{figures[column]:.3f}" if column in figures else "–" for column in COLUMNS]
        print(f"| {what} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
