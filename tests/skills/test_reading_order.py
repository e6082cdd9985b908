"""Reading order: columns of text one after the other, and all else row by row."""

from skills.reading_order import Box, group_rows


def lines(left: int, top: int, count: int, *, width: int = 300, pitch: int = 30) -> list[Box]:
    """Boxes of lines of text, 20 pixels high, below each other."""
    return [(left, top + pitch * each, left + width, top + pitch * each + 20) for each in range(count)]


def order(boxes: list[Box]) -> list[int]:
    return [line for row in group_rows(boxes) for line in row]


def test_two_columns_below_a_title() -> None:
    boxes = [*lines(400, 100, 5), (100, 20, 600, 60), *lines(0, 100, 6)]
    assert order(boxes) == [5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4]


def test_a_heading_ends_the_columns_above_it() -> None:
    boxes = [*lines(0, 0, 4), *lines(400, 0, 4), (0, 150, 700, 180), *lines(0, 200, 4), *lines(400, 200, 4)]
    assert order(boxes) == list(range(17))


def test_three_columns_whose_lines_are_not_level() -> None:
    columns = [*lines(0, 100, 6), *lines(400, 108, 6, pitch=34), *lines(800, 95, 7, pitch=28)]
    assert order(columns) == list(range(19))


def test_a_receipt_is_read_row_by_row() -> None:
    goods, prices = lines(0, 0, 6), lines(400, 0, 6, width=50)
    assert group_rows([*goods, *prices]) == [[each, each + 6] for each in range(6)]


def test_a_table_is_read_row_by_row() -> None:
    cells = [cell for column in range(4) for cell in lines(150 * column, 0, 5, width=100)]
    assert group_rows(cells) == [[row + 5 * column for column in range(4)] for row in range(5)]


def test_speech_bubbles_of_a_chat_are_read_from_top_to_bottom() -> None:
    hers = [box for top in (0, 200, 400) for box in lines(0, top, 2)]
    his = [box for top in (100, 300, 500) for box in lines(400, top, 2)]
    assert order([*hers, *his]) == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]


def test_every_line_is_in_the_order_once() -> None:
    boxes = [(x % 7 * 130, x * 37 % 900, x % 7 * 130 + 200 + x % 3 * 90, x * 37 % 900 + 18) for x in range(200)]
    assert sorted(order(boxes)) == list(range(200))
    assert group_rows([]) == []
