"""Which answers count as the right name."""

import pytest

from training.names import EVERYDAY, FAMILIES, family, names_it, with_article


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
def test_the_name_counts_wherever_it_stands(answer: str, category: str) -> None:
    assert names_it(answer, EVERYDAY[category])


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
    assert not names_it(answer, EVERYDAY[category])


def test_every_name_that_is_taught_counts() -> None:
    for accepted in EVERYDAY.values():
        assert names_it(f"It is {with_article(accepted[0])}.", accepted)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ant", "an ant"),
        ("dog", "a dog"),
        ("Egyptian cat", "an Egyptian cat"),
        ("scissors", "scissors"),
        ("snoopy", "snoopy"),
    ],
)
def test_articles(name: str, said: str) -> None:
    assert with_article(name) == said


@pytest.mark.parametrize(
    ("index", "kind"), [(285, "cat"), (151, "dog"), (268, "dog"), (269, "wolf"), (504, None), (999, None)]
)
def test_families_of_imagenet_classes(index: int, kind: str | None) -> None:
    assert family(index) == kind


def test_families_do_not_overlap() -> None:
    ends = [end for first, last, _ in FAMILIES for end in (first, last + 0.5)]
    assert ends == sorted(ends)
