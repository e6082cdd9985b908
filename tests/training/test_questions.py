"""Questions derived from what people wrote say nothing that they did not."""

import random

import pytest

from training.metrics import room_key, yes_or_no
from training.questions import (
    ASK,
    THINGS,
    Companions,
    about_captions,
    about_room,
    about_thing,
    colours,
    counts,
    doing,
    main_actor,
    places,
    room_answer,
    room_question,
    sentence,
    shown,
    yes_no,
)

DOG = [
    "A brown dog runs through the snow .",
    "A brown dog is running in the snow .",
    "The brown dog is running on a snowy field .",
    "A dog running with a red ball in its mouth .",
    "A dog plays with a ball in the snow",
]
PEOPLE = [
    "Two men are sitting on a bench .",
    "Two men sit on a wooden bench in the park .",
    "Two guys talking on a bench .",
    "A pair of men rest on a park bench .",
    "Two men in black jackets sit on a bench .",
]


@pytest.fixture
def companions() -> Companions:
    return Companions([DOG, PEOPLE] * 5)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("A dog runs .", "A dog runs."),
        ('"two dogs"', "Two dogs."),
        ("a man 's hat , on  a bench", "A man's hat, on a bench."),
        ("He does n't look .", "He doesn't look."),
        (" . ", ""),
    ],
)
def test_sentences_are_clean(text: str, clean: str) -> None:
    assert sentence(text) == clean


def test_what_captions_show_and_rule_out() -> None:
    there, absent = shown(DOG)
    assert there == {"dog", "snow", "ball"}
    assert {"cat", "horse"}.isdisjoint(there)
    assert {"woman", "guitar", "cat"} <= absent
    assert not there & absent


def test_what_may_be_there_is_neither_shown_nor_ruled_out() -> None:
    there, absent = shown(["A person in a hood rides along the road ."])
    for open_question in ("man", "woman", "hat", "car"):
        assert open_question not in there | absent
    assert "guitar" in absent


def test_yes_and_no_are_balanced_and_true(companions: Companions) -> None:
    rng = random.Random(1)
    for captions in [DOG, PEOPLE] * 20:
        there, absent = shown(captions)
        yes, no = yes_no(captions, companions, rng)
        assert [yes_or_no(exchange.answers[0]) for exchange in (yes, no)] == ["yes", "no"]
        assert any(thing in yes.question for thing in there)
        assert any(thing in no.question for thing in absent)


def test_a_no_asks_rather_for_what_often_appears(companions: Companions) -> None:
    rng = random.Random(1)
    there, absent = shown(PEOPLE)
    drawn = [companions.absent_thing(there, absent, rng) for _ in range(300)]
    assert drawn.count("dog") > drawn.count("umbrella") * 2


def test_nothing_absent_means_no_question(companions: Companions) -> None:
    assert companions.absent_thing(set(THINGS), set(), random.Random(1)) is None


def test_colours_need_agreement() -> None:
    assert colours(DOG) == {"dog": "brown", "ball": "red"}
    assert colours(["A red car", "A blue car"]) == {}
    assert colours(["A black and white dog"]) == {}
    assert colours(["A gray cat"]) == {"cat": "grey"}


def test_counts_need_agreement() -> None:
    assert counts(PEOPLE) == {"men": 2}
    assert counts(["Two dogs run", "Three dogs run"]) == {}
    assert counts(["A dog runs", "A black dog jumps", "One big dog"]) == {"dogs": 1}


def test_what_is_done_and_where() -> None:
    assert "Running in the snow." in doing(DOG)["dog"]
    assert places(DOG) == "in the snow"
    assert places(["A dog"]) is None
    assert main_actor(DOG) == "dog"
    assert main_actor(PEOPLE) is None


def test_the_plain_caption_comes_first_with_all_five_answers(companions: Companions) -> None:
    first, *rest = about_captions(DOG, companions, random.Random(3))
    assert first.task == "caption"
    assert sorted(first.answers) == sorted(sentence(caption) for caption in DOG)
    assert {"there", "colour", "doing"} <= {exchange.task for exchange in rest}
    for exchange in [first, *rest]:
        assert exchange.question
        assert all(answer.endswith(".") and answer[0].isupper() for answer in exchange.answers)


def test_about_an_empty_caption_nothing_is_said_of_it(companions: Companions) -> None:
    first = about_captions([*DOG, " "], companions, random.Random(3))[0]
    assert "" not in first.answers


def test_a_thing_in_doubt_is_doubted() -> None:
    for exchange in about_thing("crane", "bird", "pelican", random.Random(0)):
        assert "pelican" in exchange.answers[0]
        assert "not sure" in exchange.answers[0]


def test_a_thing_that_is_known_is_named_and_not_denied() -> None:
    for seed in range(30):
        exchanges = about_thing("Egyptian cat", "cat", None, random.Random(seed))
        said = {exchange.task: exchange.answers[0] for exchange in exchanges}
        assert "cat" in said["thing caption"]
        for exchange in exchanges:
            if exchange.answers == ["No."]:
                assert "cat" not in exchange.question.split()


def test_a_room_shows_what_its_answers_name(companions: Companions) -> None:
    asked = [
        ("what is on the floor", "garbage_bin, chair"),
        ("how many chairs are there ?", "2"),
        ("what colour is it", "red"),
    ]
    for seed in range(20):
        exchanges = about_room(asked, companions, random.Random(seed))
        of_task = {exchange.task: exchange for exchange in exchanges}
        assert [exchange.task for exchange in exchanges].count("room") == 3
        assert of_task["room caption"].answers[0] in (
            "A room with a garbage bin and a chair.",
            "A room with a chair and a garbage bin.",
        )
        yes = next(exchange for exchange in exchanges if exchange.answers == ["Yes."])
        assert "chair" in yes.question or "garbage bin" in yes.question
        no = next(exchange for exchange in exchanges if exchange.answers == ["No."])
        assert "chair" not in no.question


def test_of_a_room_with_counts_and_colours_only_nothing_is_invented(companions: Companions) -> None:
    assert len(about_room([("how many chairs", "2"), ("what colour", "red")], companions, random.Random(0))) == 2


def test_whether_anyone_is_there_follows_the_captions(companions: Companions) -> None:
    for seed in range(60):
        for captions, answer in ((DOG, "No."), (PEOPLE, "Yes.")):
            for exchange in about_captions(captions, companions, random.Random(seed)):
                if exchange.question in ASK["people"]:
                    assert exchange.answers == [answer]


@pytest.mark.parametrize(
    ("annotated", "taught"),
    [("garbage_bin, chair", "Garbage bin, chair."), ("2", "Two."), ("12", "12."), ("white", "White.")],
)
def test_room_answers_are_taught_as_words(annotated: str, taught: str) -> None:
    assert room_answer(annotated) == taught
    assert room_key(taught) == room_key(annotated)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Garbage bin.", "garbage_bin", True),
        ("garbage bin", "Garbage_Bin", True),
        ("3", "Three.", True),
        ("chair, table", "table, chair", False),
        ("", "table", False),
        ("A table.", "table", False),
    ],
)
def test_room_answers_are_compared_as_wholes(one: str, other: str, same: bool) -> None:
    assert (room_key(one) == room_key(other)) is same


def test_room_questions_are_typed_as_people_do() -> None:
    assert room_question("how many chairs are there ?") == "How many chairs are there?"
