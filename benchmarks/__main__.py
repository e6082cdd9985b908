"""Run benchmarks, print their tables, and write results/.

`python -m benchmarks large …`, `… soak …`, `… descriptions …`, `… pocket …` and `… language …` have options of their
own. Run it on an idle machine.
"""

import argparse
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from benchmarks.figures import Figure, format_table, save_figures

RESULTS = Path(__file__).parent / "results"


# Imported only when run: starts are measured from a process without torch.
BENCHMARKS = {
    name: f"benchmarks.{name.replace('-', '_')}"
    for name in (
        "start",
        "decode",
        "families",
        "barge-in",
        "batches",
        "echo",
        "turns",
        "hearing",
        "speaking",
        "listening",
        "emotion",
        "empathy",
        "reading",
        "loops",
        "app",
        "typed-stream",
    )
}


def measure(name: str, runs: int) -> list[Figure]:
    """Run the benchmark `name` and return its figures."""
    figures: list[Figure] = import_module(BENCHMARKS[name]).measure(runs)
    return figures


def main() -> None:
    """Run from the command line."""
    if sys.argv[1:2] == ["large"]:
        from benchmarks import large

        large.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["soak"]:
        from benchmarks import soak

        soak.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["descriptions"]:
        from benchmarks import descriptions

        descriptions.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["pocket"]:
        from benchmarks.pocket import __main__ as pocket

        pocket.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["language"]:
        from benchmarks import language

        language.main(sys.argv[2:])
        return
    known = ", ".join(BENCHMARKS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"benchmarks to run: {known} (default: all); or large …, soak …, descriptions …, pocket …, language …",
    )
    parser.add_argument("--runs", type=int, default=5, help="number of runs of each slow measurement (default: 5)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - BENCHMARKS.keys():
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}: choose from {known}")
    if arguments.runs < 1:
        parser.error("--runs must be 1 or more")
    for name in BENCHMARKS:
        if arguments.names and name not in arguments.names:
            continue
        figures = measure(name, arguments.runs)
        print(f"{name}\n{format_table(figures)}\n", flush=True)
        save_figures(figures, arguments.out / f"{name}-{datetime.now(UTC).date()}.json")


if __name__ == "__main__":
    main()
