"""Languages may be called by their names, and who mistypes one is told which they may mean."""

import pytest

from assistant.languages import language_code, suggest
from assistant.settings import Settings

KNOWN = (*("en", "de", "fr", "es", "ja", "zh", "pt", "it"), *(f"x{number}" for number in range(40)))


@pytest.mark.parametrize(
    ("called", "code"),
    [("german", "de"), ("Deutsch", "de"), ("français", "fr"), ("haitian creole", "ht"), ("de", "de"), ("xx", "xx")],
)
def test_a_name_is_as_good_as_a_code(called: str, code: str) -> None:
    assert language_code(called) == code
    assert Settings(language=f" {called.upper()} ").language == code


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [("germn", "de (German)"), ("de-at", "de (German)"), ("portugese", "pt (Portuguese)"), ("x7-y", "x7")],
)
def test_a_near_miss_is_asked_about(mistyped: str, meant: str) -> None:
    assert suggest(mistyped, KNOWN) == f"is it {meant} that you mean?"


def test_few_codes_are_listed_and_of_many_a_few() -> None:
    assert suggest("xx", ["en"]) == "choose en."
    assert suggest("german", ["en", "fr", "es"]) == "choose one of en, fr, es."
    assert suggest("xx", KNOWN) == "choose one of its 48 codes, of ISO 639, like en, de, es, fr, ja, zh."
