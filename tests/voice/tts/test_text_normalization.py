"""English words for numbers, units and signs: examples that go wrong when the rules run in another order."""

from pathlib import Path

import pytest

from voice.tts.text_cleanup import spoken_text
from voice.tts.text_normalization import normalize_english


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("$1,234.50", "1234 dollars and 50 cents"),
        ("¥500", "500 yen"),
        ("2026-11-24 at 16:35", "November 24, 2026 at 16 35"),
        ("3-5 km", "3 to 5 kilometres"),
        ("-5 °C", "minus 5 degrees Celsius"),
        ("No. 5 vs. No. 6", "number 5 versus number 6"),
        ("v1.2.3", "version 1 point 2 point 3"),
    ],
)
def test_rules_run_in_their_order(text: str, normalized: str) -> None:
    assert normalize_english(text) == normalized


def readings() -> list[tuple[str, str, str]]:
    lines = (Path(__file__).parent / "readings.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [(language, text, reading) for language, text, reading in rows]


@pytest.mark.parametrize(("language", "text", "reading"), readings())
def test_text_is_read_as_people_read_it(language: str, text: str, reading: str) -> None:
    assert spoken_text(text, language) == reading


def test_the_table_of_readings_is_long_enough_to_matter() -> None:
    assert len(readings()) >= 390


@pytest.mark.parametrize("language", ["en", "de", "fr", "ja"])
@pytest.mark.parametrize(
    "text",
    ["I have 3 cats.", "It is 2026.", "Room 101", "A T-shirt, well-known", "a 3D film in 4K", "Windows 11", "T20"],
)
def test_ordinary_numbers_stay_numbers(text: str, language: str) -> None:
    digits = [each for each in spoken_text(text, language).split() if each.strip(".,").isdigit()]
    assert all(each.strip(".,") in text for each in digits)
    assert len(digits) <= 2
