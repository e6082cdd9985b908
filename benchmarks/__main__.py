"""`python -m benchmarks`: measure, print tables, and write results/.

`python -m benchmarks large`, with whatever `python -m benchmarks.large` takes, is that.
Figures mean something on a machine that does nothing else meanwhile.
"""

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import start
from benchmarks.figures import Figure, save, table

RESULTS = Path(__file__).parent / "results"


def measure_decoding(runs: int) -> list[Figure]:
    """The figures of `benchmarks.decode`, which imports torch: the starts are measured from a process without it."""
    from benchmarks import decode

    return decode.measure(runs)


def measure_barge_in(runs: int) -> list[Figure]:
    """The figures of `benchmarks.barge_in`, which imports what it takes to talk."""
    from benchmarks import barge_in

    return barge_in.measure(runs)


def measure_batches(runs: int) -> list[Figure]:
    """The figures of `benchmarks.batches`."""
    from benchmarks import batches

    return batches.measure(runs)


def measure_echo(runs: int) -> list[Figure]:
    """The figures of `benchmarks.echo`, which needs the voice and Whisper."""
    from benchmarks import echo

    return echo.measure(runs)


def measure_turns(runs: int) -> list[Figure]:
    """The figures of `benchmarks.turns`; like the others of speech it imports what hears and speaks only now."""
    from benchmarks import turns

    return turns.measure(runs)


def measure_hearing(runs: int) -> list[Figure]:
    """The figures of `benchmarks.hearing`."""
    from benchmarks import hearing

    return hearing.measure(runs)


def measure_answers(runs: int) -> list[Figure]:
    """The figures of `benchmarks.answers`."""
    from benchmarks import answers

    return answers.measure(runs)


def measure_listening(runs: int) -> list[Figure]:
    """The figures of `benchmarks.listening`."""
    from benchmarks import listening

    return listening.measure(runs)


def measure_emotion(runs: int) -> list[Figure]:
    """The figures of `benchmarks.emotion`, likewise."""
    from benchmarks import emotion

    return emotion.measure(runs)


BENCHMARKS: dict[str, Callable[[int], list[Figure]]] = {
    "start": start.measure,
    "decode": measure_decoding,
    "barge-in": measure_barge_in,
    "batches": measure_batches,
    "echo": measure_echo,
    "turns": measure_turns,
    "hearing": measure_hearing,
    "answers": measure_answers,
    "listening": measure_listening,
    "emotion": measure_emotion,
}


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
    for name, measure in BENCHMARKS.items():
        if arguments.names and name not in arguments.names:
            continue
        figures = measure(arguments.runs)
        print(f"{name}\n{table(figures)}\n", flush=True)
        save(figures, arguments.out / f"{name}-{datetime.now(UTC).date()}.json")


if __name__ == "__main__":
    main()
