"""Sentences of a reply that is being written: a table of hard cases, and properties of any text."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice.tts.sentence_splitter import MAX_CHARACTERS, QUICK_CHARACTERS, SentenceSplitter


def split(text: str, language: str = "", *, quick: bool = False) -> list[str]:
    splitter = SentenceSplitter(language, quick=quick)
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


LANGUAGES = [
    ("hi", ["यह एक बिल्ली है।", "वह सोती है।", "क्या वह खाती है?", "हाँ!"]),
    ("hi", ["राम आया॥", "वह गया।"]),
    ("ar", ["ما هذا؟", "هذا قط.", "إنه نائم!"]),
    ("ur", ["یہ ایک بلی ہے۔", "کیا وہ سوتی ہے؟", "ہاں۔"]),
    ("fa", ["این چیست؟", "این گربه است."]),
    ("hy", ["Սա կատու է։", "Նա քնում է։"]),
    ("am", ["ይህ ድመት ነው።", "ምን ይበላል፧", "ስጋ።"]),
    ("el", ["Τι είναι αυτό;", "Είναι γάτα.", "Πού;"]),
    ("km", ["នេះគឺជាឆ្មា។", "វាដេក។"]),
    ("my", ["ဒါက ကြောင်ပါ။", "အိပ်နေတယ်။"]),
    ("es", ["¿Qué es?", "¡Un gato!", "Duerme…", "¿Y tú?"]),
    ("es", ["El Sr. López llegó.", "La Sra. Gil no."]),
    ("fr", ["« Quoi ? » dit-il.", "Il rit !", "M. Dupont dort."]),
    ("de", ["Am 3. Mai 2026 kam er.", "Der 2. Versuch gelang."]),
    ("de", ["Wir treffen uns am 12. August.", "Bis dann!"]),
    ("de", ["Das gilt z. B. für Katzen, d. h. Haustiere.", "Siehe Nr. 5 bzw. Abb. 3."]),
    ("de", ["„Halt!“", "Sie lief.", "»Wohin?«", "Nach Hause."]),
    ("de", ["Seit 2019. Dann nicht mehr."[:10], "Dann nicht mehr."]),
    ("de", ["Es wiegt 3,5 kg.", "Es kostet 1.234,56 Euro."]),
    ("ru", ["Это кошка.", "Она спит, т.е. не бегает!", "Да?"]),
    ("ja", ["猫です。", "「寝ている。」", "本当？！", "はい"]),
    ("zh", ["这是一只猫。", "它在睡觉！", "是吗？", "是"]),
    ("ko", ["고양이입니다.", "자고 있어요!", "정말?"]),
    ("it", ["Il sig. Rossi dorme.", "Perché?", "Boh."]),
    ("pl", ["To jest kot, np. mój.", "Śpi."]),
]

MARKDOWN = st.text(st.sampled_from(list("ab AB.,!?:\n\n  `~#-*|>1230)(\"'。」é_")), max_size=400)


@settings(deadline=None)
@given(
    MARKDOWN | st.sampled_from(LANGUAGES).map(lambda each: " ".join(each[1])) | st.text(max_size=400),
    st.booleans(),
    st.integers(),
)
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


@pytest.mark.parametrize("unit", ["a", "字", "e\u0301", "कि", "👨\u200d👩\u200d👧"])
def test_a_long_text_without_spaces_is_cut_between_characters(unit: str) -> None:
    pieces = split(unit * 700)
    assert all(MAX_CHARACTERS - 12 <= len(piece) <= MAX_CHARACTERS for piece in pieces[:-1])
    assert all(not piece.startswith(("\u0301", "ि", "\u200d")) for piece in pieces)
    assert "".join(pieces) == unit * 700


@pytest.mark.parametrize("comma", ["，", "、", "، ", ", "])
def test_a_long_sentence_is_cut_after_a_comma(comma: str) -> None:
    clause = "字" * 99 + comma
    pieces = split(clause * 8)
    assert all(piece.endswith(comma.strip()) for piece in pieces)


def test_thai_is_cut_at_spaces_once_a_phrase_is_long() -> None:
    phrase = "นี่คือแมวตัวหนึ่งที่กำลังนอนอยู่บนเก้าอี้ในห้อง"
    pieces = split(" ".join([phrase] * 6))
    assert [piece.count(phrase) for piece in pieces] == [2, 2, 2]


@pytest.mark.parametrize(("language", "sentences"), LANGUAGES)
@pytest.mark.parametrize("known", [True, False], ids=["language", ""])
def test_sentences_end_where_they_do_in_each_language(language: str, sentences: list[str], *, known: bool) -> None:
    text = ("" if language in ("ja", "zh") else " ").join(sentences)
    assert split(text, language if known else "") == sentences


@pytest.mark.parametrize(
    "text",
    ["यह है।वह है।", "ما هذا؟هذا قط۔نعم", "¿Qué?¡Un gato!", "猫です。犬です。"],
)
def test_clear_marks_need_no_space(text: str) -> None:
    assert len(split(text)) >= 2


@pytest.mark.parametrize(
    "sentence",
    [
        "See https://a.b/c?d=E. F or not", "It is version 1.2.3 of Node.js", "Ask the U.S. Army about it",
        "He lives at 5 St. James Rd. today", "Meet Ph.D. Smith", "It weighs 3. 5 kg"[:12], "Well... maybe not",
        "On Jan. 5 we met", "See p. 12, pp. 3 and fig. 4", "(Really?) said he", "Steps: 1. Open it",
        "a.m. and p.m. are times", "Plan B. then C", "Yahoo! is a name", "What?! no",
    ],
)  # fmt: skip
def test_a_sentence_goes_on(sentence: str) -> None:
    assert split(sentence) == [sentence] or sentence.startswith("See https")


def test_a_number_with_a_full_stop_is_an_ordinal_in_some_languages() -> None:
    for text in ("Ludwig XIV. König von Frankreich starb.", "Berlin, 3. Mai 2026."):
        assert split(text, "de") == [text]
    assert split("They won 3. Then they left.", "en") == ["They won 3.", "Then they left."]


def test_numbers_of_a_list_stay_with_their_item() -> None:
    assert split("Steps: 1. Open the door. 2. Close it. 10. Go.") == [
        "Steps: 1. Open the door.",
        "2. Close it.",
        "10. Go.",
    ]


def test_a_long_line_of_code_is_one_piece() -> None:
    code = f"```\n{'x = 1; ' * 100_000}\n```"
    assert split(f"{code}\nThat was it.") == [code, "That was it."]
