"""Stage 5: what the assembled model can do, on photos that trained nothing, beside what needs no eyes.

    python -m training.evaluate --data DATA [--model FOLDER] [--split test|dev] [--limit N] [--out results.json]

Prints a table and writes the same figures as JSON. Each figure stands beside two controls, a mid-grey picture in place
of the photo and another photo in its place, and beside the best that can be had without this model. Choose nothing by
the test split: `--split dev` has photos of the same kind that did not train either.
"""

import argparse
import dataclasses
import datetime as dt
import importlib.metadata
import json
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from training.answering import PHOTOS_AT_ONCE, Answerer, PlainModel, ProductModel
from training.data import photo_names, read_annotations, read_photos
from training.metrics import caption_scores, room_key, share, yes_or_no
from training.names import EVERYDAY, names_it
from training.questions import Companions, room_question, yes_no
from training.recipe import DEV_ROOMS, SEED
from training.words import hold_out

CAPTION_TOKENS = 24
ANSWER_TOKENS = 12

ASK_CAPTION = "Describe the photo."
ASK_NAME = "What is this?"
BLANK = Image.new("RGB", (224, 224), (127, 127, 127))
# Of the commonest and of the most central training captions, the one that scores best for all dev photos at once.
CONSTANT_CAPTION = "A black and white dog is running in the grass."


@dataclass(frozen=True)
class Figure:
    """One line of the table: percentages, or caption scores times 100.

    `blank` and `shuffled` are the controls, `beside` what other systems reach on the same photos.
    """

    task: str
    name: str
    count: int
    value: float
    goal: float | None = None
    blank: float | None = None
    shuffled: float | None = None
    beside: dict[str, float] = field(default_factory=dict)
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached, if there is one."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal


@dataclass(frozen=True)
class Said:
    """An answer with what would have been right, for reading."""

    photo: str
    question: str
    answer: str
    right: list[str]


@dataclass(frozen=True)
class Outcome:
    """The figures of a task, and every answer behind them."""

    figures: list[Figure]
    said: list[Said]


@dataclass(frozen=True)
class Exam:
    """Who is asked, about which photos: the `split` of the collections in `data`, `limit` photos of each at most.

    `folder` is the assembled model, whose eyes are also judged alone.
    """

    answerer: Answerer
    data: Path
    folder: Path
    split: str
    limit: int | None = None


class Task:
    """The photos of one collection for an exam, and all annotations of the collection."""

    def __init__(self, exam: Exam, collection: str) -> None:
        self.answerer = exam.answerer
        self.rows = read_annotations(exam.data, collection)
        chosen = split_photos(exam.data, collection, exam.split)
        if exam.limit is not None and exam.limit < len(chosen):
            chosen = sorted(random.Random(SEED).sample(chosen, exam.limit))
        found = dict(read_photos(exam.data, collection, set(chosen)))
        self.names = chosen
        self.photos = [found[name] for name in chosen]
        self.partner = partners(len(chosen))

    def ask(self, question: str, tokens: int) -> tuple[list[str], str]:
        """The answers to one question about every photo, and the one about the blank picture."""
        answers = self.answerer.answer([*self.photos, BLANK], [question] * (len(self.photos) + 1), tokens)
        return answers[:-1], answers[-1]


def split_photos(data: Path, collection: str, split: str) -> list[str]:
    """The names of the photos of a split, sorted; "dev" is what training held out, where the data has no such split."""
    rows = read_annotations(data, collection)
    if split == "test" or collection == "flickr8k":
        return sorted({row["image"] for row in rows if row["split"] == split})
    train = {row["image"] for row in rows if row["split"] == "train"}
    order = photo_names(data, collection)
    train_rows = [number for number, name in enumerate(order) if name in train]
    if collection == "daquar":
        random.Random(SEED).shuffle(train_rows)
        dev_rows = train_rows[:DEV_ROOMS]
    else:
        dev_rows = hold_out(torch.tensor(train_rows))[0].tolist()
    return sorted(order[number] for number in dev_rows)


def partners(count: int) -> list[int]:
    """For each of `count` photos another one, the same in every run; a lone photo is its own."""
    order = list(range(count))
    random.Random(SEED).shuffle(order)
    other = dict(zip(order, order[1:] + order[:1], strict=True))
    return [other[number] for number in range(count)]


