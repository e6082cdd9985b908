"""What is kept of the text in an image."""

from assistant.models.pocket.text_in_image import CUT_MARK, MAX_CHARACTERS, TextInImage, is_page, kept_rows


def test_short_text_is_kept() -> None:
    assert kept_rows(["Hello", "World"]) == (("Hello", "World"), False)


def test_long_text_keeps_its_beginning_and_its_end() -> None:
    rows, is_cut = kept_rows([f"Item {number:04} ................. 1.00" for number in range(300)] + ["Total 300.00"])
    assert is_cut
    assert CUT_MARK in rows
    assert rows[0].startswith("Item 0000")
    assert rows[-1] == "Total 300.00"
    assert sum(map(len, rows)) <= MAX_CHARACTERS + len(CUT_MARK)


def test_one_endless_row_is_cut() -> None:
    rows, is_cut = kept_rows(["x" * 10_000])
    assert is_cut
    assert sum(map(len, rows)) <= MAX_CHARACTERS + len(CUT_MARK)


def test_a_page_has_more_text_than_a_logo() -> None:
    assert is_page(TextInImage(("The quick brown fox jumps over the lazy dog, and then sleeps.",)))
    assert not is_page(TextInImage(("YAMAHA",)))
