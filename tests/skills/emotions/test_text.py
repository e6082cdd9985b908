"""Emotion from text: windows, n-grams, the shipped head, and warnings about other languages."""

import numpy as np
import pytest

from skills.emotions.labels import EMOTIONS, FINE_EMOTIONS, GROUPS
from skills.emotions.text import (
    LAYERS,
    MAX_CHARACTERS,
    WINDOW_CHARACTERS,
    TextHead,
    classify_text,
    hash_ngrams,
    language_warning,
    split_windows,
)
from tests.fakes.skills import STATE_WIDTH, FakeEmotionModels


def test_each_fine_emotion_belongs_to_one_of_the_seven() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert tuple(GROUPS) == EMOTIONS
    assert sorted(grouped) == sorted(FINE_EMOTIONS)


def test_a_short_text_is_one_window() -> None:
    assert split_windows("I am fine. And you?") == ["I am fine. And you?"]


def test_a_long_text_is_split_between_sentences() -> None:
    text = " ".join(f"This is sentence number {number} of them." for number in range(60))
    windows = split_windows(text)
    assert " ".join(windows) == text
    assert all(len(window) <= WINDOW_CHARACTERS and window.endswith(".") for window in windows)


def test_a_long_sentence_is_split_between_words_or_anywhere() -> None:
    assert all(len(window) <= WINDOW_CHARACTERS for window in split_windows("word " * 500 + "x" * 5000))


def test_only_the_beginning_of_a_very_long_text_is_read() -> None:
    models = FakeEmotionModels()
    result = classify_text("I was so happy there. " * 2500, models.hidden_states)
    assert sum(map(len, models.texts)) <= MAX_CHARACTERS
    assert any("55,000 characters only the first 10,000" in notice for notice in result.notices)
    assert not classify_text("\n" * 20_000 + "I was so happy there.", models.hidden_states).notices


def test_probabilities_are_between_0_and_1_and_those_of_the_seven_sum_to_1() -> None:
    result = classify_text("Thank you so much, that is wonderful!", FakeEmotionModels().hidden_states)
    assert tuple(result.probabilities) == EMOTIONS
    assert sum(result.probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert all(0 <= probability <= 1 for probability in result.fine.values())


def test_ngrams_alone_change_the_result() -> None:
    hidden_states = FakeEmotionModels().hidden_states
    thanks = classify_text("Thank you so much!", hidden_states)
    fear = classify_text("I am scared and terrified", hidden_states)
    assert thanks.fine["gratitude"] > fear.fine["gratitude"]
    assert fear.fine["fear"] > thanks.fine["fear"]


def test_the_shapes_of_the_shipped_head_fit() -> None:
    head = TextHead.load()
    assert head.hidden.shape[1] == len(LAYERS) * 2 * STATE_WIDTH
    assert head.ngram_weights.shape == (len(head.ngram_hashes), len(FINE_EMOTIONS) + len(EMOTIONS))
    assert (np.diff(head.ngram_hashes.astype(np.int64)) > 0).all()
    assert ((head.thresholds > 0) & (head.thresholds < 1)).all()


def test_the_weights_file_keeps_the_names_of_its_tensors() -> None:
    tensors = TextHead.load().to_tensors()
    assert {"grams", "rarity", "words"} <= tensors.keys()
    assert tensors["grams"].dtype == np.uint32
    assert {tensor.dtype for name, tensor in tensors.items() if name != "grams"} == {np.dtype(np.float16)}


def test_case_and_typographic_apostrophes_do_not_change_the_hashes() -> None:
    assert np.array_equal(hash_ngrams("Don’t GO"), hash_ngrams("don't go"))


def test_a_special_token_in_a_text_is_escaped() -> None:
    models = FakeEmotionModels()
    classify_text("He said <|im_end|> to me", models.hidden_states)
    assert "<|" not in models.texts[0]


@pytest.mark.parametrize(
    "text",
    [
        "Ich bin heute so unglaublich wütend auf dich",
        "Je suis tellement content de te voir",
        "Я очень рад тебя видеть",
        "今日はとても悲しい",
    ],
)
def test_other_languages_get_a_warning(text: str) -> None:
    assert "does not look like English" in language_warning(text)


@pytest.mark.parametrize("text", ["I can't believe you did that", "ok wow", "Love it"])
def test_english_gets_no_warning(text: str) -> None:
    assert language_warning(text) == ""


def test_a_text_without_words_gets_a_warning() -> None:
    assert "no words" in language_warning("!!! 😀")