def captions(exam: Exam) -> Outcome:
    """Descriptions of Flickr8k photos against the five that people wrote."""
    task = Task(exam, "flickr8k")
    written = {row["image"]: row["captions"] for row in task.rows}
    references = [written[name] for name in task.names]
    answers, blank = task.ask(ASK_CAPTION, CAPTION_TOKENS)
    own = caption_scores(answers, references)
    of_blank = caption_scores([blank] * len(answers), references)
    of_others = caption_scores([answers[other] for other in task.partner], references)
    constant = caption_scores([CONSTANT_CAPTION] * len(answers), references)
    figures = []
    for metric, name, goal in (
        ("cider_d", "CIDEr-D", 50.0),
        ("bleu_4", "BLEU-4", 18.0),
        ("bleu_1", "BLEU-1", None),
        ("rouge_l", "ROUGE-L", None),
    ):
        value, without, other, one = (getattr(scores, metric) for scores in (own, of_blank, of_others, constant))
        beside = {"one sentence for all": one}
        figures.append(Figure("captions", name, len(answers), value, goal, without, other, beside))
    larger = 100 * max(of_blank.cider_d, of_others.cider_d) / own.cider_d if own.cider_d else 100.0
    figures.append(Figure("captions", "larger control in % of CIDEr-D", len(answers), larger, 100 / 3, at_most=True))
    said = [
        Said(name, ASK_CAPTION, answer, texts)
        for name, answer, texts in zip(task.names, answers, references, strict=True)
    ]
    return Outcome(figures, said)


def names(exam: Exam) -> Outcome:
    """Names of the things of Caltech-101, beside what the two heads of the eyes would say alone."""
    task = Task(exam, "caltech101")
    category = {row["image"]: row["name"] for row in task.rows}
    accepted = [EVERYDAY[category[name]] for name in task.names]
    answers, blank = task.ask(ASK_NAME, ANSWER_TOKENS)
    by_class, by_word = heads_alone(exam.folder, task.photos)

    def right(said: Sequence[str]) -> float:
        return share(names_it(text, wanted) for text, wanted in zip(said, accepted, strict=True))

    figure = Figure(
        "names", "named right", len(answers), right(answers), 60.0,
        blank=right([blank] * len(answers)),
        shuffled=right([answers[other] for other in task.partner]),
        beside={"the tower's own classifier": right(by_class), "the word head": right(by_word)},
    )  # fmt: skip
    said = [
        Said(name, ASK_NAME, answer, list(wanted))
        for name, answer, wanted in zip(task.names, answers, accepted, strict=True)
    ]
    return Outcome([figure], said)


@torch.inference_mode()
def heads_alone(folder: Path, photos: Sequence[Image.Image]) -> tuple[list[str], list[str]]:
    """For each photo the likeliest ImageNet class, and the likeliest everyday name of the word head."""
    known = json.loads((folder / "names.json").read_text())
    everyday = [name for name in dict.fromkeys(first for first, *_ in EVERYDAY.values()) if name in known["words"]]
    columns = [known["words"].index(name) for name in everyday]
    plain = PlainModel.load(folder)
    eyes = plain.model.model.vision_tower
    by_class: list[str] = []
    by_word: list[str] = []
    for first in range(0, len(photos), PHOTOS_AT_ONCE):
        group = list(photos[first : first + PHOTOS_AT_ONCE])
        pixels = plain.processor.image_processor(group, return_tensors="pt")["pixel_values"]
        features = eyes.tower.features(eyes.tower.neck(pixels))
        by_class += [known["classes"][index] for index in eyes.tower.class_logits(features).argmax(1).tolist()]
        by_word += [everyday[index] for index in eyes.word_head(features)[:, columns].argmax(1).tolist()]
    return by_class, by_word


def rooms(exam: Exam) -> Outcome:
    """DAQUAR's questions about rooms, right only if the whole answer is the annotated one."""
    task = Task(exam, "daquar")
    position = {name: number for number, name in enumerate(task.names)}
    rows = [row for row in task.rows if row["image"] in position]
    asked = [room_question(row["question"]) for row in rows]
    shown = [position[row["image"]] for row in rows]
    answers = exam.answerer.answer([task.photos[number] for number in shown], asked, ANSWER_TOKENS)
    others = exam.answerer.answer([task.photos[task.partner[number]] for number in shown], asked, ANSWER_TOKENS)
    blind = exam.answerer.answer([BLANK] * len(rows), asked, ANSWER_TOKENS)
    usual: dict[str, Counter[str]] = defaultdict(Counter)
    for row in task.rows:
        if row["split"] == "train":
            usual[room_kind(row["question"])][row["answer"]] += 1
    constant = [usual[room_kind(row["question"])].most_common(1)[0][0] for row in rows]

    def right(said: Sequence[str], kind: str | None = None) -> float:
        return share(
            room_key(text) == room_key(row["answer"])
            for text, row in zip(said, rows, strict=True)
            if kind in (None, room_kind(row["question"]))
        )

    figures = []
    for kind, label, goal in ((None, "exact", 25.0), *((kind, f"of these, {kind}", None) for kind in ROOM_KINDS)):
        count = sum(kind in (None, room_kind(row["question"])) for row in rows)
        if count:
            scored = [right(said, kind) for said in (answers, blind, others, constant)]
            beside = {"the usual answer to such questions": scored[3]}
            figures.append(Figure("rooms", label, count, scored[0], goal, scored[1], scored[2], beside))
    said = [
        Said(row["image"], question, answer, [row["answer"]])
        for row, question, answer in zip(rows, asked, answers, strict=True)
    ]
    return Outcome(figures, said)


ROOM_KINDS = ("how many", "what colour", "anything else")


