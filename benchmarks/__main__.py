"""`python -m benchmarks`: measure, print tables, and write results/.

`python -m benchmarks large`, with whatever `python -m benchmarks.large` takes, is that.
Figures mean something on a machine that does nothing else meanwhile.
"""

import argparse
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from benchmarks.figures import Figure, save, table

RESULTS = Path(__file__).parent / "results"


# Of each the module, which is imported when it is its turn: starts are measured from a process without torch.
BENCHMARKS = {
    name: f"benchmarks.{name.replace('-', '_')}"
    for name in (
        "start",
        "decode",
        "barge-in",
        "batches",
        "echo",
        "turns",
        "hearing",
        "answers",
        "listening",
        "emotion",
        "empathy",
    )
}


def measure(name: str, runs: int) -> list[Figure]:
    """The figures of the benchmark with that name."""
    figures: list[Figure] = import_module(BENCHMARKS[name]).measure(runs)
    return figures


def main() -> None:
    """Run from the command line."""
    if sys.argv[1:2] == ["large"]:
        from benchmarks import large

        large.main(sys.argv[2:])
        return
    known = ", ".join(BENCHMARKS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which to run: {known} (all of them); or large, with what it takes"
    )
    parser.add_argument("--runs", type=int, default=5, help="how often each heavy thing is measured (5)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder that the results are written to")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - BENCHMARKS.keys():
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}: choose from {known}")
    if arguments.runs < 1:
        parser.error("--runs takes a number from 1 up")
    for name in BENCHMARKS:
        if arguments.names and name not in arguments.names:
            continue
        figures = measure(name, arguments.runs)
        print(f"{name}\n{table(figures)}\n", flush=True)
        save(figures, arguments.out / f"{name}-{datetime.now(UTC).date()}.json")


if __name__ == "__main__":
    main()
