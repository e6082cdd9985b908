"""Looks at dev images, and what they say about the parts of a description."""

from typing import Any

import PIL.Image
import pytest

from training.looks import quarters
from training.weigh_looks import describe, print_scenes, quarter_things, support

NAMES = [f"class {number}" for number in range(1000)]


def look(**values: Any) -> dict[str, Any]:
    return {
        "caption": "A dog is running in the grass.",
        "classes": [(220, 0.9)],
        "words": [("dog", 0.9), ("grass", 0.5)],
        "quarters": [{"classes": [], "words": [("ball", 0.8)]}],
        **values,
    }


def test_quarters_overlap_and_cover_the_image() -> None:
    parts = quarters(PIL.Image.new("RGB", (100, 50)))
    assert [part.size for part in parts] == [(60, 30)] * 4
    assert all(part.size == (1, 1) for part in quarters(PIL.Image.new("RGB", (1, 1))))


def test_a_quarter_adds_what_the_whole_does_not_show() -> None:
    assert quarter_things(look(), 0.5) == "a ball"
    assert quarter_things(look(words=[("ball", 0.9)]), 0.5) == ""


def test_parts_are_described_alone_and_together() -> None:
    assert describe(look(), NAMES, ("kinds",)) == "It shows a class 220."
    assert describe(look(), NAMES, ("caption",)) == "A dog is running in the grass."


def test_support_counts_what_captions_rule_out() -> None:
    line = support(["A dog with a ball."], [["A dog runs in the snow."]])
    assert "2 stated" in line
    assert "50.0 % supported" in line


def test_the_table_has_a_line_for_each_part(capsys: pytest.CaptureFixture[str]) -> None:
    print_scenes([look(), look()], [["A dog runs."], ["A dog runs in the grass."]], NAMES)
    printed = capsys.readouterr().out
    assert "all parts" in printed
    assert "things alone" in printed
    assert "added by quarters from 0.4" in printed
