"""Aligned columns on a terminal and for programs."""

from parley.cli.table import format_table, truncate


def test_columns_are_aligned() -> None:
    assert format_table([("name", "size", ""), ("a", "1 kB", "new")]) == ["name  size", "a     1 kB  new"]


def test_wide_and_combining_characters_keep_the_alignment() -> None:
    assert format_table([("日本", "x"), ("e\u0301", "y"), ("abcd", "z")]) == ["日本  x", "e\u0301     y", "abcd  z"]


def test_the_last_column_is_truncated_to_the_width() -> None:
    [line] = format_table([("id", "word " * 20)], max_width=40)
    assert len(line) <= 40
    assert line.endswith("…")


def test_text_is_truncated_to_one_line() -> None:
    assert truncate("one\ntwo", 20) == "one two"
    assert truncate("one two three", 8) == "one two…"
    assert truncate("日本語", 5) == "日本…"
    assert truncate("日本語", 4) == "日…"
