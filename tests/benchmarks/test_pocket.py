"""The evaluation of the bundled model: which replies count, and runs that go on where they stopped."""

import json
from pathlib import Path

import pytest

from benchmarks.pocket import drawings
from benchmarks.pocket.__main__ import main
from benchmarks.pocket.cases import read_records
from benchmarks.pocket.scores import (
    count_sentences,
    is_in_language,
    is_read,
    is_right_colour,
    stated_and_unsupported,
    stays_in_role,
)
from benchmarks.pocket.tasks import PARTS, Options


def test_a_colour_counts_alone_or_beside_that_of_the_background() -> None:
    facts = {"colour": "red", "background": "white"}
    assert is_right_colour("The circle is red on white.", facts)
    assert not is_right_colour("It is red or blue.", facts)
    assert not is_right_colour("It is white.", facts)


def test_an_amount_counts_as_a_number_of_its_own() -> None:
    assert is_read("The total is 12,50 euros.", {"of": "12.50"})
    assert not is_read("It is 112.50.", {"of": "12.50"})


def test_most_of_the_words_have_to_be_read() -> None:
    assert is_read("It says: no parking!", {"words": "NO PARKING"})
    assert not is_read("It says: parking", {"words": "NO PARKING HERE"})


@pytest.mark.parametrize(
    ("reply", "is_right"),
    [
        ("I am Mia.", True),
        ("I am Mia, not ChatGPT.", True),
        ("I am Mia, made by Alibaba Cloud.", False),
        ("I am a language model.", False),
    ],
)
def test_a_persona_may_deny_to_be_another_assistant_but_not_claim_it(reply: str, is_right: bool) -> None:
    assert stays_in_role(reply, {"expect": r"\bmia\b"}) == is_right


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Das ist ein Hund auf der Wiese.", "de"),
        ("C'est un chien dans le jardin.", "fr"),
        ("Es un perro en el jardín.", "es"),
        ("这是一只狗。", "zh"),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    assert [each for each in ("de", "fr", "es", "zh") if is_in_language(text, each)] == [language]
    assert not is_in_language("This is a dog in the garden.", language)


def test_stated_objects_are_compared_with_captions() -> None:
    captions = ["A dog runs on grass .", "The dog has a ball ."]
    assert stated_and_unsupported("A dog beside a car plays with a ball.", captions) == (
        {"dog", "car", "ball"},
        {"car"},
    )


def test_sentences_are_counted() -> None:
    assert count_sentences("A dog runs. It has a ball! Is it wet?") == 3


def test_dev_and_test_share_no_drawing_and_no_persona() -> None:
    for part in ("colours", "reading", "persona"):
        dev, test = (PARTS[part](Options(split)) for split in ("dev", "test"))
        assert not {(case.system, case.image, *case.questions) for case in dev} & {
            (case.system, case.image, *case.questions) for case in test
        }
        assert not {case.system for case in dev if case.system} & {case.system for case in test}


def test_a_receipt_is_drawn_with_its_sum() -> None:
    image, facts = drawings.draw_receipt(1)
    assert image.width > 300
    assert float(facts["total"]) >= float(facts["price"])


def test_a_run_that_stopped_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = tmp_path / "questions.jsonl"
    rows = [{"prompt": "Say one", "answer_matches": "one"}, {"prompt": "Say two", "must_not_loop": True}]
    questions.write_text("\n".join(map(json.dumps, rows)))
    arguments = ["questions", "-m", "scripted", "--questions", str(questions), "--work", str(tmp_path / "replies")]
    main([*arguments, "--limit", "1"])
    main([*arguments, "--out", str(tmp_path / "out.json")])
    records = read_records(tmp_path / "replies" / "questions-dev-scripted.jsonl")
    assert [record.reply for record in records] == ["You said: Say one", "You said: Say two"]
    assert "right | 1 | 1.0" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["figures"][0]["value"] == 1
