"""The tasks of the evaluation: captions, names, questions about rooms, and whether an object is in the image.

Every figure has two controls, a mid-grey image in place of each image and another image in its place, and baselines
that need no vision or only a part of the model.
"""

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import PIL.Image
import torch

from training.answering import IMAGE_BATCH, AnswerEngine, TransformersEngine
from training.caption_rules import Cooccurrence
from training.data import read_annotations, read_images
from training.metrics import caption_scores, normalize_room_answer, parse_yes_no, percentage
from training.names import ACCEPTED_NAMES, contains_name
from training.questions import room_question, yes_no_exchanges
from training.recipe import SEED
from training.splits import split_images

CAPTION_TOKENS = 24
ANSWER_TOKENS = 12

CAPTION_QUESTION = "Describe the photo."
NAME_QUESTION = "What is this?"
BLANK_IMAGE = PIL.Image.new("RGB", (224, 224), (127, 127, 127))
# Of the most frequent and the most central training captions, the one that scores best for all dev images at once.
CONSTANT_CAPTION = "A black and white dog is running in the grass."
ROOM_KINDS = ("how many", "what colour", "anything else")


@dataclass(frozen=True)
class Figure:
    """One line of the table: percentages, or caption scores times 100.

    Attributes:
        task: Name of the task.
        name: Name of the figure.
        count: Number of answers.
        value: The model's figure.
        goal: Value to reach; None if there is none.
        blank: Control: the figure with `BLANK_IMAGE` in place of every image.
        shuffled: Control: the figure with another image in place of every image.
        baselines: Figures of other systems on the same images.
        lower_is_better: True if the goal is an upper bound.
    """

    task: str
    name: str
    count: int
    value: float
    goal: float | None = None
    blank: float | None = None
    shuffled: float | None = None
    baselines: dict[str, float] = field(default_factory=dict)
    lower_is_better: bool = False

    @property
    def met(self) -> bool | None:
        """True if the goal is reached; None if there is none."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.lower_is_better else self.value >= self.goal

    def to_json(self) -> dict[str, Any]:
        """Return the figure as results files hold it; committed files have these keys."""
        return {
            "task": self.task,
            "name": self.name,
            "count": self.count,
            "value": self.value,
            "goal": self.goal,
            "blank": self.blank,
            "shuffled": self.shuffled,
            "beside": self.baselines,
            "at_most": self.lower_is_better,
            "met": self.met,
        }


@dataclass(frozen=True)
class AnswerRecord:
    """An answer of the model, with the right ones."""

    image: str
    question: str
    answer: str
    references: list[str]


@dataclass(frozen=True)
class TaskResult:
    """The figures of a task, and the answers behind them."""

    figures: list[Figure]
    answers: list[AnswerRecord]


@dataclass(frozen=True)
class EvalContext:
    """Model and data to evaluate.

    Attributes:
        engine: Answers the questions.
        data: The data folder.
        folder: Folder of the assembled model, whose vision heads are evaluated alone as well.
        split: "test" or "dev".
        limit: Most images of each task; None for all.
    """

    engine: AnswerEngine
    data: Path
    folder: Path
    split: str
    limit: int | None = None


class TaskImages:
    """The images of one dataset for an evaluation.

    Attributes:
        rows: All annotations of the dataset.
        names: Names of the images.
        images: The images.
        others: For each image the index of another one.
    """

    def __init__(self, context: EvalContext, dataset: str) -> None:
        self._engine = context.engine
        self.rows = read_annotations(context.data, dataset)
        names = split_images(context.data, dataset, context.split)
        if context.limit is not None and context.limit < len(names):
            names = sorted(random.Random(SEED).sample(names, context.limit))
        found = dict(read_images(context.data, dataset, set(names)))
        self.names = names
        self.images = [found[name] for name in names]
        self.others = shuffled_pairs(len(names))

    def ask(self, question: str, max_new_tokens: int) -> tuple[list[str], str]:
        """Return the answers to one question about every image, and the answer about the blank image."""
        images = [*self.images, BLANK_IMAGE]
        answers = self._engine.answer(images, [question] * len(images), max_new_tokens)
        return answers[:-1], answers[-1]

    def ask_each(self, indices: Sequence[int], questions: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """Return the answers to `questions` about the images at `indices`, about the blank image and about others."""
        answers = self._engine.answer([self.images[index] for index in indices], questions, ANSWER_TOKENS)
        others = self._engine.answer([self.images[self.others[index]] for index in indices], questions, ANSWER_TOKENS)
        blank = self._engine.answer([BLANK_IMAGE] * len(questions), questions, ANSWER_TOKENS)
        return answers, blank, others


def shuffled_pairs(count: int) -> list[int]:
    """Return for each of `count` images the index of another one, the same in every run; its own if it is alone."""
    order = list(range(count))
    random.Random(SEED).shuffle(order)
    other = dict(zip(order, order[1:] + order[:1], strict=True))
    return [other[index] for index in range(count)]


def evaluate_captions(context: EvalContext) -> TaskResult:
    """Compare descriptions of Flickr8k images with five captions by people."""
    task = TaskImages(context, "flickr8k")
    captions = {row["image"]: row["captions"] for row in task.rows}
    references = [captions[name] for name in task.names]
    answers, blank_answer = task.ask(CAPTION_QUESTION, CAPTION_TOKENS)
    own = caption_scores(answers, references)
    blank = caption_scores([blank_answer] * len(answers), references)
    shuffled = caption_scores([answers[other] for other in task.others], references)
    constant = caption_scores([CONSTANT_CAPTION] * len(answers), references)
    figures = []
    for metric, name, goal in (
        ("cider_d", "CIDEr-D", 50.0),
        ("bleu_4", "BLEU-4", 18.0),
        ("bleu_1", "BLEU-1", None),
        ("rouge_l", "ROUGE-L", None),
    ):
        scores = [getattr(caption, metric) for caption in (own, blank, shuffled, constant)]
        baselines = {"one sentence for all": scores[3]}
        figures.append(Figure("captions", name, len(answers), scores[0], goal, scores[1], scores[2], baselines))
    control = 100 * max(blank.cider_d, shuffled.cider_d) / own.cider_d if own.cider_d else 100.0
    figures.append(
        Figure("captions", "larger control in % of CIDEr-D", len(answers), control, 100 / 3, lower_is_better=True)
    )
    records = [
        AnswerRecord(name, CAPTION_QUESTION, answer, texts)
        for name, answer, texts in zip(task.names, answers, references, strict=True)
    ]
    return TaskResult(figures, records)


def evaluate_names(context: EvalContext) -> TaskResult:
    """Compare names of Caltech-101 objects with the accepted ones; baselines are the two vision heads alone."""
    task = TaskImages(context, "caltech101")
    category = {row["image"]: row["name"] for row in task.rows}
    accepted = [ACCEPTED_NAMES[category[name]] for name in task.names]
    answers, blank_answer = task.ask(NAME_QUESTION, ANSWER_TOKENS)
    by_class, by_word = vision_head_names(context.folder, task.images)

    def accuracy(texts: Sequence[str]) -> float:
        return percentage(contains_name(text, names) for text, names in zip(texts, accepted, strict=True))

    figure = Figure(
        "names",
        "named right",
        len(answers),
        accuracy(answers),
        60.0,
        blank=accuracy([blank_answer] * len(answers)),
        shuffled=accuracy([answers[other] for other in task.others]),
        baselines={"the tower's own classifier": accuracy(by_class), "the word head": accuracy(by_word)},
    )
    records = [
        AnswerRecord(name, NAME_QUESTION, answer, list(names))
        for name, answer, names in zip(task.names, answers, accepted, strict=True)
    ]
    return TaskResult([figure], records)


@torch.inference_mode()
def vision_head_names(folder: Path, images: Sequence[PIL.Image.Image]) -> tuple[list[str], list[str]]:
    """Return each image's most probable ImageNet class, and its most probable category name by the word head."""
    names = json.loads((folder / "names.json").read_text())
    categories = [
        name for name in dict.fromkeys(first for first, *_ in ACCEPTED_NAMES.values()) if name in names["words"]
    ]
    columns = [names["words"].index(name) for name in categories]
    engine = TransformersEngine.load(folder)
    vision = engine.model.model.vision_tower
    by_class: list[str] = []
    by_word: list[str] = []
    for first in range(0, len(images), IMAGE_BATCH):
        group = list(images[first : first + IMAGE_BATCH])
        pixels = engine.processor.image_processor(group, return_tensors="pt")["pixel_values"]
        features = vision.tower.features(vision.tower.neck(pixels))
        by_class += [names["classes"][index] for index in vision.tower.class_logits(features).argmax(1).tolist()]
        by_word += [categories[index] for index in vision.word_head(features)[:, columns].argmax(1).tolist()]
    return by_class, by_word


