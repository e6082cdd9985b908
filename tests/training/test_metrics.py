"""Scores equal those of the papers that define them."""

import math

import pytest

from training.metrics import caption_scores, caption_words, parse_yes_no, percentage


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog 's T-shirt , red .", "a dog s t-shirt red"),
        ("A dog's T-shirt, red!", "a dog s t-shirt red"),
        ("  ", ""),
    ],
)
def test_captions_are_scored_by_their_words(text: str, words: str) -> None:
    assert caption_words(text) == words


class TestCaptions:
    def test_bleu_clips_repeated_words(self) -> None:
        """Example 2 of Papineni et al. 2002: seven times "the" has a modified unigram precision of 2/7."""
        references = ["The cat is on the mat.", "There is a cat on the mat."]
        scores = caption_scores(["the the the the the the the."], [references])
        assert scores.bleu_1 == pytest.approx(100 * 2 / 7, abs=1e-4)
        assert scores.bleu_4 == pytest.approx(0, abs=1e-3)

    def test_bleu_penalizes_short_captions(self) -> None:
        """The brevity penalty is exp(1 - r / c): four right words of eight."""
        scores = caption_scores(["a dog runs in"], [["a dog runs in the snow with sticks"]])
        assert scores.bleu_4 == pytest.approx(100 * math.exp(1 - 8 / 4), abs=1e-3)

    def test_cider_equals_a_manual_calculation(self) -> None:
        """The first caption equals its reference and scores 10; the second shares a third of its words and bigrams.

        "a" is in the references of both images, so its weight is log(2 / 2) = 0; that of all others is log 2. The
        cosines are 1/3, 1/3, 0 and 0 for n = 1 to 4; their mean times 10 is the score.
        """
        references = [["A dog runs fast ."], ["A cat sits still ."]]
        scores = caption_scores(["A dog runs fast.", "A cat sleeps here."], references)
        assert scores.cider_d == pytest.approx(100 * (10 + 10 / 6) / 2, abs=1e-3)

    def test_rouge_is_the_f_measure_of_the_longest_common_subsequence(self) -> None:
        """The example of Lin 2004: three of four words in the same order, so precision, recall and F are 3/4."""
        scores = caption_scores(["police kill the gunman"], [["police killed the gunman"]])
        assert scores.rouge_l == pytest.approx(75)

    def test_captions_of_other_images_score_low(self) -> None:
        captions = ["two dogs play with a ball", "a man rides his bicycle downhill", "a girl swims under water"]
        written = [[text, f"{text} today"] for text in captions]
        own = caption_scores(captions, written)
        others = caption_scores(captions[1:] + captions[:1], written)
        assert others.cider_d < own.cider_d / 3

    def test_each_image_needs_a_caption(self) -> None:
        with pytest.raises(ValueError, match="1 captions cannot be scored against the references of 2 images"):
            caption_scores(["a dog"], [["a dog"], ["a cat"]])


@pytest.mark.parametrize(
    ("answer", "parsed"),
    [("Yes.", "yes"), ("no, there is none", "no"), ('"No"', "no"), ("Nobody is there.", ""), ("A dog.", ""), ("", "")],
)
def test_yes_and_no_are_parsed_from_the_start(answer: str, parsed: str) -> None:
    assert parse_yes_no(answer) == parsed


def test_percentage_of_hits() -> None:
    assert percentage([True, False, False, True]) == pytest.approx(50)
