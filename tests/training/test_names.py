"""Answers that count as the right name."""

import pytest

from training.names import ACCEPTED_NAMES, IMAGENET_FAMILIES, contains_name, imagenet_family, with_article


@pytest.mark.parametrize(
    ("answer", "category"),
    [
        ("An accordion.", "accordion"),
        ("A photo of two Cameras.", "camera"),
        ("It is a cell phone", "cellphone"),
        ("scissors", "scissors"),
        ("I'm not sure. It may be a wild cat.", "wild cat"),
        ("A yin-yang symbol", "yin yang"),
    ],
)
def test_a_name_counts_anywhere_in_the_answer(answer: str, category: str) -> None:
    assert contains_name(answer, ACCEPTED_NAMES[category])


@pytest.mark.parametrize(
    ("answer", "category"),
    [
        ("A cat.", "wild cat"),
        ("A panther.", "ant"),
        ("A cupboard.", "cup"),
        ("A boat.", "ketch"),
        ("A cat.", "cougar face"),
        ("", "watch"),
    ],
)
def test_a_broader_name_or_a_part_of_a_word_does_not_count(answer: str, category: str) -> None:
    assert not contains_name(answer, ACCEPTED_NAMES[category])


def test_every_name_in_training_counts() -> None:
    for accepted in ACCEPTED_NAMES.values():
        assert contains_name(f"It is {with_article(accepted[0])}.", accepted)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ant", "an ant"),
        ("dog", "a dog"),
        ("Egyptian cat", "an Egyptian cat"),
        ("scissors", "scissors"),
        ("snoopy", "snoopy"),
    ],
)
def test_names_get_their_article(name: str, expected: str) -> None:
    assert with_article(name) == expected


@pytest.mark.parametrize(
    ("index", "family"), [(285, "cat"), (151, "dog"), (268, "dog"), (269, "wolf"), (504, None), (999, None)]
)
def test_imagenet_classes_have_families(index: int, family: str | None) -> None:
    assert imagenet_family(index) == family


def test_families_do_not_overlap() -> None:
    ends = [end for first, last, _ in IMAGENET_FAMILIES for end in (first, last + 0.5)]
    assert ends == sorted(ends)