def evaluate_rooms(context: EvalContext) -> TaskResult:
    """Compare answers to DAQUAR's questions with the annotated ones; the complete answer must be equal."""
    task = TaskImages(context, "daquar")
    index_of = {name: index for index, name in enumerate(task.names)}
    rows = [row for row in task.rows if row["image"] in index_of]
    kinds = [room_kind(row["question"]) for row in rows]
    questions = [room_question(row["question"]) for row in rows]
    answers, blank, others = task.ask_each([index_of[row["image"]] for row in rows], questions)
    training_answers: dict[str, Counter[str]] = defaultdict(Counter)
    for row in task.rows:
        if row["split"] == "train":
            training_answers[room_kind(row["question"])][row["answer"]] += 1
    usual = [training_answers[kind].most_common(1)[0][0] for kind in kinds]

    def accuracy(texts: Sequence[str], kind: str | None) -> float:
        return percentage(
            normalize_room_answer(text) == normalize_room_answer(row["answer"])
            for text, row, of_kind in zip(texts, rows, kinds, strict=True)
            if kind in (None, of_kind)
        )

    figures = []
    for kind, label, goal in ((None, "exact", 25.0), *((kind, f"of these, {kind}", None) for kind in ROOM_KINDS)):
        count = sum(kind in (None, of_kind) for of_kind in kinds)
        if count:
            scores = [accuracy(texts, kind) for texts in (answers, blank, others, usual)]
            baselines = {"the usual answer to such questions": scores[3]}
            figures.append(Figure("rooms", label, count, scores[0], goal, scores[1], scores[2], baselines))
    records = [
        AnswerRecord(row["image"], question, answer, [row["answer"]])
        for row, question, answer in zip(rows, questions, answers, strict=True)
    ]
    return TaskResult(figures, records)


