"""Numbers of people in captions and replies."""

import pytest

from benchmarks.pocket.counting import stated_numbers, supported_numbers


@pytest.mark.parametrize(
    ("reply", "numbers"),
    [
        ("There are three people in this picture.", {3}),
        ("I see 2 young men.", {2}),
        ("There are four.", {4}),
        ("One person is running.", {1}),
        ("There are no people.", {0}),
        ("A man runs.", set()),
        ("No, I cannot tell how many people there are.", set()),
        ("One of the colours is grey.", set()),
    ],
)
def test_numbers_of_people_are_found_in_replies(reply: str, numbers: set[int]) -> None:
    assert stated_numbers(reply) == numbers


@pytest.mark.parametrize(
    ("captions", "numbers"),
    [
        (["A man and a woman walk ."], {1, 2}),
        (["Two men and a girl sit .", "Three friends sit ."], {1, 2, 3}),
        (["People walk ."], set()),
        (["A dog runs ."], set()),
        (["A man stands among people ."], {1}),
    ],
)
def test_people_in_captions_are_added_up(captions: list[str], numbers: set[int]) -> None:
    assert supported_numbers(captions) == numbers
