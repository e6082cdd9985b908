"""Derived questions have answers that the annotations support."""

import random

import pytest

from tests.fakes.captions import DOG, TWO_MEN
from training.caption_rules import Cooccurrence, present_and_absent, to_sentence
from training.metrics import normalize_room_answer, parse_yes_no
from training.question_tables import QUESTION_TEMPLATES
from training.questions import (
    caption_exchanges,
    object_exchanges,
    room_answer,
    room_exchanges,
    room_question,
    uncertain_exchanges,
    yes_no_exchanges,
)


@pytest.fixture
def cooccurrence() -> Cooccurrence:
    return Cooccurrence([DOG, TWO_MEN] * 5)


def test_yes_and_no_are_balanced_and_true(cooccurrence: Cooccurrence) -> None:
    rng = random.Random(1)
    for captions in [DOG, TWO_MEN] * 20:
        present, absent = present_and_absent(captions)
        yes, no = yes_no_exchanges(captions, cooccurrence, rng)
        assert [parse_yes_no(exchange.answers[0]) for exchange in (yes, no)] == ["yes", "no"]
        assert any(name in yes.question for name in present)
        assert any(name in no.question for name in absent)


def test_the_plain_caption_comes_first_with_all_five_answers(cooccurrence: Cooccurrence) -> None:
    first, *rest = caption_exchanges(DOG, cooccurrence, random.Random(3))
    assert first.task == "caption"
    assert sorted(first.answers) == sorted(to_sentence(caption) for caption in DOG)
    assert {"there", "colour", "doing"} <= {exchange.task for exchange in rest}
    for exchange in [first, *rest]:
        assert exchange.question
        assert all(answer.endswith(".") and answer[0].isupper() for answer in exchange.answers)


def test_an_empty_caption_is_no_answer(cooccurrence: Cooccurrence) -> None:
    first = caption_exchanges([*DOG, " "], cooccurrence, random.Random(3))[0]
    assert "" not in first.answers


def test_whether_people_are_there_follows_the_captions(cooccurrence: Cooccurrence) -> None:
    asked = 0
    for seed in range(60):
        for captions, answer in ((DOG, "No."), (TWO_MEN, "Yes.")):
            for exchange in caption_exchanges(captions, cooccurrence, random.Random(seed)):
                if exchange.question in QUESTION_TEMPLATES["people"]:
                    asked += 1
                    assert exchange.answers == [answer]
    assert asked


def test_uncertain_answers_name_the_guess_with_doubt() -> None:
    for exchange in uncertain_exchanges("pelican", random.Random(0)):
        assert "pelican" in exchange.answers[0]
        assert "not sure" in exchange.answers[0]


def test_a_known_object_is_named_and_not_denied() -> None:
    for seed in range(30):
        exchanges = object_exchanges("Egyptian cat", "cat", random.Random(seed))
        answers = {exchange.task: exchange.answers[0] for exchange in exchanges}
        assert "cat" in answers["thing caption"]
        for exchange in exchanges:
            if exchange.answers == ["No."]:
                assert "cat" not in exchange.question.split()


def test_room_exchanges_are_about_what_the_answers_name(cooccurrence: Cooccurrence) -> None:
    asked = [
        ("what is on the floor", "garbage_bin, chair"),
        ("how many chairs are there ?", "2"),
        ("what colour is it", "red"),
    ]
    for seed in range(20):
        exchanges = room_exchanges(asked, cooccurrence, random.Random(seed))
        by_task = {exchange.task: exchange for exchange in exchanges}
        assert [exchange.task for exchange in exchanges].count("room") == 3
        assert by_task["room caption"].answers[0] in (
            "A room with a garbage bin and a chair.",
            "A room with a chair and a garbage bin.",
        )
        yes = next(exchange for exchange in exchanges if exchange.answers == ["Yes."])
        assert "chair" in yes.question or "garbage bin" in yes.question
        no = next(exchange for exchange in exchanges if exchange.answers == ["No."])
        assert "chair" not in no.question


def test_a_room_without_named_objects_gets_no_further_exchanges(cooccurrence: Cooccurrence) -> None:
    asked = [("how many chairs", "2"), ("what colour", "red")]
    assert len(room_exchanges(asked, cooccurrence, random.Random(0))) == 2


@pytest.mark.parametrize(
    ("annotated", "answer"),
    [("garbage_bin, chair", "Garbage bin, chair."), ("2", "Two."), ("12", "12."), ("white", "White.")],
)
def test_room_answers_are_written_in_words(annotated: str, answer: str) -> None:
    assert room_answer(annotated) == answer
    assert normalize_room_answer(answer) == normalize_room_answer(annotated)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("Garbage bin.", "garbage_bin", True),
        ("garbage bin", "Garbage_Bin", True),
        ("3", "Three.", True),
        ("chair, table", "table, chair", False),
        ("", "table", False),
        ("A table.", "table", False),
    ],
)
def test_room_answers_are_compared_as_a_whole(one: str, other: str, equal: bool) -> None:
    assert (normalize_room_answer(one) == normalize_room_answer(other)) is equal


def test_room_questions_are_written_as_people_type() -> None:
    assert room_question("how many chairs are there ?") == "How many chairs are there?"