def room_kind(question: str) -> str:
    """Return the kind of a question about a room, one of `ROOM_KINDS`."""
    if "how many" in question.lower():
        return "how many"
    return "what colour" if re.search(r"\bcolou?r", question.lower()) else "anything else"


def evaluate_presence(context: EvalContext) -> TaskResult:
    """Ask whether objects are in Flickr8k images: one yes and one plausible no for each image that allows both."""
    task = TaskImages(context, "flickr8k")
    captions = {row["image"]: row["captions"] for row in task.rows}
    cooccurrence = Cooccurrence([row["captions"] for row in task.rows if row["split"] == "train"])
    rng = random.Random(SEED)
    indices, questions, right = [], [], []
    for index, name in enumerate(task.names):
        exchanges = yes_no_exchanges(captions[name], cooccurrence, rng)
        if len(exchanges) == 2:
            for exchange in exchanges:
                indices.append(index)
                questions.append(exchange.question)
                right.append(parse_yes_no(exchange.answers[0]))
    answers, blank, others = task.ask_each(indices, questions)

    def accuracy(texts: Sequence[str]) -> float:
        return percentage(parse_yes_no(text) == expected for text, expected in zip(texts, right, strict=True))

    def yes_rate(texts: Sequence[str]) -> float:
        return percentage(parse_yes_no(text) == "yes" for text in texts)

    baselines = {"always yes": percentage(expected == "yes" for expected in right)}
    count = len(questions)
    figures = [
        Figure("there", "right", count, accuracy(answers), 75.0, accuracy(blank), accuracy(others), baselines),
        Figure("there", "answered yes", count, yes_rate(answers), None, yes_rate(blank), yes_rate(others)),
    ]
    records = [
        AnswerRecord(task.names[index], question, answer, [expected])
        for index, question, answer, expected in zip(indices, questions, answers, right, strict=True)
    ]
    return TaskResult(figures, records)


TASKS: dict[str, Callable[[EvalContext], TaskResult]] = {
    "captions": evaluate_captions,
    "names": evaluate_names,
    "rooms": evaluate_rooms,
    "there": evaluate_presence,
}
