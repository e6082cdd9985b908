"""Tables and result files of benchmarks."""

import json
import platform
from pathlib import Path

from benchmarks.figures import Figure, format_table, save_figures


def test_one_slow_run_does_not_change_the_median() -> None:
    assert Figure("start", "ms", (101.0, 5000.0, 99.0)).median == 101.0


def test_table_marks_whether_a_goal_is_met() -> None:
    lines = format_table(
        [
            Figure("help", "ms", (150.0, 150.0), goal=150.0),
            Figure("first paint", "s", (2.0, 0.5, 0.25), goal=0.4),
            Figure("memory", "MB", (1364.2,)),
        ]
    ).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["help", "(ms)", "150", "150", "150", "2", "≤", "150", "✓"],
        ["first", "paint", "(s)", "0.50", "0.25", "2.00", "3", "≤", "0.40", "✗"],
        ["memory", "(MB)", "1364", "1364", "1364", "1"],
    ]


def test_result_file_holds_every_run_and_does_not_identify_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "results" / "start.json"
    save_figures([Figure("help", "ms", (71.0, 69.0, 70.0), goal=150.0)], path)
    written = path.read_text(encoding="utf-8")
    content = json.loads(written)
    assert content["figures"] == [
        {"name": "help", "unit": "ms", "median": 70.0, "values": [71.0, 69.0, 70.0], "goal": 150.0}
    ]
    assert content["machine"]["packages"]["torch"]
    assert content["machine"]["cores"] >= 1
    assert platform.node() not in written
    assert str(Path.home()) not in written
