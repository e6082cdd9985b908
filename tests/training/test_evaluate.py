"""The table tells who looks at the picture from who does not."""

import io
import json
import random
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pytest
import torch

from training import evaluate
from training.curriculum import Lessons
from training.data import COLLECTIONS, photo_names, read_photos
from training.evaluate import BLANK, Exam, Figure, Outcome, partners, split_photos, table
from training.names import EVERYDAY
from training.questions import room_answer
from training.recipe import Recipe

SCENES = ("a dog runs through deep snow", "two women sit at a bar", "a boy throws the red ball", "cars wait in traffic")


class Oracle:
    """Reads the answer off a picture, whose colour says which photo it is; `know` is asked with number and question."""

    def __init__(self, know: Callable[[int, str], str]) -> None:
        self.know = know

    def answer(self, photos: Sequence[PIL.Image.Image], questions: Sequence[str], longest: int = 24) -> list[str]:
        return [
            "nothing" if photo is BLANK else self.know(number_of(photo), question)
            for photo, question in zip(photos, questions, strict=True)
        ]


def number_of(photo: PIL.Image.Image) -> int:
    """Which photo of its collection this is."""
    red, green, _ = photo.getpixel((0, 0))  # type: ignore[misc]
    return int(red) + 256 * int(green)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four collections of plain-coloured photos in the published layout."""
    folder = tmp_path_factory.mktemp("data")
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLLECTIONS}
    for number in range(24):
        scene = SCENES[number % len(SCENES)]
        split = ("train", "dev", "test")[number % 3]
        captions = [f"{scene} .", f"{scene} today .", f"Here {scene} ."]
        rows["flickr8k"].append({"image": f"{number:04}.png", "split": split, "captions": captions})
    everyday = list(EVERYDAY)
    for number in range(60):
        rows["caltech101"].append(
            {
                "image": f"thing/{number:04}.png",
                "split": ("train", "test")[number % 2],
                "name": everyday[number % 7 * 5],
            }
        )
    for number in range(240):
        split = ("train", "test")[number % 24 == 0]
        for question, answer in (
            ("how many chairs are there", str(number % 5)),
            ("what colour is the wall", ("white", "red")[number % 2]),
            ("what is on the table", f"garbage_bin, lamp_{number}"),
        ):
            rows["daquar"].append({"image": f"{number:04}.png", "split": split, "question": question, "answer": answer})
    for number in range(1000):
        rows["imagenet1000"].append({"image": f"{number:04}.png", "name": f"class of {number}"})
    for name, collection in COLLECTIONS.items():
        annotations = folder / collection.annotations
        annotations.parent.mkdir(exist_ok=True)
        annotations.write_text("".join(json.dumps(row) + "\n" for row in rows[name]))
        images = list(dict.fromkeys(row["image"] for row in rows[name]))
        random.Random(name).shuffle(images)
        with tarfile.open(folder / collection.archive, "w") as archive:
            for image in images if name != "imagenet1000" else images[:3]:
                number = int(Path(image).stem)
                file = io.BytesIO()
                PIL.Image.new("RGB", (8, 8), (number % 256, number // 256, 0)).save(file, "PNG")
                member = tarfile.TarInfo(f"archive/of/{image}")
                member.size = file.tell()
                file.seek(0)
                archive.addfile(member, file)
    return folder


def figure(outcome: Outcome, name: str) -> Figure:
    return next(figure for figure in outcome.figures if figure.name == name)


def exam(data: Path, know: Callable[[int, str], str], folder: Path = Path(), **options: Any) -> Exam:
    return Exam(Oracle(know), data, folder, **{"split": "test", **options})


def test_photos_are_found_wherever_the_archive_puts_them(data: Path) -> None:
    assert set(photo_names(data, "caltech101")) == {f"thing/{number:04}.png" for number in range(60)}
    found = dict(read_photos(data, "caltech101", {"thing/0007.png"}))
    assert [number_of(photo) for photo in found.values()] == [7]
    assert [name for name, _ in read_photos(data, "caltech101")] == photo_names(data, "caltech101")


def test_dev_is_what_training_held_out(data: Path, tmp_path: Path) -> None:
    names = {name: photo_names(data, name) for name in COLLECTIONS}
    names["imagenet1000"] = [f"{number:04}.png" for number in range(1000)]
    photos: Any = SimpleNamespace(names=names)
    probability = {"imagenet1000": torch.rand(1000, 2, 1000)}
    (tmp_path / "chatter.jsonl").write_text(json.dumps({"question": "Hi", "answer": "Hello", "cut": False}) + "\n")
    lessons = Lessons(data, tmp_path, photos, probability, Recipe())
    for collection in ("flickr8k", "caltech101", "daquar"):
        dev = split_photos(data, collection, "dev")
        assert dev == sorted(names[collection][row] for row in lessons.dev[collection])
        assert set(dev).isdisjoint(names[collection][row] for row in lessons.train[collection])
        assert set(dev).isdisjoint(split_photos(data, collection, "test"))


def test_every_photo_is_exchanged_for_another() -> None:
    for count in (2, 3, 50):
        others = partners(count)
        assert sorted(others) == list(range(count))
        assert all(other != number for number, other in enumerate(others))


class TestCaptions:
    @pytest.fixture(autouse=True)
    def _scorers(self) -> None:
        pytest.importorskip("pycocoevalcap", reason="the scorers come with `make train-deps`")

    def test_who_sees_is_told_from_who_does_not(self, data: Path) -> None:
        seeing = evaluate.captions(exam(data, lambda number, _: SCENES[number % 4]))
        cider = figure(seeing, "CIDEr-D")
        assert cider.count == 8
        assert cider.met
        assert cider.blank == 0
        assert cider.shuffled is not None
        assert cider.shuffled < cider.value
        blind = evaluate.captions(exam(data, lambda *_: SCENES[0]))
        assert figure(blind, "CIDEr-D").shuffled == pytest.approx(figure(blind, "CIDEr-D").value)
        assert figure(blind, "larger control in % of CIDEr-D").met is False

    def test_a_limit_takes_some_of_the_photos(self, data: Path) -> None:
        few = evaluate.captions(exam(data, lambda number, _: SCENES[number % 4], limit=5))
        assert figure(few, "BLEU-4").count == len(few.said) == 5
        assert all(said.answer in said.right[1] for said in few.said)


def test_names_stand_beside_what_the_heads_say(data: Path, pocket: Path) -> None:
    everyday = list(EVERYDAY)

    def know(number: int, question: str) -> str:
        assert question == "What is this?"
        return f"It is a {EVERYDAY[everyday[number % 7 * 5]][-1]}."

    right = figure(evaluate.names(exam(data, know, pocket, limit=10)), "named right")
    assert (right.count, right.value, right.blank, right.met) == (10, 100, 0, True)
    assert right.shuffled is not None
    assert right.shuffled < 60
    # The classes of the tiny tower are numbers; its word head always says some everyday name.
    assert right.beside["the tower's own classifier"] == 0
    assert 0 <= right.beside["the word head"] <= 100


def test_rooms_are_right_only_as_a_whole(data: Path) -> None:
    def know(number: int, question: str) -> str:
        if question.startswith("How many"):
            return room_answer(str(number % 5))
        return "White." if "colour" in question else f"Garbage bin, lamp {number}"

    outcome = evaluate.rooms(exam(data, know))
    whole = figure(outcome, "exact")
    assert (whole.count, whole.value, whole.blank) == (30, 100, 0)
    assert whole.shuffled is not None
    assert whole.shuffled < 70
    assert figure(outcome, "of these, what colour").shuffled == 100
    assert figure(outcome, "of these, anything else").shuffled == 0
    assert whole.beside["the usual answer to such questions"] < 70


def test_always_yes_is_a_coin_toss(data: Path) -> None:
    outcome = evaluate.there(exam(data, lambda *_: "Yes."))
    right, yes = outcome.figures
    assert right.count > 0
    assert right.count % 2 == 0
    assert (right.value, right.shuffled, right.blank, right.met) == (50, 50, 0, False)
    assert right.beside == {"always yes": 50}
    assert yes.value == 100


def test_the_table_says_what_is_met() -> None:
    text = table(
        [
            Figure("names", "named right", 10, 61.23, 60.0, 1.0, 2.0, {"the word head": 55.5}),
            Figure("captions", "larger control", 10, 40.0, 33.3, at_most=True),
            Figure("captions", "ROUGE-L", 10, 30.0),
        ]
    )
    _, _, first, second, third = text.splitlines()
    assert first == "| names | named right | 10 | 61.2 | ≥ 60 | yes | 1.0 | 2.0 | the word head 55.5 |"
    assert "| ≤ 33 | no |" in second
    assert "| 30.0 |  |  |" in third
