"""Measured figures: repeated values, their median, tables, and result files that name the machine."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

PACKAGES = ("torch", "transformers", "textual", "click", "pydantic")


@dataclass(frozen=True)
class Figure:
    """One quantity, measured several times.

    Attributes:
        name: Also the key in result files.
        unit: Such as "ms" or "MB".
        values: One value a run.
        goal: Upper limit that the median should keep to.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    goal: float | None = None

    @property
    def median(self) -> float:
        """Median of the values; one slow run cannot move it."""
        return statistics.median(self.values)


def format_table(figures: Sequence[Figure]) -> str:
    """Return a table with median, minimum, maximum, number of runs and goal."""
    header = ("", "median", "min", "max", "runs", "goal")
    rows = [header, *map(_table_row, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def save_figures(figures: Iterable[Figure], path: Path, metadata: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Write `figures` to a JSON file, with the date, the machine and `metadata`."""
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        **metadata,
        "machine": describe_machine(),
        "figures": [
            {
                "name": figure.name,
                "unit": figure.unit,
                "median": round(figure.median, 3),
                "values": [round(value, 3) for value in figure.values],
                **({} if figure.goal is None else {"goal": figure.goal}),
            }
            for figure in figures
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def describe_machine() -> dict[str, Any]:
    """Return what a figure depends on, and nothing that identifies the machine or its owner."""
    return {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {"parley-assistant": version("parley-assistant")} | {name: version(name) for name in PACKAGES},
    }


def _processor_name() -> str:
    """Return the name of the processor, or "unknown"."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _table_row(figure: Figure) -> tuple[str, ...]:
    return (
        f"{figure.name} ({figure.unit})",
        *(_format_number(value) for value in (figure.median, min(figure.values), max(figure.values))),
        str(len(figure.values)),
        _format_goal(figure),
    )


def _format_goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"≤ {_format_number(figure.goal)} {'✓' if figure.median <= figure.goal else '✗'}"


def _format_number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
