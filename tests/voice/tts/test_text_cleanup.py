"""Text as a voice says it: a table of hard cases, and properties of any text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice.tts.text_cleanup import CODE_OMITTED, spoken_text


@pytest.mark.parametrize(
    ("markdown", "spoken"),
    [
        # Markdown.
        ("It is **bold**, *leaning* and ~~gone~~.", "It is bold, leaning and gone."),
        ("He said **this. And", "He said this. And."),
        ("that** too.", "that too."),
        ("## Results", "Results."),
        ("- one item", "one item."),
        ("2. Second thing", "2. Second thing."),
        ("1986. What a year!", "1986. What a year!"),
        ("> quoted", "quoted."),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", "a, b. 1, 2."),
        ("|---|---|", ""),
        ("---", ""),
        ("***", ""),
        ("<b>html</b> &amp; more", "html and more."),
        (r"\*not bold\*", "not bold."),
        ("![a dog](dog.png)", "a dog."),
        ("    an indented line", "an indented line."),
        # Code.
        ("```python\nx = 1\n```", CODE_OMITTED),
        ("Call `load_image()` in `a/b.py` now.", "Call load image in a slash b dot py now."),
        ("a snake_case_name", "a snake case name."),
        # Links.
        ("See [the docs](https://docs.python.org/3/) now.", "See the docs now."),
        ("[half of a", "half of a."),
        ("link](https://x.org) it was", "link it was."),
        ("Go to https://www.example.com/a?b=c&d=e", "Go to example dot com."),
        ("Mail bob.smith@example.co.uk!", "Mail bob dot smith at example dot co dot uk!"),
        # Numbers.
        ("1,234,567 people", "1234567 people."),
        ("It is 3.5, not 3,5.", "It is 3.5, not 3,5."),
        ("$5.20, $1, $0.05, $2.00", "5 dollars and 20 cents, 1 dollar, 5 cents, 2 dollars."),
        ("$3.5 million, $100k, €2bn, 5 €", "3.5 million dollars, 100 thousand dollars, 2 billion euros, 5 euros."),
        ("pages 3-5, 2019–2021", "pages 3 to 5, 2019 to 2021."),
        ("Call 555-1234.", "Call 5 5 5, 1 2 3 4."),
        ("A T-shirt, well-known", "A T-shirt, well-known."),
        ("1/2 cup, ¾ full, 7/8", "one half cup, three quarters full, seven eighths."),
        ("24/7, 11/24/2026", "24 7, November 24, 2026."),
        ("x^2 + y² = z, 2**3", "x squared plus y squared equals z, 2 cubed."),
        ("10 * 3 = 30", "10 times 3 equals 30."),
        ("3 > 2 and 2 < 3", "3 greater than 2 and 2 less than 3."),
        ("at -5 degrees", "at minus 5 degrees."),
        ("Version 1.2.3, Python 3.11", "Version 1 point 2 point 3, Python 3.11."),
        ("#5, ~10", "number 5, about 10."),
        ("2026-11-24, 2026-99-99", "November 24, 2026, 2 0 2 6, 9 9, 9 9."),
        ("16:35, 9:00, 17:00, 9:05 am", "16 35, 9 o'clock, 17 hundred, 9 oh 5 A M."),
        # Units.
        ("20 °C, 1 °F, 50%, 90°", "20 degrees Celsius, 1 degree Fahrenheit, 50 percent, 90 degrees."),
        ("5km, 1 m, 3 m, 100 km/h", "5 kilometres, 1 metre, 3 metres, 100 kilometres per hour."),
        ("in the 1980s, a 5m", "in the 1980s, a 5m."),
        # Signs and abbreviations.
        ("AT&T, Tom & Jerry", "AT and T, Tom and Jerry."),
        ("cats and/or dogs, he/she", "cats and or dogs, he or she."),
        ("e.g. cats, i.e. felines, etc.", "for example, cats, that is, felines, et cetera."),
        ("C++, C#", "C plus plus, C sharp."),
        ("Wait — what -- no", "Wait, what, no."),
        ("Wow!!! Really??", "Wow! Really?"),
        # Emoji.
        ("Nice! 😀🎉", "Nice!"),
        ("👍", "thumbs up."),
        ("👨‍👩‍👧 family", "family."),
        # Nothing to say.
        ("", ""),
        ("…", ""),
        ("?!", ""),
        ("\u200b\x1b[\t", ""),
        # Other scripts.
        ("你好，世界。", "你好，世界。"),
    ],
)  # fmt: skip
def test_hard_cases(markdown: str, spoken: str) -> None:
    assert spoken_text(markdown) == spoken


def test_other_languages_get_no_english_words() -> None:
    assert spoken_text("Es kostet **5 €** & 3-4 km.", "de") == "Es kostet 5 Euro und 3 bis 4 Kilometer."
    assert spoken_text("Il coûte **5 €** & 3-4 km.", "fr") == "Il coûte 5 € & 3-4 km."
    assert spoken_text("```\ncode\n```", "de") == ""


SYMBOLS = st.text(st.sampled_from(list("ab 1.,!?\n`*_~#|<>[](){}\\^&/-:@$%=+'\"°😀é你")), max_size=120)


@settings(deadline=None)
@given(SYMBOLS | st.text(max_size=120))
def test_no_symbol_is_left_to_be_read_aloud(text: str) -> None:
    spoken = spoken_text(text)
    assert not set(spoken) & set("*_`#|~^\\{}[]<>&=+@%°$\n\r\t\x1b😀")
    assert spoken == " ".join(spoken.split())
    assert not spoken or any(character.isalnum() for character in spoken)


WORD = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=2, max_size=9)


@settings(deadline=None)
@given(st.lists(WORD, min_size=1, max_size=12), st.sampled_from(".!?"))
def test_plain_words_are_unchanged(words: list[str], end: str) -> None:
    sentence = f"{' '.join(words)}{end}"
    if not set(words) & {"vs", "mm", "cm", "km", "aka"}:
        assert spoken_text(sentence) == sentence
