"""Stage 5: evaluate the assembled model on images that trained nothing.

    python -m training.evaluate --data DATA [--model FOLDER] [--split test|dev] [--limit N] [--out results.json]

Prints a table; `--out` writes the same figures as JSON. `evaluation_tasks` defines the tasks and their controls. Choose
nothing by the test split: `--split dev` has images of the same kind that trained nothing either.
"""

import argparse
import datetime as dt
import importlib.metadata
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from training.answering import AnswerEngine, ProductEngine, TransformersEngine
from training.evaluation_tasks import TASKS, EvalContext, Figure
from training.recipe import SEED


def format_table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| task | figure | n | model | goal | met | blank picture | another photo | beside it |",
        "|---|---|---:|---:|---:|---|---:|---:|---|",
    ]
    for figure in figures:
        goal = "" if figure.goal is None else f"{'≤' if figure.lower_is_better else '≥'} {figure.goal:.0f}"
        met = {None: "", True: "yes", False: "no"}[figure.met]
        controls = ["" if value is None else f"{value:.1f}" for value in (figure.blank, figure.shuffled)]
        baselines = ", ".join(f"{name} {value:.1f}" for name, value in figure.baselines.items())
        cells = [figure.task, figure.name, str(figure.count), f"{figure.value:.1f}", goal, met, *controls, baselines]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def run_details(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return what the figures depend on besides the data: model, engine, split and versions."""
    return {
        "model": folder.name,
        "engine": arguments.engine,
        "dtype": arguments.dtype if arguments.engine == "plain" else "as the product chooses",
        "split": arguments.split,
        "limit": arguments.limit,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        **{name: importlib.metadata.version(name) for name in ("torch", "transformers", "pycocoevalcap")},
    }


def pocket_folder() -> Path:
    """Return the assembled model in the user's cache, assembling it first if it is missing."""
    from assistant.settings import load
    from parley.factory.bundled import assemble_pocket

    return assemble_pocket(load().settings)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="an assembled folder (default: the pocket model in the cache)")
    parser.add_argument("--split", choices=("test", "dev"), default="test")
    parser.add_argument("--limit", type=int, help="use at most this many images of a task")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--engine", choices=("plain", "product"), default="plain")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--samples", type=int, default=0, help="print this many answers of each task")
    parser.add_argument("--out", type=Path, help="file to write the figures to, as JSON")
    arguments = parser.parse_args()
    folder: Path = arguments.model or pocket_folder()
    engine: AnswerEngine
    if arguments.engine == "plain":
        engine = TransformersEngine.load(folder, getattr(torch, arguments.dtype))
    else:
        engine = ProductEngine(folder)
    context = EvalContext(engine, arguments.data, folder, arguments.split, arguments.limit)
    figures: list[Figure] = []
    seconds: dict[str, int] = {}
    for name in arguments.tasks:
        started = time.monotonic()
        result = TASKS[name](context)
        seconds[name] = round(time.monotonic() - started)
        print(f"{name}: {seconds[name]} s", file=sys.stderr, flush=True)
        figures += result.figures
        for record in random.Random(SEED).sample(result.answers, min(arguments.samples, len(result.answers))):
            print(f"{record.image}  {record.question}\n    > {record.answer}\n    = {' | '.join(record.references)}")
    report = {**run_details(arguments, folder), "seconds": seconds}
    print("\n" + format_table(figures) + "\n\n" + ", ".join(f"{key} {value}" for key, value in report.items()))
    if arguments.out:
        rows = [figure.to_json() for figure in figures]
        arguments.out.write_text(json.dumps({**report, "figures": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
