"""What the main thing in an image is called."""

import pytest

from assistant.models.pocket.image_description import Certainty
from assistant.models.pocket.kinds import GROUPS, TAUGHT, choose_kinds

NAMES = [f"class {number}" for number in range(1000)]
TABBY, EGYPTIAN, SPANIEL, TERRIER, MISSILE, RIG = 281, 285, 220, 185, 657, 540


def probabilities(values: dict[int, float]) -> list[float]:
    return [values.get(number, 0.0) for number in range(1000)]


def test_a_clear_class_has_its_own_name() -> None:
    (kind,) = choose_kinds(probabilities({EGYPTIAN: 0.9}), NAMES, {})
    assert (kind.name, kind.certainty) == ("class 285", Certainty.SURE)


def test_breeds_that_are_unsure_make_a_dog() -> None:
    (kind,) = choose_kinds(probabilities({SPANIEL: 0.45, TERRIER: 0.45}), NAMES, {})
    assert (kind.name, kind.certainty) == ("dog", Certainty.SURE)


def test_a_cat_is_one_cat_whatever_the_word_head_calls_it() -> None:
    kinds = choose_kinds(probabilities({EGYPTIAN: 0.5, TABBY: 0.45}), NAMES, {"wild cat": 0.95})
    assert [kind.name for kind in kinds] == ["cat"]


def test_a_taught_name_is_taken_where_the_classes_are_broad() -> None:
    (kind,) = choose_kinds(probabilities({350: 0.4, 352: 0.3, 104: 0.2}), NAMES, {"kangaroo": 0.97})
    assert kind.name == "kangaroo"


def test_guesses_about_one_thing_are_one_guess() -> None:
    kinds = choose_kinds(probabilities({MISSILE: 0.12, 744: 0.1, RIG: 0.15}), NAMES, {})
    assert [kind.name for kind in kinds] == ["rocket", "class 540"]
    assert {kind.certainty for kind in kinds} == {Certainty.UNSURE}


def test_a_flat_distribution_says_nothing() -> None:
    assert choose_kinds([0.001] * 1000, NAMES, {}) == ()


def test_a_silhouette_is_not_named_after_a_breed() -> None:
    assert choose_kinds(probabilities({SPANIEL: 0.6}), NAMES, {"pyramid": 1.0}, is_drawn=True) == ()


def test_a_room_is_not_the_chair_in_it() -> None:
    (kind,) = choose_kinds(probabilities({}), NAMES, {"chair": 0.95, "table": 0.9, "window": 0.6, "bed": 0.5})
    assert kind.name == "room"


def test_an_animal_that_the_words_know_is_named() -> None:
    (kind,) = choose_kinds(probabilities({SPANIEL: 0.45, 104: 0.45}), NAMES, {"dog": 0.8})
    assert kind.name == "dog"


@pytest.mark.parametrize("ranges", GROUPS.values())
def test_groups_hold_classes_that_there_are(ranges: str) -> None:
    numbers = [int(number) for part in ranges.split() for number in part.split("-")]
    assert all(0 <= number < 1000 for number in numbers)


def test_taught_names_are_words_of_the_word_head() -> None:
    import json

    from assistant.models.pocket.things import THINGS, THINGS_IN_ROOMS
    from assistant.models.pocket.vision_weights import WEIGHTS

    words = set(json.loads((WEIGHTS / "names.json").read_text("utf-8"))["words"])
    assert set(TAUGHT) <= words
    assert {word for group in (THINGS | THINGS_IN_ROOMS).values() for word in group} <= words
