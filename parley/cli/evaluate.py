"""`parley evaluate`: score a file of predictions against a file of references."""

from pathlib import Path

import click

from assistant.generation_rules import RANGES, NumberRange
from parley.cli.options import as_json_option
from parley.cli.parameter_types import ChoiceParam, NumberParam
from parley.cli.terminal import notify, write_json, write_out

# A missing file is no usage error: it is reported like any other file that cannot be read.
_FILE = click.Path(path_type=Path)
_SAMPLES = NumberRange(10, 10**6, whole=True)


@click.command()
@click.argument("task", type=ChoiceParam(["caption", "vqa", "emotion", "transcribe"]))
@click.argument("predictions", type=_FILE)
@click.argument("references", type=_FILE)
@as_json_option
@click.option(
    "--picture",
    "plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the scores to this file, such as a .png.",
)
@click.option("--samples", type=NumberParam(_SAMPLES), default=1000, show_default=True, help="Bootstrap samples.")
@click.option(
    "--seed", type=NumberParam(RANGES["seed"]), default=0, show_default=True, help="Make intervals repeatable."
)
def evaluate(
    task: str, predictions: Path, references: Path, as_json: bool, plot: Path | None, samples: int, seed: int
) -> None:
    """Score PREDICTIONS against REFERENCES.

    Both are files of JSON lines. Lines are matched by their photo, image, recording, audio, file or id, and by their
    question if there is one. A prediction is what the skill of that name writes with --json. A reference has the
    correct text, captions, answer, answers or label. Scores are in percent, with their 95 % confidence intervals.
    """
    from skills.evaluation import report as reports
    from skills.evaluation.pairs import read_pairs
    from skills.evaluation.scores import Bootstrap
    from skills.evaluation.scores import evaluate as score

    if plot is not None and any(_is_same_file(plot, each) for each in (predictions, references)):
        raise click.UsageError(f"{plot} is one of the files to be read: name another one for the picture.")
    pairing = read_pairs(task, predictions, references)
    report = score(task, pairing.pairs, Bootstrap(samples, seed))
    if plot is not None:
        reports.save_plot(report, plot)
    if as_json:
        counts = {"unanswered": pairing.unanswered, "unasked": pairing.unasked}
        write_json({**reports.as_json(report), **counts}, indent=2)
    else:
        write_out(reports.as_table(report) + "\n")
    if pairing.unanswered:
        notify(f"{pairing.unanswered:,} of {len(pairing.pairs):,} references have no prediction and count as wrong.")
    if pairing.unasked:
        notify(f"{pairing.unasked:,} predictions have no reference and are left out.")


def _is_same_file(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve()
