"""Ablations: short runs that differ in one option each, and a table of their dev figures.

    python -m training.ablations --data DATA --work WORK --tower TOWER.pth --decoder DECODER [--steps N] [--batch N]

Every run sees the same images in the same order. Runs this short compare how fast a recipe learns, not what it reaches.
Each run writes `WORK/runs/trial-STEPSxBATCH-NUMBER/`, as `training.connector` does; finished runs are not repeated.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ABLATIONS: dict[str, tuple[str, ...]] = {
    "base: 49 visual + 32 tag tokens, LoRA, positions, all tasks": (),
    "16 visual tokens": ("--grid", "4"),
    "81 visual tokens": ("--grid", "9"),
    "no LoRA": ("--rank", "0"),
    "no position encodings": ("--no-positions",),
    "no tag tokens": ("--no-tags",),
    "Flickr captions alone": ("--no-mix",),
}
# Keys of dev.json, and the headings of their columns.
COLUMNS = {
    "caption loss": "caption loss",
    "caltech101 name": "everyday name",
    "imagenet1000 name": "ImageNet name",
    "daquar room": "room answer",
    "flickr8k there": "is there",
    "flickr8k colour": "colour",
}
_PATH_OPTIONS = ("data", "work", "tower", "decoder")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in _PATH_OPTIONS:
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()
    print(f"| {arguments.steps} steps of {arguments.batch} photos | {' | '.join(COLUMNS.values())} |")
    print(f"|---|{'---:|' * len(COLUMNS)}", flush=True)
    for number, (label, options) in enumerate(ABLATIONS.items()):
        figures = _run(f"trial-{arguments.steps}x{arguments.batch}-{number}", options, arguments)
        cells = [f"{figures[column]:.3f}" if column in figures else "–" for column in COLUMNS]
        print(f"| {label} | {' | '.join(cells)} |", flush=True)


def _run(name: str, options: tuple[str, ...], arguments: argparse.Namespace) -> dict[str, float]:
    """Return the dev figures of a run; run it first if it has none."""
    result: Path = arguments.work / "runs" / name / "dev.json"
    if not result.exists():
        command = [sys.executable, "-m", "training.connector", "--name", name]
        for option in _PATH_OPTIONS:
            command += [f"--{option}", str(getattr(arguments, option))]
        command += ["--steps", str(arguments.steps), "--batch", str(arguments.batch), "--warmup", "10", "--judge", "96"]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    figures: dict[str, float] = json.loads(result.read_text())
    return figures


if __name__ == "__main__":
    main()
