"""Text from outside is cleaned of what a terminal would obey and of nothing else."""

import pytest

from assistant.text_cleaning import clean_line, clean_text, valid_unicode

INTACT = {
    "a family of joined emoji": "👨‍👩‍👧‍👦 and 🏳️‍🌈",
    "combining characters": "e\u0301 n\u0303 क्षि",
    "right-to-left text with marks": "שלום \u200fعربي\u200e",
    "joiners of Persian and Hindi": "می‌خواهم क्‍ष",
    "tabs and lines": "a\tb\nc",
    "no-break spaces": "10\u00a0kg, 5\u202f%",
}


@pytest.mark.parametrize("text", INTACT.values(), ids=INTACT)
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert clean_text(text) == text


@pytest.mark.parametrize("code", [*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)], ids=hex)
def test_control_characters_go(code: int) -> None:
    assert clean_text(f"a{chr(code)}b") == "ab"


@pytest.mark.parametrize("code", [*range(0x202A, 0x202F), *range(0x2066, 0x206A)], ids=hex)
def test_bidirectional_controls_go(code: int) -> None:
    assert clean_text(f"photo{chr(code)}gpj.exe") == "photogpj.exe"


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC00, 0xDCFF, 0xDFFF], ids=hex)
def test_lone_surrogates_are_replaced(code: int) -> None:
    assert clean_text(f"a{chr(code)}b") == valid_unicode(f"a{chr(code)}b") == "a\ufffdb"


def test_a_line_is_one_line_and_not_too_long() -> None:
    assert clean_line(" a\r\nb\t c\rd ") == "a b c d"
    assert clean_line("x" * 300, 10) == "x" * 9 + "…"
    assert clean_line("x" * 10, 10) == "x" * 10
    assert clean_line("\x1b" * 1000 + "x", 10) == ""
