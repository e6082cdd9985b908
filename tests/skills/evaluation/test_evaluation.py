"""Figures that papers define, their intervals, and what becomes of files that do not go together."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from click.testing import CliRunner, Result

from assistant.errors import SkillError
from parley.cli.main import root
from skills.evaluation.calibration import bins, expected_calibration_error
from skills.evaluation.pairs import Pair, read_pairs
from skills.evaluation.scores import Resampling, _bleu, answer_key, evaluate

FEW = Resampling(100)


def pairs(*each: tuple[str, str]) -> list[Pair]:
    return [Pair(predicted, (reference,)) for predicted, reference in each]


def figure(report: Any, name: str) -> Any:
    return next(each for each in report.figures if each.name == name)


def write(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(root, ["evaluate", *map(str, arguments)])


class TestFigures:
    def test_macro_f1_is_the_mean_over_the_labels_there_are(self) -> None:
        said = [("joy", "joy"), ("joy", "anger"), ("anger", "anger"), ("fear", "joy")]
        report = evaluate("emotion", pairs(*said), FEW)
        assert figure(report, "accuracy").value == 50
        assert figure(report, "macro-F1").value == pytest.approx(100 * (0.5 + 2 / 3) / 2)
        assert report.labels == ["anger", "joy", "fear"]
        assert report.confusion == [[1, 1, 0], [0, 1, 1]]

    def test_what_is_not_predicted_is_wrong(self) -> None:
        report = evaluate("emotion", pairs(("", "joy"), ("joy", "joy")), FEW)
        assert figure(report, "accuracy").value == 50
        assert report.labels == ["joy", "(none)"]

    def test_word_errors_are_counted_over_all_words(self) -> None:
        report = evaluate("transcribe", pairs(("the cat sat", "The cat sat."), ("dog", "a dog ran off")), FEW)
        assert figure(report, "word error rate").value == pytest.approx(100 * 3 / 7)

    def test_words_heard_in_silence_are_errors(self) -> None:
        report = evaluate("transcribe", pairs(("thank you", ""), ("hello there", "hello there")), FEW)
        assert figure(report, "word error rate").value == pytest.approx(100)

    @pytest.mark.parametrize(
        ("one", "other"),
        [("The red chairs, two.", "red chairs, 2"), ("garbage_bin", "A garbage bin."), ("Yes", "yes."), ("", "the")],
    )
    def test_answers_are_the_same_however_they_are_written(self, one: str, other: str) -> None:
        assert answer_key(one) == answer_key(other)

    def test_one_of_several_right_answers_is_enough(self) -> None:
        report = evaluate("vqa", [Pair("Two.", ("three", "2")), Pair("red", ("blue",))], FEW)
        assert figure(report, "exact").value == 50
        assert not report.calibration

    def test_calibration_is_the_distance_from_what_came_true(self) -> None:
        said = [Pair("a", ("a",), 0.75)] * 3 + [Pair("a", ("b",), 0.75)] + [Pair("a", ("b",), 0.25)] * 4
        report = evaluate("vqa", said, FEW)
        assert figure(report, "calibration error").value == pytest.approx(12.5)
        assert figure(report, "Brier score").value == pytest.approx(100 * (3 * 0.25**2 + 0.75**2 + 4 * 0.25**2) / 8)
        assert [(each.count, each.confidence, each.accuracy) for each in report.calibration] == [
            (4, 0.25, 0.0),
            (4, 0.75, 0.75),
        ]

    def test_certainty_that_is_right_has_no_error(self) -> None:
        assert expected_calibration_error([1.0, 0.0], [True, False]) == 0
        assert expected_calibration_error([1.0, 0.0], [False, True]) == 1
        assert expected_calibration_error([], []) == 0
        assert [each.count for each in bins([0.05, 0.1, 1.0], [True] * 3)] == [1, 1, 1]

    def test_an_interval_holds_the_figure_and_is_narrower_with_more_items(self) -> None:
        rng = random.Random(1)

        def report(count: int) -> Any:
            return evaluate("vqa", pairs(*[("a", rng.choice("aab")) for _ in range(count)]), Resampling(300))

        few, many = (figure(report(count), "exact") for count in (50, 5000))
        for each in (few, many):
            assert each.low < each.value < each.high
            assert each.low < 100 * 2 / 3 < each.high
        assert many.high - many.low < (few.high - few.low) / 5

    def test_the_seed_repeats_an_interval(self) -> None:
        said = pairs(*[("a", letter) for letter in "abaababb"])
        assert evaluate("vqa", said, Resampling(50, 7)).figures == evaluate("vqa", said, Resampling(50, 7)).figures


class TestCaptions:
    SAID = ("A dog runs over the grass.", "Two men sit on a bench.", "A red car.", "")
    WRITTEN = (
        ("A dog is running over green grass .", "The dog runs over the grass"),
        ("two old men sit on a bench", "Two men on a bench in the park."),
        ("A bus drives by", "A red bus on a street"),
        ("Children play",),
    )

    @pytest.fixture(autouse=True)
    def _scorers(self) -> None:
        pytest.importorskip("pycocoevalcap", reason="`make train-deps` installs it")

    def test_they_are_those_of_the_library(self) -> None:
        from pycocoevalcap.bleu.bleu import Bleu

        from training.metrics import caption_scores, caption_words

        report = evaluate("caption", [Pair(*each) for each in zip(self.SAID, self.WRITTEN, strict=True)], FEW)
        expected = caption_scores(self.SAID, self.WRITTEN)
        assert figure(report, "CIDEr-D").value == pytest.approx(expected.cider_d)
        assert figure(report, "ROUGE-L").value == pytest.approx(expected.rouge_l)
        assert figure(report, "BLEU-4").value == pytest.approx(expected.bleu_4)
        assert figure(report, "BLEU-1").value == pytest.approx(expected.bleu_1)
        said = {0: [caption_words(self.SAID[0])]}
        (_, two, _, _), _ = Bleu(4).compute_score({0: [caption_words(self.WRITTEN[0][0])]}, said, verbose=0)
        assert two == pytest.approx(_bleu_of_first(self.SAID[0], self.WRITTEN[0][0]))

    def test_the_very_words_are_perfect(self) -> None:
        texts = [
            ("a dog runs over the grass today",),
            ("two men sit on a long bench",),
            ("snow lies on every roof here",),
        ]
        report = evaluate("caption", [Pair(text[0], text) for text in texts], FEW)
        assert figure(report, "BLEU-4").value == pytest.approx(100)
        assert figure(report, "ROUGE-L").value == pytest.approx(100)
        assert figure(report, "CIDEr-D").value == pytest.approx(1000)


def _bleu_of_first(said: str, written: str) -> float:
    import numpy as np

    from training.metrics import caption_words

    one, other = caption_words(said).split(), caption_words(written).split()
    counted: list[float] = []
    for order in (1, 2):
        grams = [[tuple(words[at : at + order]) for at in range(len(words) - order + 1)] for words in (one, other)]
        counted.append(sum(min(grams[0].count(gram), grams[1].count(gram)) for gram in set(grams[0])))
    sums = [len(one), len(other), len(one), len(one) - 1, 0, 0, *counted, 0, 0]
    return _bleu(np.array(sums, dtype=float), 2)


class TestFiles:
    def test_lines_belong_together_by_their_picture_in_any_order(self, tmp_path: Path) -> None:
        said = write(tmp_path / "said", {"photo": "b", "answer": "two"}, {"photo": "a", "answer": "one"})
        right = write(tmp_path / "right", {"photo": "a", "answer": "1"}, {"photo": "b", "answers": ["2", "3"]})
        found = read_pairs("vqa", said, right)
        assert found.pairs == [Pair("one", ("1",)), Pair("two", ("2", "3"))]
        assert (found.unanswered, found.unasked) == (0, 0)

    def test_questions_are_part_of_what_a_line_is_about(self, tmp_path: Path) -> None:
        said = write(
            tmp_path / "said", *[{"photo": "a", "question": q, "answer": q.upper(), "confidence": 0.5} for q in "xy"]
        )
        right = write(tmp_path / "right", *[{"photo": "a", "question": q, "answer": q} for q in "yx"])
        assert [pair.predicted for pair in read_pairs("vqa", said, right).pairs] == ["Y", "X"]
        bare = write(tmp_path / "bare", {"photo": "a", "answer": "x"})
        with pytest.raises(SkillError, match="said has several questions about one picture"):
            read_pairs("vqa", said, bare)

    def test_files_named_the_wrong_way_round_are_noticed(self, tmp_path: Path) -> None:
        for task, field, answers in (("vqa", "answer", "answer"), ("caption", "text", "captions")):
            said = write(tmp_path / "s", {"photo": "a", field: "x", "model": "pocket"}, {"photo": "b", "error": "no"})
            right = write(tmp_path / "r", {"photo": "a", answers: "x"}, {"photo": "b", answers: "x"})
            with pytest.raises(SkillError, match="name the predictions first"):
                read_pairs(task, right, said)
            assert read_pairs(task, said, right).pairs

    def test_names_do_where_folders_differ(self, tmp_path: Path) -> None:
        said = write(tmp_path / "said", {"photo": "/a/b/1.png", "text": "x"}, {"photo": "/a/b/2.png", "text": "y"})
        right = write(tmp_path / "right", {"image": "2.png", "captions": ["z"]}, {"image": "3.png", "captions": ["w"]})
        found = read_pairs("caption", said, right)
        assert found.pairs == [Pair("y", ("z",)), Pair("", ("w",))]
        assert (found.unanswered, found.unasked) == (1, 1)

    @pytest.mark.parametrize(
        ("said", "right", "sentence"),
        [
            ("", '{"photo": "a", "answer": "x"}', "said is empty"),
            ("nonsense", '{"photo": "a", "answer": "x"}', "Line 1 of .*said is no JSON"),
            ("3", '{"photo": "a", "answer": "x"}', "Line 1 of .*said does not say what it is about"),
            ('{"photo": "a"}\n{"photo": "a"}', '{"photo": "a", "answer": "x"}', "Line 2 of .*said is about a, like a"),
            ('{"photo": "b"}', '{"photo": "a", "answer": "x"}', "Nothing in .*said is about what"),
            (
                '{"photo": "a"}',
                '{"photo": "a", "text": "x"}',
                "right says nothing to compare with about a: give its ans",
            ),
        ],
    )
    def test_what_makes_no_sense_is_named(self, tmp_path: Path, said: str, right: str, sentence: str) -> None:
        (tmp_path / "said").write_text(said)
        (tmp_path / "right").write_text(right)
        with pytest.raises(SkillError, match=sentence):
            read_pairs("vqa", tmp_path / "said", tmp_path / "right")


class TestCommand:
    @pytest.fixture
    def files(self, tmp_path: Path) -> Sequence[Path]:
        labels = ["joy", "anger", "joy", "fear", "joy", "anger"]
        right = [{"id": number, "label": label} for number, label in enumerate(labels)]
        said = [
            {"id": 5, "error": "no face"},
            {"id": 9, "label": "joy"},
            *({**each, "label": "joy"} for each in right[:5]),
        ]
        return write(tmp_path / "said.jsonl", *said), write(tmp_path / "right.jsonl", *right)

    def test_a_table(self, files: Sequence[Path]) -> None:
        result = run("emotion", *files, "--samples", 50)
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert lines[0].split() == ["n", "=", "6", "95", "%", "interval"]
        assert lines[1].split()[:2] == ["accuracy", "50.0"]
        assert [line.split() for line in lines[-4:]] == [
            ["is", "\\", "said", "anger", "fear", "joy", "(none)"],
            ["anger", "0", "0", "1", "1"],
            ["fear", "0", "0", "1", "0"],
            ["joy", "0", "0", "3", "0"],
        ]
        assert "1 of 6 references have no prediction, and count as wrong." in result.stderr
        assert "1 predictions have no reference" in result.stderr

    def test_json(self, files: Sequence[Path]) -> None:
        printed = json.loads(run("emotion", *files, "--json", "--samples", 50).stdout)
        assert printed["figures"]["accuracy"]["value"] == 50
        assert (printed["count"], printed["unanswered"], printed["unasked"]) == (6, 1, 1)
        assert printed["labels"] == ["anger", "fear", "joy", "(none)"]

    @pytest.mark.parametrize("task", ["emotion", "vqa", "transcribe"])
    def test_a_picture_is_drawn(self, files: Sequence[Path], tmp_path: Path, task: str) -> None:
        said, right = files
        if task == "vqa":
            said = write(tmp_path / "v", *[{"id": n, "answer": "a", "confidence": n / 9} for n in range(9)])
            right = write(tmp_path / "w", *[{"id": n, "answer": "ab"[n < 5]} for n in range(9)])
        elif task == "transcribe":
            said = write(tmp_path / "v", {"id": 1, "text": "a b c"}, {"id": 2, "text": "a"})
            right = write(tmp_path / "w", {"id": 1, "text": "a b d"}, {"id": 2, "text": "a"})
        result = run(task, said, right, "--samples", 20, "--picture", tmp_path / "p.png")
        assert result.exit_code == 0, result.stderr
        with PIL.Image.open(tmp_path / "p.png") as picture:
            colours = picture.convert("RGB").getcolors(1_000_000)
        assert colours is not None
        assert len(colours) > 20

    def test_a_picture_that_cannot_be_written_is_named(self, files: Sequence[Path], tmp_path: Path) -> None:
        for name in ("no/p.png", "p.nonsense"):
            result = run("emotion", *files, "--samples", 20, "--picture", tmp_path / name)
            assert result.exit_code == 1
            assert f"{tmp_path / name} cannot be written" in result.stderr

    def test_a_scorer_that_is_not_installed_is_named(
        self, files: Sequence[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import sys

        monkeypatch.setitem(sys.modules, "jiwer", None)
        said, right = files
        right = write(right, {"id": 0, "text": "a"})
        result = run("transcribe", write(said, {"id": 0, "text": "a"}), right)
        assert result.exit_code == 1
        assert (
            "Scoring transcripts needs jiwer: install it with `pip install 'parley-assistant[evaluate]'`."
            in result.stderr
        )
