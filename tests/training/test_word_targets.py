"""Vocabulary and targets of the word head."""

from pathlib import Path
from typing import Any

import pytest
import torch

from training.names import ACCEPTED_NAMES
from training.word_targets import MIN_CAPTIONED_IMAGES, TargetBuilder, Vocabulary, answer_objects, build_vocabulary
from training.words import mean_average_precision

CAPTIONS: list[dict[str, Any]] = [
    {"image": f"{number}.png", "split": "train", "captions": ["the red dog runs", "a dog"]}
    for number in range(MIN_CAPTIONED_IMAGES)
]
ROOMS: list[dict[str, Any]] = [
    {"image": f"{number}.png", "split": "train", "question": "?", "answer": "night_stand, 2"} for number in range(12)
]


@pytest.fixture
def vocabulary() -> Vocabulary:
    return build_vocabulary(CAPTIONS, ROOMS)


def weight_of(word: str, vocabulary: Vocabulary, weights: torch.Tensor) -> float:
    return float(weights[vocabulary.words.index(word)])


def test_the_vocabulary_has_frequent_words_categories_and_objects_in_rooms(vocabulary: Vocabulary) -> None:
    assert set(vocabulary.words[: vocabulary.num_caption_words]) == {"red", "dog", "runs"}
    assert vocabulary.words[-1] == "night stand"
    assert {names[0] for names in ACCEPTED_NAMES.values()} <= set(vocabulary.words)


def test_words_of_the_test_split_and_rare_words_are_left_out() -> None:
    test_rows = [{**row, "split": "test"} for row in CAPTIONS]
    assert "runs" not in build_vocabulary(test_rows, []).words
    assert "runs" not in build_vocabulary(CAPTIONS[1:], []).words


def test_a_saved_vocabulary_is_read_back(vocabulary: Vocabulary, tmp_path: Path) -> None:
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary


def test_colours_and_numbers_are_no_objects() -> None:
    assert answer_objects("garbage_bin, chair, 2, white") == ["garbage bin", "chair"]


def test_the_probability_of_a_word_is_its_share_of_captions(vocabulary: Vocabulary) -> None:
    targets = TargetBuilder(vocabulary).build("flickr8k", ["0.png"], CAPTIONS[:1])
    assert weight_of("dog", vocabulary, targets.probability[0]) == pytest.approx(1)
    assert weight_of("runs", vocabulary, targets.probability[0]) == pytest.approx(0.5)


def test_an_object_rules_out_other_categories_but_not_colours(vocabulary: Vocabulary) -> None:
    rows = [{"image": "0.png", "name": "anchor"}]
    targets = TargetBuilder(vocabulary).build("caltech101", ["0.png"], rows)
    assert weight_of("anchor", vocabulary, targets.probability[0]) == pytest.approx(1)
    assert weight_of("umbrella", vocabulary, targets.probability[0]) == pytest.approx(0)
    assert weight_of("umbrella", vocabulary, targets.weight[0]) == pytest.approx(1)
    assert weight_of("red", vocabulary, targets.weight[0]) == pytest.approx(0)


def test_a_room_says_little_about_what_nobody_asked(vocabulary: Vocabulary) -> None:
    targets = TargetBuilder(vocabulary).build("daquar", ["0.png"], ROOMS[:1])
    assert weight_of("night stand", vocabulary, targets.probability[0]) == pytest.approx(1)
    assert weight_of("night stand", vocabulary, targets.weight[0]) == pytest.approx(1)
    assert weight_of("umbrella", vocabulary, targets.weight[0]) < 0.5


def test_a_perfect_ranking_has_average_precision_one() -> None:
    relevant = torch.tensor([[True], [True], [True], [False]])
    assert mean_average_precision(torch.tensor([[0.9], [0.8], [0.7], [0.1]]), relevant) == pytest.approx(1)
    assert mean_average_precision(torch.tensor([[0.1], [0.8], [0.7], [0.9]]), relevant) < 1
