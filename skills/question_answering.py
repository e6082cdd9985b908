"""Answers about a picture, with how sure one can be of them: the probability of the answer under the model, calibrated.

An open question is answered in the model's words, and these are then scored. Yes or no, and a choice among given
answers, are never read out of prose: the given answers are scored, and the likeliest is taken. Beside them stands the
answer that the picture does not show it; where that is likelier, so is the result.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel

from assistant.errors import SkillError, SkillUsageError
from assistant.messages import Image
from skills.definition import skill
from skills.vision_model import ScoringUnsupported, VisionModel

NOT_VISIBLE = "not visible"
"""The answer where the picture does not show what is asked for."""

# What the bundled model was trained to say where a photo does not show it, and how the others are asked to say it.
_CANNOT_TELL = "I can't tell from the picture."
_DECLINES = re.compile(
    r"(?:i (?:can(?:'|no)t|do not|don't) (?:tell|see|read|know)\b|not visible\b|unknown\b)", re.IGNORECASE
)
_BRIEFLY = " Answer with a word or a short phrase. If the picture does not show it, answer: not visible."
_OR_NOT = " If the picture does not show it, answer: not visible."
_LONGEST = 32
_LONGEST_EXPLANATION = 160


class Option(BaseModel):
    """One of several answers and its share of the probability of all of them."""

    text: str
    probability: float


class Answer(BaseModel):
    """An answer about a picture.

    `confidence` is the probability that it is right, as far as the model knows; None if the model cannot be asked for
    probabilities. It is `calibrated` if it was held against how often such answers of this very model are right, and
    the model's own guess otherwise. Not `visible` means that the picture does not show it, as the model judges.
    """

    question: str
    answer: str
    confidence: float | None
    calibrated: bool
    visible: bool
    options: list[Option] = []
    explanation: str = ""
    model: str

    def __str__(self) -> str:
        return f"{self.answer}{self._sure}" + (f"\n{self.explanation}" if self.explanation else "")

    @property
    def _sure(self) -> str:
        if self.confidence is None:
            return ""
        percent = f"{100 * self.confidence:.0f} %"
        return f"  ({percent} sure)" if self.calibrated else f"  ({percent} by the model's own, uncalibrated guess)"


class ScoredAnswer(NamedTuple):
    """An open answer as the model gave it, the logarithm of its probability, and that of not being able to tell.

    Both are None if the model cannot be asked for probabilities.
    """

    text: str
    log_probability: float | None
    cannot_tell: float | None


@skill
def vqa(
    photo: Image,
    question: str,
    model: VisionModel,
    *,
    choice: Annotated[tuple[str, ...], "One of the answers to choose from."] = (),
    yes_no: Annotated[bool, "Answer yes or no."] = False,
    explain: Annotated[bool, "Say what speaks for it as well."] = False,
) -> Answer:
    """Answer a question about a picture, and say how sure that is.

    Yes or no, and the answers given with --choice, are chosen by their probability, or by the model's words where it
    runs on a server. The answer is "not visible" where the picture does not show what is asked for, as far as the model
    can tell. The bundled model's confidence is calibrated for open questions, on photos of rooms, and for yes or no.
    Elsewhere it is the model's own.
    """
    if yes_no and choice:
        raise SkillUsageError("--yes-no and --choice name two sets of answers: give one of them.")
    options = ("yes", "no") if yes_no else tuple(dict.fromkeys(choice))
    if choice and len(options) < 2:
        raise SkillUsageError("A choice needs two different answers at least: give --choice for each.")
    answer = _chosen(photo, question, model, options, yes_no=yes_no) if options else _open(photo, question, model)
    if explain:
        answer.explanation = _explained(photo, question, answer, model)
    return answer


def answer_open_question(photo: Image, question: str, model: VisionModel) -> ScoredAnswer:
    """Ask an open question, and how likely the answer was."""
    asked = question if model.info.bundled else question + _BRIEFLY
    text = model.ask(asked, photo, max_tokens=_LONGEST)
    try:
        own, other = model.score(asked, [text, _cannot_tell(model)], photo)
    except ScoringUnsupported:
        return ScoredAnswer(text, None, None)
    return ScoredAnswer(text, math.fsum(own), math.fsum(other))


def calibrated_confidence(log_probability: float, calibration: Mapping[str, Any]) -> float:
    """The probability that an answer is right: its log-odds under the model, stretched and moved (Platt 1999)."""
    return _logistic(calibration["slope"] * log_odds(log_probability) + calibration["offset"])


def log_odds(log_probability: float) -> float:
    """ln(p / (1 - p)) of p = exp(`log_probability`), within what a calibration can be fitted on."""
    p = min(max(math.exp(log_probability), 1e-9), 1 - 1e-9)
    return math.log(p) - math.log1p(-p)


@cache
def calibration() -> Mapping[str, Any]:
    """What `training.confidence` found for the bundled model and each kind of question it was fitted on, and how well.

    Kinds are "open" and "yes_no"; one that is missing is not calibrated.
    """
    found: Mapping[str, Any] = json.loads(resources.files("skills").joinpath("confidence.json").read_text("utf-8"))
    return found


def _open(photo: Image, question: str, model: VisionModel) -> Answer:
    text, log_probability, cannot_tell = answer_open_question(photo, question, model)
    visible = bool(text) and not _DECLINES.match(text)
    confidence, calibrated = None, False
    if log_probability is not None and cannot_tell is not None:
        visible = visible and log_probability >= cannot_tell
        calibrated = visible and model.info.bundled
        confidence = (
            calibrated_confidence(log_probability, calibration()["open"])
            if calibrated
            else math.exp(log_probability if visible else max(log_probability, cannot_tell))
        )
    return Answer(
        question=question,
        answer=text if visible else NOT_VISIBLE,
        confidence=confidence,
        calibrated=calibrated,
        visible=visible,
        model=model.info.name,
    )


def _chosen(photo: Image, question: str, model: VisionModel, options: Sequence[str], *, yes_no: bool) -> Answer:
    try:
        *shares, cannot_tell = option_probabilities(photo, question, model, options, yes_no=yes_no)
    except ScoringUnsupported:
        return _told(photo, _with_options(question, options, yes_no=yes_no), question, model, options)
    best = max(range(len(options)), key=shares.__getitem__)
    visible = shares[best] >= cannot_tell
    calibrated = visible and yes_no and model.info.bundled and "yes_no" in calibration()
    confidence = shares[best] if visible else cannot_tell
    if calibrated:
        confidence = calibrated_confidence(math.log(confidence), calibration()["yes_no"])
    return Answer(
        question=question,
        answer=options[best] if visible else NOT_VISIBLE,
        confidence=confidence,
        calibrated=calibrated,
        visible=visible,
        options=[Option(text=text, probability=share) for text, share in zip(options, shares, strict=True)],
        model=model.info.name,
    )


def _told(photo: Image, asked: str, question: str, model: VisionModel, options: Sequence[str]) -> Answer:
    """The option that a model names which cannot be asked for probabilities, such as one on a server."""
    text = model.ask(asked, photo, max_tokens=_LONGEST)
    visible = bool(text) and not _DECLINES.match(text)
    named = [option for option in options if re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, re.IGNORECASE)]
    if visible and len(named) != 1:
        raise SkillError(f"{model.info.name} answered “{text}”, which is none of {', '.join(options)}: ask otherwise.")
    return Answer(
        question=question,
        answer=named[0] if visible else NOT_VISIBLE,
        confidence=None,
        calibrated=False,
        visible=visible,
        model=model.info.name,
    )


def _with_options(question: str, options: Sequence[str], *, yes_no: bool) -> str:
    """A question that says what may be answered, for models that follow instructions."""
    return question + (" Answer with yes or no." if yes_no else f" Answer with one of: {', '.join(options)}.") + _OR_NOT


def option_probabilities(
    photo: Image, question: str, model: VisionModel, options: Sequence[str], *, yes_no: bool = False
) -> list[float]:
    """The share of the probability that each of `options` has, and last that of not being able to tell; 1 together.

    Each may be worded in several ways. Raises `ScoringUnsupported`.
    """
    asked = question if model.info.bundled else _with_options(question, options, yes_no=yes_no)
    wordings = [*(_wordings(option, model) for option in options), [_cannot_tell(model)]]
    flat = [wording for group in wordings for wording in group]
    scores = iter(model.score(asked, flat, photo))
    # The wordings of one answer exclude each other, so their probabilities add up.
    logs = [_log_sum([math.fsum(next(scores)) for _ in group]) for group in wordings]
    total = _log_sum(logs)
    return [math.exp(each - total) for each in logs]


def _wordings(option: str, model: VisionModel) -> list[str]:
    """How a model may word an answer: the bundled one in sentences of one thing, with an article or without."""
    if not model.info.bundled:
        return list(dict.fromkeys([option, option[:1].upper() + option[1:]]))
    bare = option.strip().rstrip(".")
    capital = bare[:1].upper() + bare[1:]
    articles = ["An" if bare[:1].lower() in "aeiou" else "A", "The"] if bare.lower() not in {"yes", "no"} else []
    return [f"{capital}.", *(f"{article} {bare}." for article in articles)]


def _explained(photo: Image, question: str, answer: Answer, model: VisionModel) -> str:
    if model.info.bundled:
        # It was never taught to give reasons; what it sees in the picture is all that it can add.
        return f"What it sees: {model.ask('Describe the photo.', photo, max_tokens=_LONGEST_EXPLANATION)}"
    asked = f"{question} Your answer was: {answer.answer}. Say in a sentence or two what in the picture speaks for it."
    return model.ask(asked, photo, max_tokens=_LONGEST_EXPLANATION)


def _cannot_tell(model: VisionModel) -> str:
    return _CANNOT_TELL if model.info.bundled else NOT_VISIBLE


def _log_sum(logs: Sequence[float]) -> float:
    """The logarithm of the sum of what `logs` are the logarithms of."""
    most = max(logs)
    return most + math.log(math.fsum(math.exp(each - most) for each in logs))


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
