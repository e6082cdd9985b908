"""Facts extracted from captions are those that people wrote."""

import random

import pytest

from tests.fakes.captions import DOG, TWO_MEN
from training.caption_rules import (
    Cooccurrence,
    find_actions,
    find_colours,
    find_counts,
    find_main_actor,
    find_place,
    present_and_absent,
    to_sentence,
)
from training.question_tables import OBJECT_WORDS


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("A dog runs .", "A dog runs."),
        ('"two dogs"', "Two dogs."),
        ("a man 's hat , on  a bench", "A man's hat, on a bench."),
        ("He does n't look .", "He doesn't look."),
        (" . ", ""),
    ],
)
def test_captions_become_clean_sentences(text: str, sentence: str) -> None:
    assert to_sentence(text) == sentence


def test_objects_are_present_if_mentioned_and_absent_if_ruled_out() -> None:
    present, absent = present_and_absent(DOG)
    assert present == {"dog", "snow", "ball"}
    assert {"woman", "guitar", "cat"} <= absent
    assert not present & absent


def test_objects_that_captions_leave_open_are_neither_present_nor_absent() -> None:
    present, absent = present_and_absent(["A person in a hood rides along the road ."])
    for name in ("man", "woman", "hat", "car"):
        assert name not in present | absent
    assert "guitar" in absent


def test_frequent_objects_are_sampled_more_often() -> None:
    cooccurrence = Cooccurrence([DOG, TWO_MEN] * 5)
    rng = random.Random(1)
    present, absent = present_and_absent(TWO_MEN)
    sampled = [cooccurrence.sample_absent(present, absent, rng) for _ in range(300)]
    assert sampled.count("dog") > sampled.count("umbrella") * 2


def test_nothing_is_sampled_if_nothing_is_absent() -> None:
    assert Cooccurrence([DOG]).sample_absent(set(OBJECT_WORDS), set(), random.Random(1)) is None


def test_captions_must_agree_on_a_colour() -> None:
    assert find_colours(DOG) == {"dog": "brown", "ball": "red"}
    assert find_colours(["A red car", "A blue car"]) == {}
    assert find_colours(["A black and white dog"]) == {}
    assert find_colours(["A gray cat"]) == {"cat": "grey"}


def test_captions_must_agree_on_a_number() -> None:
    assert find_counts(TWO_MEN) == {"men": 2}
    assert find_counts(["Two dogs run", "Three dogs run"]) == {}
    assert find_counts(["A dog runs", "A black dog jumps", "One big dog"]) == {"dogs": 1}


def test_actions_are_found_with_their_actor() -> None:
    assert "Running in the snow." in find_actions(DOG)["dog"]


def test_the_place_is_found_if_a_caption_names_one() -> None:
    assert find_place(DOG) == "in the snow"
    assert find_place(["A dog"]) is None


def test_the_main_actor_begins_at_least_two_captions() -> None:
    assert find_main_actor(DOG) == "dog"
    assert find_main_actor(TWO_MEN) is None
