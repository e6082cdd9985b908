"""From a text to the sentences that are spoken, in the language that a voice reads."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.fakes.audio import Floats
from voice.tts.base import SENTENCE_GAP_SECONDS, language_of, speak, spoken_sentences
from voice.tts.readable import UnreadableTextError, readable_text
from voice.tts.registry import ENGINES
from voice.tts.voice_languages import voices_for


class MultilingualVoice:
    """Yields one sample for each character."""

    sample_rate = 100

    def synthesize(self, sentence: str) -> Iterator[Floats]:
        yield np.ones(len(sentence), np.float32)

    def close(self) -> None:
        pass


class GermanVoice(MultilingualVoice):
    language = "de"


def test_markdown_becomes_sentences_without_markup() -> None:
    text = "# Cats\n\nThey cost **$5**. See [this](http://a.b).\n\n| a | b |\n|---|---|\n\n```\nx\n```\n\n👍"
    assert list(spoken_sentences([text])) == [
        "Cats.",
        "They cost 5 dollars.",
        "See this.",
        "a, b.",
        "Code left out.",
        "thumbs up.",
    ]


def test_a_voice_of_one_language_reads_in_that_language() -> None:
    assert language_of(GermanVoice(), "en") == "de"
    assert language_of(MultilingualVoice(), "en") == "en"


def test_numbers_become_words_in_the_language_that_is_read() -> None:
    (english,) = speak(["5 kg"], MultilingualVoice(), "en")
    (german,) = speak(["5 kg"], MultilingualVoice(), "de")
    (always_german,) = speak(["5 kg"], GermanVoice(), "en")
    assert english.size == len("5 kilograms.")
    assert german.size == always_german.size == len("5 Kilogramm.")


def test_there_is_a_gap_between_sentences_and_none_before_the_first() -> None:
    first, gap, second = speak(["Yes. No."], MultilingualVoice())
    assert first.all()
    assert second.all()
    assert not gap.any()
    assert gap.size == SENTENCE_GAP_SECONDS * MultilingualVoice.sample_rate


# What a voice cannot read


class EnglishVoice(MultilingualVoice):
    language = "en"


class KanaVoice(MultilingualVoice):
    language = "ja"
    scripts = frozenset({"HIRAGANA", "KATAKANA"})


@pytest.mark.parametrize(
    ("text", "language", "voice"),
    [
        ("日本語です", "Japanese", "xtts --language ja"), ("你好，世界", "Chinese", "xtts --language zh"),
        ("안녕하세요", "Korean", "espeak:ko"), ("Привет, как дела?", "Russian", "espeak:ru"),
        ("Їжак і кіт", "Ukrainian", "espeak:uk"), ("Καλημέρα σας", "Greek", "espeak:el"),
        ("مرحبا بكم", "Arabic", "espeak:ar"),
        ("چطور هستید", "Persian", "espeak:fa"), ("שלום לכם", "Hebrew", "espeak:he"),
        ("สวัสดีครับ", "Thai", "espeak:th"), ("नमस्ते दुनिया", "Hindi", "espeak:hi"), ("নমস্কার", "Bengali", "espeak:bn"),
        ("გამარჯობა", "Georgian", "espeak:ka"), ("Բարև ձեզ", "Armenian", "espeak:hy"),
        ("ሰላም ነው", "Amharic", "espeak:am"),
        ("Guten Morgen, wie geht es Ihnen?", "German", "espeak:de"),
        ("Je ne sais pas où il est.", "French", "espeak:fr"), ("El gato está en la casa.", "Spanish", "espeak:es"),
        ("Il gatto è nella casa e non c'è.", "Italian", "espeak:it"),
        ("Wie heißt du?", "German", "espeak:de"), ("Bonjour, comment allez-vous", "French", "espeak:fr"),
        ("Hola, ¿cómo estás?", "Spanish", "espeak:es"), ("Xin chào các bạn", "Vietnamese", "espeak:vi"),
        ("こんにちは Hello", "Japanese", "xtts --language ja"),
        ("Jag är inte hemma och du är det.", "Swedish", ""),
    ],
)  # fmt: skip
def test_text_in_another_language_is_refused_with_a_voice_for_it(text: str, language: str, voice: str) -> None:
    with pytest.raises(UnreadableTextError) as error:
        list(speak([text], EnglishVoice()))
    assert f"This voice speaks English and cannot read “{text}" in str(error.value)
    assert f"which is {language}: choose --voice " in str(error.value)
    assert voice in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "I said guten Morgen to the man.", "The café in Zürich is naïve.", "Der Spiegel is a magazine.", "Hello.",
        "La La Land", "Los Angeles, Las Vegas, El Paso", "Die Hard is a film.", "He was in an inn.",
        "de facto, en masse", "Bon voyage!", "Merci!", "Ciao!",
        "42", "Nice! 😀", "R.E.M. on tour", "Is this my Fahrrad?", "Que sera, sera!", "C'est la vie, my friend.",
        "in is was an am so", "Im not sure who will", "You do so at a bar on an isle",
    ],
)  # fmt: skip
def test_english_with_foreign_words_is_spoken(text: str) -> None:
    assert readable_text(text, EnglishVoice()) == text


@pytest.mark.parametrize(
    ("text", "language"),
    [("Guten Morgen!", "German"), ("Bonne journée.", "French"), ("Buenos días.", "Spanish"), ("Dzień dobry", "Polish")],
)
def test_a_greeting_in_another_language_is_not_read_as_english(text: str, language: str) -> None:
    with pytest.raises(UnreadableTextError, match=f"which is {language}"):
        readable_text(text, EnglishVoice())


def test_a_latin_name_within_words_of_another_script_is_spoken() -> None:
    text = "The sign says 私はBerlinに住む and nothing else that I could read there."
    assert readable_text(text, EnglishVoice()) == "The sign says Berlin and nothing else that I could read there."
    assert "Müller" in readable_text("He wrote Müllerさん and 2026年 under the letter.", EnglishVoice())


def test_words_in_another_script_are_left_out_and_named() -> None:
    notices: list[str] = []
    text = "The word 日本語 (nihongo) means Japanese, and γάτα is a cat."
    chunks = list(speak([text], EnglishVoice(), on_notice=notices.append))
    spoken = sum(chunk.size for chunk in chunks if chunk.all())
    assert spoken == len("The word (nihongo) means Japanese,") + len("and is a cat.")
    assert notices == ["This voice cannot read some words, which were left out: 日本語 γάτα."]


def test_a_sentence_among_others_is_left_out_and_named() -> None:
    notices: list[str] = []
    chunks = list(speak(["Hello you.\n\n你好。\n\nBye."], EnglishVoice(), on_notice=notices.append))
    assert sum(chunk.size for chunk in chunks if chunk.all()) == len("Hello you.Bye.")
    (notice,) = notices
    assert "cannot read “你好。”, which is Chinese" in notice
    assert notice.endswith("That was left out.")


def test_a_known_language_decides() -> None:
    text = "Guten Morgen, wie geht es Ihnen?"
    assert list(speak([text], EnglishVoice(), text_language="en"))
    with pytest.raises(UnreadableTextError, match=r"speaks English and cannot read “OK\.”, which is German"):
        list(speak(["OK"], EnglishVoice(), text_language="de"))
    assert list(speak([text, " Привет."], MultilingualVoice()))


def test_a_voice_may_know_only_some_scripts_of_its_language() -> None:
    assert readable_text("にほんごです。", KanaVoice()) == "にほんごです。"
    with pytest.raises(UnreadableTextError, match="speaks Japanese"):
        readable_text("日本語版", KanaVoice())


def test_each_engine_says_which_languages_it_speaks() -> None:
    assert voices_for("en") == ["--voice hibari", "--voice espeak:en", "--voice xtts --language en"]
    assert voices_for("de") == ["--voice espeak:de", "--voice xtts --language de"]
    assert voices_for("tlh") == []
    for engine in ENGINES:
        named = {code for code in ("en", "de", "ja", "el") if any(engine.kind in each for each in voices_for(code))}
        assert named == engine.languages & {"en", "de", "ja", "el"}
