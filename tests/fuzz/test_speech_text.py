"""Odd text on its way to a voice: split, cleaned and normalized in every language."""

import random
import re
from contextlib import suppress

import pytest

from assistant.text_cleaning import clean_text
from tests.fuzz.harness import fuzz, odd_text
from voice.tts.base import spoken_sentences
from voice.tts.readable import UnreadableTextError, readable_text
from voice.tts.sentence_splitter import MAX_CHARACTERS, SentenceSplitter

pytestmark = pytest.mark.slow

LANGUAGES = ("en", "de", "fr", "es", "ja", "zh", "ar", "hi", "th", "ru", "el", "hy", "am", "", "xx")
PIECES = (
    "$E=mc^2$", "\\(", "\\frac{1}{", "$$", "$5", "€ 5,20", "1.234.567", "12/05/2026", "2026-11-24T16:35", "16:35:20",
    "0800-123-4567", "+49 (0)30 123", "DE89 3704 0044 0532 0130 00", "A1B2C3", "B-MW 1234", "SW1A 1AA", "192.168.0.1",
    "v1.2.3", "C6H12O6", "Ⅳ", "Henry VIII", "𝐁𝐨𝐥𝐝", "１２", "½", "5'10\"", "3-5 km", "10–15 %", "-5°C", "@bob_smith",
    "#BlackFriday", "a.b+c@d.e", "https://a.b/c?d=e.f", "/usr/local/bin", "C:\\Users\\x", "~/x", "e.g.", "z. B.",
    "Dr. ", "J. K. ", "Am 3. Mai ", "U.S. ", "1. ", "।", "؟ ", "。", "！？", "「", "」", "։", "።", "…", "...",
    "?!", "¿", "¡", "1-800-FLOWERS", "9/11", "on 11/30", "v2.0", "AB-1234-X", "0x80070005", "data.tar.gz",
    "a.b.com/x/y", "U.S.A.", "a $5 bill", "a 5 km run", "Mon-Fri 9-5", "Jan–Mar", "1 3/4", "2-3x ", "World War I",
    "XXI century", "a 2:1 ratio", "$5/month", "Paris, TX 75460-1234", "##x", "[x] y", "Mo-Fr", "19.30 Uhr",
    "|a|b|\n", "|---|\n", "```", "~~~", "`", "**", "_", "[a](b)", "![", "](", "<b>", "&amp;", "&#0;", "&#xD800;",
    "\n\n", "A-" * 60, "1-" * 60,
    "20,- €", "1e-3", "10^-3", "==>", "Tel.: 030 / 12 34", "5.-7. Mai", "€1.234,56", "1 000 000",
    "# ", "- ", "> ", "<!--", "-->", "<speak>", "[[h@l'oU]]", "\\", "^", "*" * 50, "(" * 200, "9" * 400, "<" * 100,
    "α", "γάτα", "日本語", "Привет", "שלום", "สวัสดี", "안녕", "नमस्ते", "ﬁ", "ß", "İ", "ǅ", "�", "\u200d",
    "\ufe0f", "👨‍👩‍👧",
)  # fmt: skip


class Voice:
    """A voice that says which language it speaks."""

    sample_rate = 100

    def __init__(self, language: str) -> None:
        self.language = language

    def synthesize(self, _: str) -> list[object]:
        return []

    def close(self) -> None:
        pass


def make_text(rng: random.Random) -> tuple[str, str, int]:
    parts = []
    for _ in range(rng.randint(1, 12)):
        part = odd_text(rng, 4) if rng.random() < 0.3 else rng.choice(PIECES)
        parts.append(part * rng.choice((1, 1, 1, 1, 2, 40)) + rng.choice(("", " ", " ", "\n", ". ")))
    return "".join(parts)[:10_000], rng.choice(LANGUAGES), rng.randrange(2**32)


def use_text(value: tuple[str, str, int]) -> None:
    text, language, seed = value
    rng = random.Random(seed)
    pieces = []
    rest = text
    while rest:
        count = rng.choice((1, 3, 50, 5_000))
        pieces.append(rest[:count])
        rest = rest[count:]
    sentences = list(spoken_sentences(pieces, language))
    assert sentences == list(spoken_sentences([text], language)), "the sentences depend on how the text arrives"
    for sentence in sentences:
        assert sentence == clean_text(sentence) == " ".join(sentence.split()), f"not clean: {sentence!r}"
        assert not re.search(r"[<>\[\]\x00\ud800-\udfff]", sentence), f"markup is left: {sentence!r}"
        assert any(map(str.isalnum, sentence)), f"nothing to say: {sentence!r}"
        with suppress(UnreadableTextError):
            readable_text(sentence, Voice(language))  # type: ignore[arg-type]
    splitter = SentenceSplitter(language)
    written = [*splitter.feed(text), *splitter.finish()]
    assert "".join("".join(written).split()) == "".join(text.split()), "text is lost"
    assert all(len(piece) <= MAX_CHARACTERS or set(piece) & set("`~") for piece in written)


def test_odd_text_is_split_and_cleaned() -> None:
    fuzz("speech_text", make_text, use_text)