def room_kind(question: str) -> str:
    """Which of `ROOM_KINDS` a question about a room is."""
    if "how many" in question.lower():
        return "how many"
    return "what colour" if re.search(r"\bcolou?r", question.lower()) else "anything else"


def there(exam: Exam) -> Outcome:
    """Whether something is in a Flickr8k photo: one yes and one plausible no for each photo that allows both."""
    task = Task(exam, "flickr8k")
    written = {row["image"]: row["captions"] for row in task.rows}
    companions = Companions([row["captions"] for row in task.rows if row["split"] == "train"])
    rng = random.Random(SEED)
    shown, asked, right = [], [], []
    for number, name in enumerate(task.names):
        exchanges = yes_no(written[name], companions, rng)
        if len(exchanges) == 2:
            for exchange in exchanges:
                shown.append(number)
                asked.append(exchange.question)
                right.append(yes_or_no(exchange.answers[0]))
    answers = exam.answerer.answer([task.photos[number] for number in shown], asked, ANSWER_TOKENS)
    others = exam.answerer.answer([task.photos[task.partner[number]] for number in shown], asked, ANSWER_TOKENS)
    blind = exam.answerer.answer([BLANK] * len(asked), asked, ANSWER_TOKENS)

    def correct(said: Sequence[str]) -> float:
        return share(yes_or_no(text) == wanted for text, wanted in zip(said, right, strict=True))

    def saying_yes(said: Sequence[str]) -> float:
        return share(yes_or_no(text) == "yes" for text in said)

    figures = [
        Figure(
            "there", "right", len(asked), correct(answers), 75.0, correct(blind), correct(others),
            {"always yes": share(wanted == "yes" for wanted in right)},
        ),
        Figure("there", "answered yes", len(asked), saying_yes(answers), None, saying_yes(blind), saying_yes(others)),
    ]  # fmt: skip
    said = [
        Said(task.names[number], question, answer, [wanted])
        for number, question, answer, wanted in zip(shown, asked, answers, right, strict=True)
    ]
    return Outcome(figures, said)


TASKS = {"captions": captions, "names": names, "rooms": rooms, "there": there}


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| task | figure | n | model | goal | met | blank picture | another photo | beside it |",
        "|---|---|---:|---:|---:|---|---:|---:|---|",
    ]
    for figure in figures:
        goal = "" if figure.goal is None else f"{'≤' if figure.at_most else '≥'} {figure.goal:.0f}"
        met = {None: "", True: "yes", False: "no"}[figure.met]
        controls = ["" if value is None else f"{value:.1f}" for value in (figure.blank, figure.shuffled)]
        beside = ", ".join(f"{name} {value:.1f}" for name, value in figure.beside.items())
        cells = [figure.task, figure.name, str(figure.count), f"{figure.value:.1f}", goal, met, *controls, beside]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def circumstances(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What a figure depends on, as far as it is not in the table."""
    return {
        "model": folder.name,
        "engine": arguments.engine,
        "dtype": arguments.dtype if arguments.engine == "plain" else "as the product chooses",
        "split": arguments.split,
        "limit": arguments.limit,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        **{name: importlib.metadata.version(name) for name in ("torch", "transformers", "pycocoevalcap")},
    }


def pocket_folder() -> Path:
    """The assembled model in the user's cache, made first if it is not there."""
    from assistant.settings import load
    from parley.factory.models import assemble_pocket

    return assemble_pocket(load().settings)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="an assembled folder (default: the pocket model in the cache)")
    parser.add_argument("--split", choices=("test", "dev"), default="test")
    parser.add_argument("--limit", type=int, help="ask about at most this many photos of a task")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--engine", choices=("plain", "product"), default="plain")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--samples", type=int, default=0, help="print this many answers of each task")
    parser.add_argument("--out", type=Path, help="where the figures are written as JSON")
    arguments = parser.parse_args()
    folder: Path = arguments.model or pocket_folder()
    plain = arguments.engine == "plain"
    answerer = PlainModel.load(folder, getattr(torch, arguments.dtype)) if plain else ProductModel(folder)
    exam = Exam(answerer, arguments.data, folder, arguments.split, arguments.limit)
    figures: list[Figure] = []
    seconds: dict[str, int] = {}
    for name in arguments.tasks:
        started = time.monotonic()
        outcome = TASKS[name](exam)
        seconds[name] = round(time.monotonic() - started)
        print(f"{name}: {seconds[name]} s", file=sys.stderr, flush=True)
        figures += outcome.figures
        for said in random.Random(SEED).sample(outcome.said, min(arguments.samples, len(outcome.said))):
            print(f"{said.photo}  {said.question}\n    > {said.answer}\n    = {' | '.join(said.right)}")
    report = {**circumstances(arguments, folder), "seconds": seconds}
    print("\n" + table(figures) + "\n\n" + ", ".join(f"{key} {value}" for key, value in report.items()))
    if arguments.out:
        rows = [dataclasses.asdict(figure) | {"met": figure.met} for figure in figures]
        arguments.out.write_text(json.dumps({**report, "figures": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
