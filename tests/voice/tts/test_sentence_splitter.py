"""Sentences of a reply that is being written: a table of hard cases, and properties of any text."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice.tts.sentence_splitter import MAX_CHARACTERS, QUICK_CHARACTERS, SentenceSplitter


def split(text: str, *, quick: bool = False) -> list[str]:
    splitter = SentenceSplitter(quick=quick)
    return splitter.feed(text) + splitter.finish()


@pytest.mark.parametrize(
    ("separator", "pieces"),
    [
        (" ", ["It is a cat.", "It sleeps."]),
        (" ", ["Really?", "Yes!", "No…", "Well..."]),
        (" ", ["Mr. Smith met Dr. Jones at St. Mary's.", "They talked."]),
        (" ", ["It costs 3.50 dollars.", "3 of them cost 10.5."]),
        (" ", ['He said "Really?" and left.', '"Stop!"', "She ran."]),
        (" ", ["See e.g. Paris, i.e. the capital.", "Or No. 5 of the list.", "I said no.", "Then yes."]),
        (" ", ["J. K. Rowling wrote it.", "So did I.", "Then we met."]),
        (" ", ["It is (see below.)", "Then more."]),
        (" ", ["Visit example.com. it is nice."]),
        (" ", ["Use `a. B` for it.", "Good."]),
        (" ", ["Wait -- what?", "**Bold.**", "*More.*"]),
        ("\n", ["# A heading", "Text under it.", "More."]),
        ("\n", ["Three things:", "- one", "- two.", "- three", "* four", "And an end, but not\nof the story."]),
        ("\n", ["1. first", "2. second", "10. tenth"]),
        ("\n", ["1. First.", "2. Second: it is"]),
        ("\n", ["| a | b |", "|---|---|", "| 1 | 2 |", "Done."]),
        ("\n", ["Look:", "```python\nx = 1. Y = 2\n\nprint(x)\n```", "That was it."]),
        ("\n", ["~~~\n```\ninside\n~~~", "After."]),
        ("\n", ["> A quote", "> goes on."]),
        ("\n", ["```\nnever closed. Never"]),
        ("\n\n", ["First paragraph", "second paragraph"]),
        ("", ["你好。", "你是谁？", "「我是。」", "好"]),
    ],
)
def test_hard_cases(separator: str, pieces: list[str]) -> None:
    assert split(separator.join(pieces)) == pieces


def test_a_wrapped_line_does_not_end_a_sentence() -> None:
    assert split("The cat sat\non the mat\nand slept. It\nsnored.") == [
        "The cat sat\non the mat\nand slept.",
        "It\nsnored.",
    ]


def test_a_sentence_ends_when_the_next_character_confirms_it() -> None:
    splitter = SentenceSplitter()
    assert splitter.feed("It is 3.") == []
    assert splitter.feed("5 metres. ") == []
    assert splitter.feed("A") == ["It is 3.5 metres."]
    assert splitter.finish() == ["A"]


def test_only_the_first_piece_may_end_at_a_comma() -> None:
    text = "In the middle of the picture, there is a cat, which sleeps. It is a grey one, I think, and old."
    assert split(text, quick=True) == [
        "In the middle of the picture,",
        "there is a cat, which sleeps.",
        "It is a grey one, I think, and old.",
    ]
    assert split("Yes, it is a cat. Good.", quick=True) == ["Yes, it is a cat.", "Good."]
    assert len("In the middle of the picture,") >= QUICK_CHARACTERS


MARKDOWN = st.text(st.sampled_from(list("ab AB.,!?:\n\n  `~#-*|>1230)(\"'。」é_")), max_size=400)


@settings(deadline=None)
@given(MARKDOWN | st.text(max_size=400), st.booleans(), st.integers())
def test_pieces_contain_every_word_and_do_not_depend_on_how_text_arrives(text: str, quick: bool, seed: int) -> None:
    expected = split(text, quick=quick)
    assert "".join("".join(expected).split()) == "".join(text.split())
    assert all(piece == piece.strip() and piece for piece in expected)
    generator = random.Random(seed)
    splitter = SentenceSplitter(quick=quick)
    pieces: list[str] = []
    rest = text
    while rest:
        count = generator.randint(1, 9)
        pieces += splitter.feed(rest[:count])
        rest = rest[count:]
    assert pieces + splitter.finish() == expected


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="`~"), min_size=MAX_CHARACTERS, max_size=3 * MAX_CHARACTERS))
def test_no_piece_outside_of_code_is_too_long(text: str) -> None:
    assert all(len(piece) <= MAX_CHARACTERS for piece in split(text))


def test_a_long_text_without_spaces_is_cut_at_the_limit() -> None:
    assert [len(piece) for piece in split("a" * 700)] == [MAX_CHARACTERS, MAX_CHARACTERS, 100]
