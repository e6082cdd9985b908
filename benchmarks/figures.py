"""Measured figures: repeated, summed up by their median, and written beside what they were measured on."""

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
    """One quantity, measured several times. `unit` is like "ms" or "MB"; `goal` is the most it should be."""

    name: str
    unit: str
    values: tuple[float, ...]
    goal: float | None = None

    @property
    def median(self) -> float:
        """The middle value, which one slow run cannot move."""
        return statistics.median(self.values)


def table(figures: Sequence[Figure]) -> str:
    """The figures in columns: median, least, most, number of runs and goal."""
    rows: list[tuple[str, ...]] = [("", "median", "min", "max", "runs", "goal")]
    for figure in figures:
        goal = "" if figure.goal is None else f"≤ {_number(figure.goal)} {'✓' if figure.median <= figure.goal else '✗'}"
        rows.append(
            (
                f"{figure.name} ({figure.unit})",
                *(_number(value) for value in (figure.median, min(figure.values), max(figure.values))),
                str(len(figure.values)),
                goal,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def save(figures: Iterable[Figure], path: Path, about: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Write the figures, with the date, the machine and what else there is to say `about` them, to a JSON file."""
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        **about,
        "machine": machine(),
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


def machine() -> dict[str, Any]:
    """What a figure depends on, and nothing that tells whose machine it is."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {"parley-assistant": version("parley-assistant")} | {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    """The processor's name as it calls itself, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
