"""English words for numbers, units and signs: examples that go wrong when the rules run in another order."""

import pytest

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
        ("v1.2.3", "1 point 2 point 3"),
    ],
)
def test_rules_run_in_their_order(text: str, normalized: str) -> None:
    assert normalize_english(text) == normalized
