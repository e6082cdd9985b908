"""Calibrate the confidence of the bundled model's answers, on images that were not used in training.

    python -m training.confidence --data DATA --work WORK [--limit IMAGES]

Asks the bundled model about dev images: all questions about DAQUAR's 80 rooms, answered in its own words, and about 300
images of Flickr8k "is there a …?", answered by yes or no, and for the colours and numbers on which captions agree. Fits
slope and offset of the answers' log-odds for each kind (Platt 1999), and writes
`assistant/models/pocket/confidence.json`. Prints the expected calibration error before and after, the latter
cross-fitted: each fifth of the images is judged by a fit to the others. That is the figure to quote.

Answers are kept in WORK. An interrupted run continues, and a finished one is only fitted again.
"""

import argparse
import datetime as dt
import io
import json
import math
import random
import time
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant import settings
from assistant.models.pocket.confidence import calibrated_confidence, log_odds
from parley.factory.models import build_vision_client
from skills import Image, VisionModel
from skills.evaluation.calibration import confidence_bins, expected_calibration_error
from skills.question_answering import answer_open_question, option_probabilities
from training.caption_rules import Cooccurrence
from training.data import read_annotations, read_images
from training.metrics import normalize_room_answer, parse_yes_no
from training.questions import caption_exchanges, room_question, yes_no_exchanges
from training.recipe import SEED
from training.splits import split_images

OUT = Path(__file__).parents[1] / "assistant" / "models" / "pocket" / "confidence.json"
FOLDS = 5
FLICKR_IMAGES = 300
SOURCES = {
    "open": "DAQUAR, training photos held out: the whole answer is the annotated one",
    "yes_no": "Flickr8k, dev photos: whether something is there",
    "colour": "Flickr8k, dev photos: the colour of something, where all captions that name one agree",
    "count": "Flickr8k, dev photos: how many, where all captions that say so agree",
}

# Keys in the file of answers, where they are not the names of the fields.
_KEYS = {"image": "photo", "abstain_log_probability": "cannot_tell", "is_right": "right"}


class GradedAnswer(NamedTuple):
    """A question with the model's answer. Logarithms are natural.

    Attributes:
        kind: "open", "yes_no", "colour" or "count".
        image: Name of the image.
        question: The question.
        answer: The model's answer.
        log_probability: That of the answer.
        abstain_log_probability: That of answering that the image does not show it.
        is_right: True if the answer is the annotated one.
    """

    kind: str
    image: str
    question: str
    answer: str
    log_probability: float
    abstain_log_probability: float
    is_right: bool

    def to_json(self) -> str:
        """Return one line of the file of answers."""
        return json.dumps({_KEYS.get(name, name): value for name, value in self._asdict().items()})

    @classmethod
    def from_json(cls, line: str) -> "GradedAnswer":
        """Parse one line of the file of answers."""
        values = json.loads(line)
        return cls(**{name: values[_KEYS.get(name, name)] for name in cls._fields})


def answer_room_questions(
    data: Path, limit: int | None, done: Container[str], model: VisionModel
) -> Iterator[list[GradedAnswer]]:
    """Ask all questions about DAQUAR's dev rooms. Yields the answers of one image at a time.

    Args:
        data: The data folder.
        limit: Maximum number of images.
        done: Names of the images to skip.
        model: The model to ask.
    """
    rows = [row for row in read_annotations(data, "daquar") if row["split"] == "train"]
    for name, image in _dev_images(data, "daquar", limit, done):
        answers = []
        for row in (row for row in rows if row["image"] == name):
            question = room_question(row["question"])
            text, log_probability, abstain_log_probability = answer_open_question(image, question, model)
            assert log_probability is not None
            assert abstain_log_probability is not None
            is_right = normalize_room_answer(text) == normalize_room_answer(row["answer"])
            answers.append(
                GradedAnswer("open", name, question, text, log_probability, abstain_log_probability, is_right)
            )
        yield answers


def answer_presence_questions(
    data: Path, limit: int | None, done: Container[str], model: VisionModel
) -> Iterator[list[GradedAnswer]]:
    """Ask one question to which the answer is yes and one to which it is no about each Flickr8k dev image.

    The answer is the likelier one. Arguments as for `answer_room_questions`.
    """
    rows = read_annotations(data, "flickr8k")
    captions = {row["image"]: row["captions"] for row in rows}
    cooccurrence = Cooccurrence([row["captions"] for row in rows if row["split"] == "train"])
    for name, image in _dev_images(data, "flickr8k", limit or FLICKR_IMAGES, done):
        answers = []
        for exchange in yes_no_exchanges(captions[name], cooccurrence, random.Random(f"{SEED} {name}")):
            question = exchange.question
            yes, no, abstain = option_probabilities(image, question, model, ("yes", "no"), yes_no=True)
            answer, probability = ("yes", yes) if yes >= no else ("no", no)
            is_right = answer == parse_yes_no(exchange.answers[0])
            answers.append(
                GradedAnswer("yes_no", name, question, answer, math.log(probability), math.log(abstain), is_right)
            )
        yield answers + _answer_caption_questions(name, image, captions[name], cooccurrence, model)


