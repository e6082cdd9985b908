"""Lines that neighbouring pieces of an image show in part become one."""

import numpy as np
import pytest

from skills.text_regions import Region, merge


def region(left: float, top: float, right: float, bottom: float, *, piece: int, slant: float = 0) -> Region:
    """A line that sinks by `slant` pixels for each pixel to the right."""
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
    corners[:, 1] += slant * corners[:, 0]
    return Region(corners, piece)


def test_a_line_in_two_pieces_becomes_one() -> None:
    [line] = merge([region(0, 10, 1600, 40, piece=1), region(1400, 11, 2500, 41, piece=2)])
    assert line.box == pytest.approx((0, 10, 2500, 41))


def test_a_line_that_another_piece_holds_whole_is_left_as_it_is() -> None:
    whole = region(1300, 10, 2500, 40, piece=2)
    assert merge([region(1300, 12, 1600, 40, piece=1), whole]) == [whole]


def test_lines_of_one_piece_stay_apart() -> None:
    assert len(merge([region(0, 10, 100, 40, piece=1), region(90, 10, 200, 40, piece=1)])) == 2


def test_columns_beside_a_seam_stay_apart() -> None:
    assert len(merge([region(0, 10, 1500, 40, piece=1), region(1550, 10, 2500, 40, piece=2)])) == 2


def test_slanted_lines_go_on_where_they_sink_to() -> None:
    parts = [
        region(left, top, left + 1600, top + 30, piece=piece, slant=0.05)
        for piece, left in ((1, 0), (2, 1400))
        for top in range(0, 500, 50)
    ]
    merged = merge(parts)
    assert len(merged) == 10
    assert all(line.box[2] - line.box[0] == pytest.approx(3000, abs=5) for line in merged)
    assert all(line.height == pytest.approx(30, abs=2) for line in merged)


def test_lines_that_run_down_are_joined_below_each_other() -> None:
    parts = [
        region(left, top, left + 30, top + 1600, piece=piece)
        for piece, top in ((1, 0), (2, 1400))
        for left in range(0, 500, 50)
    ]
    merged = merge(parts)
    assert [line.box for line in merged] == [pytest.approx((left, 0, left + 30, 3000)) for left in range(0, 500, 50)]
    assert all(line.runs_down for line in merged)
