"""Show a report as a table, as JSON, or as a plot."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from assistant.atomic_files import replace_file
from assistant.errors import MissingExtraError, SkillError
from skills.evaluation.scores import Report


def as_table(report: Report) -> str:
    """Return the metrics as a table, with the confusion matrix or the calibration below them."""
    rows = [(each.name, f"{each.value:.1f}", f"{each.low:.1f} to {each.high:.1f}") for each in report.metrics]
    lines = _align_columns([("", f"n = {report.count:,}", "95 % interval"), *rows])
    if report.labels:
        expected = len(report.confusion)
        head = ["is \\ said", *report.labels]
        matrix = [[report.labels[row], *map(str, report.confusion[row])] for row in range(expected)]
        lines += ["", *_align_columns([head, *matrix])]
    if report.calibration:
        head = ["how sure", "right", "answers"]
        bins = [
            (f"{100 * each.confidence:.1f} %", f"{100 * each.accuracy:.1f} %", str(each.count))
            for each in report.calibration
        ]
        lines += ["", *_align_columns([head, *bins])]
    return "\n".join(lines)


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as plain values."""
    figures = {each.name: {"value": each.value, "low": each.low, "high": each.high} for each in report.metrics}
    plain: dict[str, Any] = {"task": report.task, "count": report.count, "figures": figures}
    if report.labels:
        plain |= {"labels": list(report.labels), "confusion": [list(row) for row in report.confusion]}
    if report.calibration:
        plain["calibration"] = [asdict(each) for each in report.calibration]
    return plain


def save_plot(report: Report, path: Path) -> None:
    """Save a plot of the confusion matrix, else of the calibration curve, else of the metrics with their intervals.

    Raises `MissingExtraError` without matplotlib, and `SkillError` if `path` cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "Drawing a report needs matplotlib: install it with `pip install 'parley-assistant[evaluate]'`."
        ) from error
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.add_subplot()
    if report.labels:
        _draw_confusion(axes, report)
    elif report.calibration:
        _draw_calibration(axes, report)
    else:
        _draw_metrics(axes, report)
    target = path if path.suffix else path.with_suffix(".png")
    try:
        with replace_file(target.resolve(), 0o666) as file:
            figure.savefig(file, dpi=150, format=target.suffix[1:].lower())
    except (OSError, ValueError) as error:
        raise SkillError(
            f"{path} cannot be written: {error}. Name a .png, .svg or .pdf in a folder of yours."
        ) from error


def _draw_confusion(axes: Any, report: Report) -> None:
    shares = [[count / max(1, sum(row)) for count in row] for row in report.confusion]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, counts in enumerate(report.confusion):
        for column, count in enumerate(counts):
            colour = "white" if shares[row][column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(report.labels)), report.labels, rotation=45, ha="right")
    axes.set_yticks(range(len(report.confusion)), report.labels[: len(report.confusion)])
    axes.set_xlabel("said")
    axes.set_ylabel("is")
    axes.set_title(f"{report.task}: {report.metrics[0].name} {report.metrics[0].value:.1f} (n = {report.count:,})")


def _draw_calibration(axes: Any, report: Report) -> None:
    largest = max(each.count for each in report.calibration)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    axes.plot([each.confidence for each in report.calibration], [each.accuracy for each in report.calibration])
    axes.scatter(
        [each.confidence for each in report.calibration],
        [each.accuracy for each in report.calibration],
        s=[20 + 180 * each.count / largest for each in report.calibration],
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("how sure")
    axes.set_ylabel("share that is right")
    error = next(each for each in report.metrics if each.name == "calibration error")
    axes.set_title(f"{report.task}: calibration error {error.value:.1f} (n = {report.count:,})")


def _draw_metrics(axes: Any, report: Report) -> None:
    positions = range(len(report.metrics))
    values = [each.value for each in report.metrics]
    intervals = [
        [each.value - each.low for each in report.metrics],
        [each.high - each.value for each in report.metrics],
    ]
    axes.barh(positions, values, xerr=[[max(0.0, length) for length in side] for side in intervals], capsize=4)
    axes.set_yticks(positions, [each.name for each in report.metrics])
    axes.invert_yaxis()
    axes.set_title(f"{report.task} (n = {report.count:,}, bars: 95 % intervals)")


def _align_columns(rows: list[Any]) -> list[str]:
    """Align the cells of rows: the first column left, the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]
