"""What the probability of an answer says about its being right: fitted for `skills.vqa` on photos that trained nothing.

    python -m training.confidence --data DATA --work WORK [--limit PHOTOS]

Asks the product's own model about the photos of the dev split: every question about DAQUAR's 80 rooms, which it answers
in its own words, and "is there a …?" about 300 photos of Flickr8k, to which it says yes or no. Fits slope and offset of
the answers' log-odds for each of the two (Platt 1999). Prints the expected calibration error before and cross-fitted:
each fifth of the photos judged by what the others gave, which is the figure to quote. Writes `skills/confidence.json`.
The answers stay in WORK: an interrupted run goes on, and a finished one is only fitted again.
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
from parley.factory.models import build_vision_client
from skills import Image, VisionModel
from skills.confidence import calibrated_confidence, log_odds
from skills.evaluation.calibration import confidence_bins, expected_calibration_error
from skills.question_answering import answer_open_question, option_probabilities
from training.data import read_annotations, read_photos
from training.evaluate import split_photos
from training.metrics import room_key, yes_or_no
from training.questions import Companions, room_question, yes_no
from training.recipe import SEED

OUT = Path(__file__).parents[1] / "skills" / "confidence.json"
FOLDS = 5
PHOTOS_OF_PEOPLE = 300
SOURCES = {
    "open": "DAQUAR, training photos held out: the whole answer is the annotated one",
    "yes_no": "Flickr8k, dev photos: whether something is there",
}


class Asked(NamedTuple):
    """A question that was asked, the logarithm of the answer's probability, and whether the answer was right.

    `kind` is "open" or "yes_no"; `cannot_tell` is the logarithm of the probability of saying that.
    """

    kind: str
    photo: str
    question: str
    answer: str
    log_probability: float
    cannot_tell: float
    right: bool


def ask_about_rooms(data: Path, limit: int | None, done: Container[str], model: VisionModel) -> Iterator[list[Asked]]:
    """Every question about the rooms that training held out, answered in the model's own words; a list for a room."""
    rows = [row for row in read_annotations(data, "daquar") if row["split"] == "train"]
    for name, picture in _dev_photos(data, "daquar", limit, done):
        asked = []
        for row in (row for row in rows if row["image"] == name):
            question = room_question(row["question"])
            text, own, other = answer_open_question(picture, question, model)
            assert own is not None
            assert other is not None
            right = room_key(text) == room_key(row["answer"])
            asked.append(Asked("open", name, question, text, own, other, right))
        yield asked


def ask_whether_there(data: Path, limit: int | None, done: Container[str], model: VisionModel) -> Iterator[list[Asked]]:
    """One question whose answer is yes and one whose answer is no about each photo, chosen by their probability."""
    rows = read_annotations(data, "flickr8k")
    written = {row["image"]: row["captions"] for row in rows}
    companions = Companions([row["captions"] for row in rows if row["split"] == "train"])
    for name, picture in _dev_photos(data, "flickr8k", limit or PHOTOS_OF_PEOPLE, done):
        asked = []
        for exchange in yes_no(written[name], companions, random.Random(f"{SEED} {name}")):
            *shares, other = option_probabilities(picture, exchange.question, model, ("yes", "no"), yes_no=True)
            best = max(shares)
            said = ("yes", "no")[shares.index(best)]
            right = said == yes_or_no(exchange.answers[0])
            asked.append(Asked("yes_no", name, exchange.question, said, math.log(best), math.log(other), right))
        yield asked


def _dev_photos(data: Path, collection: str, limit: int | None, done: Container[str]) -> Iterator[tuple[str, Image]]:
    names = split_photos(data, collection, "dev")
    if limit is not None and limit < len(names):
        names = sorted(random.Random(SEED).sample(names, limit))
    names = [name for name in names if name not in done]
    started = time.monotonic()
    for number, (name, photo) in enumerate(read_photos(data, collection, set(names)), 1):
        file = io.BytesIO()
        photo.save(file, "PNG")
        yield name, Image(file.getvalue(), "image/png", photo.width, photo.height, name)
        if number % 20 == 0:
            print(f"{collection}: {number} of {len(names)} photos, {time.monotonic() - started:.0f} s", flush=True)


def fit(asked: Sequence[Asked]) -> dict[str, float]:
    """Slope and offset of the log-odds that make the answers likeliest: logistic regression, by Newton's method."""
    x = np.array([[log_odds(each.log_probability), 1.0] for each in asked])
    y = np.array([float(each.right) for each in asked])
    weights: NDArray[np.float64] = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-(x @ weights)))
        # A trace of ridge, so that answers which can be told apart perfectly give finite weights.
        hessian = x.T @ (x * (p * (1 - p))[:, None]) + 1e-4 * np.eye(2)
        step = np.linalg.solve(hessian, x.T @ (y - p) - 1e-4 * weights)
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    return {"slope": float(weights[0]), "offset": float(weights[1])}


def cross_fitted(asked: Sequence[Asked]) -> list[float]:
    """The confidence in each answer by what the photos outside its own fold gave."""
    photos = sorted({each.photo for each in asked})
    random.Random(SEED).shuffle(photos)
    fold = {photo: number % FOLDS for number, photo in enumerate(photos)}
    fitted = [fit([each for each in asked if fold[each.photo] != number]) for number in range(FOLDS)]
    return [calibrated_confidence(each.log_probability, fitted[fold[each.photo]]) for each in asked]


def judge(asked: Sequence[Asked], source: str) -> dict[str, Any]:
    """The calibration and all figures about it; a table of bins is printed."""
    right = [each.right for each in asked]
    fitted = fit(asked)
    outside = cross_fitted(asked)
    own = [math.exp(each.log_probability) for each in asked]
    for each in confidence_bins(outside, right):
        print(f"{each.count:5} answers  {100 * each.confidence:5.1f} % sure  {100 * each.accuracy:5.1f} % right")
    share = sum(right) / len(right)
    return {
        **{name: round(value, 4) for name, value in fitted.items()},
        "questions": len(asked),
        "photos": len({each.photo for each in asked}),
        "right": round(share, 4),
        "declined": sum(each.cannot_tell > each.log_probability for each in asked),
        "ece_uncalibrated": round(expected_calibration_error(own, right), 4),
        "ece_cross_fitted": round(expected_calibration_error(outside, right), 4),
        "ece_constant": round(expected_calibration_error([share] * len(right), right), 4),
        "brier_cross_fitted": round(_brier(outside, right), 4),
        "brier_constant": round(_brier([share] * len(right), right), 4),
        "data": source,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def _brier(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """The mean squared distance of confidence from what came true (Brier 1950)."""
    return sum((each - hit) ** 2 for each, hit in zip(confidences, right, strict=True)) / len(right)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="photos")
    arguments = parser.parse_args()
    kept = arguments.work / "confidence-dev.jsonl"
    asked = [Asked(**json.loads(line)) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {each.photo for each in asked}
    model = build_vision_client(settings.load({"model": "pocket"}).settings)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("a") as file:
        for ask in (ask_about_rooms, ask_whether_there):
            for about_one in ask(arguments.data, arguments.limit, done, model):
                file.write("".join(json.dumps(each._asdict()) + "\n" for each in about_one))
                file.flush()
                asked += about_one
    found = {kind: judge([each for each in asked if each.kind == kind], source) for kind, source in SOURCES.items()}
    print(json.dumps(found, indent=2))
    OUT.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
