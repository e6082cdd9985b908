"""Names of things in other languages."""

import re

import pytest

from assistant.models.pocket.kinds import GROUPS, RENAMED, TAUGHT
from assistant.models.pocket.things import THINGS
from assistant.models.pocket.translated_names import translated_names

# What has no name of its own.
NOT_NAMED = {"page or screen with text", "goal"}


@pytest.mark.parametrize("language", ["de", "fr", "es", "zh"])
def test_everything_that_is_known_by_name_is_translated(language: str) -> None:
    things = {re.sub(r"^(?:an?|the) ", "", thing) for thing in THINGS}
    names = {*TAUGHT, *GROUPS, *RENAMED.values(), *things} - NOT_NAMED
    assert [name for name in sorted(names) if not translated_names(f"It shows a {name}.", language)] == []


def test_the_longest_name_counts() -> None:
    assert translated_names("It shows a snow leopard.", "de") == "snow leopard = ein Schneeleopard"
    assert translated_names("Also visible: a ball and two dogs.", "fr") == "ball = un ballon; dogs = des chiens"


def test_a_part_of_a_word_is_no_name() -> None:
    assert translated_names("A manual about carpets.", "de") == ""


def test_other_languages_have_no_names() -> None:
    assert translated_names("It shows a cat.", "ru") == ""
    assert translated_names("It shows a cat.", "en") == ""


def test_a_long_description_has_its_first_names() -> None:
    assert translated_names(", ".join(TAUGHT[:30]), "es").count("=") == 8