def _answer_caption_questions(
    name: str, image: Image, captions: Sequence[str], cooccurrence: Cooccurrence, model: VisionModel
) -> list[GradedAnswer]:
    """Ask for colours and numbers in an image. The answer is right if it has the word of the captions."""
    answers = []
    for exchange in caption_exchanges(captions, cooccurrence, random.Random(f"{SEED} {name}")):
        if exchange.task in ("colour", "count"):
            text, log_probability, abstain_log_probability = answer_open_question(image, exchange.question, model)
            assert log_probability is not None
            assert abstain_log_probability is not None
            is_right = text.strip(" .").lower() == exchange.answers[0].strip(" .").lower()
            kind, question = exchange.task, exchange.question
            answers.append(GradedAnswer(kind, name, question, text, log_probability, abstain_log_probability, is_right))
    return answers


def _dev_images(data: Path, dataset: str, limit: int | None, done: Container[str]) -> Iterator[tuple[str, Image]]:
    """Yield dev images that are not in `done`, a random sample if there are more than `limit`. Prints progress."""
    names = split_images(data, dataset, "dev")
    if limit is not None and limit < len(names):
        names = sorted(random.Random(SEED).sample(names, limit))
    names = [name for name in names if name not in done]
    started = time.monotonic()
    for number, (name, image) in enumerate(read_images(data, dataset, set(names)), 1):
        file = io.BytesIO()
        image.save(file, "PNG")
        yield name, Image(file.getvalue(), "image/png", image.width, image.height, name)
        if number % 20 == 0:
            print(f"{dataset}: {number} of {len(names)} images, {time.monotonic() - started:.0f} s", flush=True)


def fit(answers: Sequence[GradedAnswer]) -> dict[str, float]:
    """Fit `is_right` to the log-odds by logistic regression, with Newton's method. Returns slope and offset."""
    x = np.array([[log_odds(answer.log_probability), 1.0] for answer in answers])
    y = np.array([float(answer.is_right) for answer in answers])
    weights: NDArray[np.float64] = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-(x @ weights)))
        # The small ridge keeps the weights finite if the answers are perfectly separable.
        hessian = x.T @ (x * (p * (1 - p))[:, None]) + 1e-4 * np.eye(2)
        step = np.linalg.solve(hessian, x.T @ (y - p) - 1e-4 * weights)
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    return {"slope": float(weights[0]), "offset": float(weights[1])}


def cross_fit(answers: Sequence[GradedAnswer]) -> list[float]:
    """Return the confidence in each answer, calibrated on the images outside its fold."""
    images = sorted({answer.image for answer in answers})
    random.Random(SEED).shuffle(images)
    folds = {image: index % FOLDS for index, image in enumerate(images)}
    fits = [fit([answer for answer in answers if folds[answer.image] != fold]) for fold in range(FOLDS)]
    return [calibrated_confidence(answer.log_probability, fits[folds[answer.image]]) for answer in answers]


def calibrate(answers: Sequence[GradedAnswer], source: str) -> dict[str, Any]:
    """Return slope, offset and figures for `confidence.json`. Prints a table of bins.

    Args:
        answers: All of one kind.
        source: Description of the data.
    """
    is_right = [answer.is_right for answer in answers]
    uncalibrated = [math.exp(answer.log_probability) for answer in answers]
    calibrated = cross_fit(answers)
    for each in confidence_bins(calibrated, is_right):
        print(f"{each.count:5} answers  {100 * each.confidence:5.1f} % sure  {100 * each.accuracy:5.1f} % right")
    accuracy = sum(is_right) / len(is_right)
    constant = [accuracy] * len(is_right)
    return {
        **{name: round(value, 4) for name, value in fit(answers).items()},
        "questions": len(answers),
        "photos": len({answer.image for answer in answers}),
        "right": round(accuracy, 4),
        "declined": sum(answer.abstain_log_probability > answer.log_probability for answer in answers),
        "ece_uncalibrated": round(expected_calibration_error(uncalibrated, is_right), 4),
        "ece_cross_fitted": round(expected_calibration_error(calibrated, is_right), 4),
        "ece_constant": round(expected_calibration_error(constant, is_right), 4),
        "brier_cross_fitted": round(_brier_score(calibrated, is_right), 4),
        "brier_constant": round(_brier_score(constant, is_right), 4),
        "data": source,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def _brier_score(confidences: Sequence[float], is_right: Sequence[bool]) -> float:
    """Return the mean squared difference of confidence and outcome (Brier 1950)."""
    return sum((confidence - hit) ** 2 for confidence, hit in zip(confidences, is_right, strict=True)) / len(is_right)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="maximum number of images of each data set")
    arguments = parser.parse_args()
    path = arguments.work / "confidence-dev.jsonl"
    answers = [GradedAnswer.from_json(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {answer.image for answer in answers}
    model = build_vision_client(settings.load({"model": "pocket-small"}).settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for ask in (answer_room_questions, answer_presence_questions):
            for image_answers in ask(arguments.data, arguments.limit, done, model):
                file.write("".join(answer.to_json() + "\n" for answer in image_answers))
                file.flush()
                answers += image_answers
    calibration = {
        kind: calibrate([answer for answer in answers if answer.kind == kind], source)
        for kind, source in SOURCES.items()
    }
    print(json.dumps(calibration, indent=2))
    OUT.write_text(json.dumps(calibration, indent=2) + "\n")


if __name__ == "__main__":
    main()
