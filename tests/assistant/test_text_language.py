"""The language in which somebody asks something."""

import pytest

from assistant.text_language import language_of_text


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wer bist du?", "de"),
        ("Beschreibe das Bild genau.", "de"),
        ("Und wie viele Hunde sind auf dem Bild?", "de"),
        ("Welche Farbe hat der Ball?", "de"),
        ("Bonjour, qui êtes-vous ?", "fr"),
        ("Décris cette image.", "fr"),
        ("De quelle couleur est la voiture ?", "fr"),
        ("¿De qué color es?", "es"),
        ("Describe la imagen, por favor.", "es"),
        ("Che cosa si vede in questa foto?", "it"),
        ("这张图片里是什么？", "zh"),
        ("これは何ですか？", "ja"),
        ("Что на картинке?", "ru"),
        ("What is this?", "en"),
        ("Describe this picture in detail.", "en"),
        ("And what else is there?", "en"),
        ("What does „guten Morgen, wie geht es dir“ mean?", "en"),
        ("Was bedeutet das: 'the cat is on the table'?", "de"),
    ],
)
def test_a_question_has_a_language(text: str, language: str) -> None:
    assert language_of_text(text) == language


@pytest.mark.parametrize(
    "text", ["", "Pizza?", "Las Vegas", "Die Hard", "OK", "1 + 1", "print(x)", "```\nder die das\n```"]
)
def test_the_language_of_a_word_or_two_is_left_open(text: str) -> None:
    assert language_of_text(text) == ""
