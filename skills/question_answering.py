"""Answer questions about an image, with a confidence: the answer's probability under the model, calibrated.

    open question          model's own words, which are then scored
    yes/no, given options  every option is scored, in several wordings; the likeliest is the answer
    server model           cannot score: options are found in its words, and there is no confidence
    question about text    read with OCR, if the model cannot read

An open question that is answered with yes or no is a yes/no question. One more candidate, "not visible", is always
scored as well. It is the result where it is likelier than the answer.
"""

import math
import re
import threading
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import BaseModel

from assistant.errors import SkillError, SkillUsageError
from assistant.messages import Image
from assistant.models.pocket.confidence import calibrated_confidence, calibration
from assistant.models.pocket.second_look import ABSTENTION
from assistant.models.reply_text import is_blank
from assistant.text_cleaning import clean_line
from skills.definition import skill
from skills.ocr import read
from skills.replies import ask
from skills.text_questions import answer_from_text, reads_instead
from skills.vision_model import ScoringUnsupported, VisionModel

NOT_VISIBLE = "not visible"
"""The answer where the image does not show what is asked for."""

_ABSTENTIONS = re.compile(
    r"(?:i (?:can(?:'|no)t|do not|don't) (?:tell|see|read|know)\b|not visible\b|unknown\b)", re.IGNORECASE
)
_OR_NOT_VISIBLE = " If the picture does not show it, answer: not visible."
_BRIEFLY = f" Answer with a word or a short phrase.{_OR_NOT_VISIBLE}"
_YES_NO = ("yes", "no")
_MAX_ANSWER_TOKENS = 32
_MAX_EXPLANATION_TOKENS = 160


class Option(BaseModel):
    """One of several answers and its share of their total probability."""

    text: str
    probability: float


class Answer(BaseModel):
    """An answer about an image.

    Attributes:
        question: The question as it was asked.
        answer: The answer, or "not visible".
        confidence: Probability that the answer is right; None if the model cannot score. For text that was read, the
            score of the line that is hardest to read.
        calibrated: True if the confidence was fitted to how often such answers of this model are right. Otherwise it
            is the model's own probability.
        visible: False if the model judges that the image does not show what is asked for.
        options: Probabilities of the options, for yes/no questions and given options.
        explanation: Reasons for the answer, if requested.
        model: Name of the model; "read" for text that was read.
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
        return f"{self.answer}{self._format_confidence()}" + (f"\n{self.explanation}" if self.explanation else "")

    def _format_confidence(self) -> str:
        if self.confidence is None:
            return ""
        percent = f"{100 * self.confidence:.0f} %"
        return f"  ({percent} sure)" if self.calibrated else f"  ({percent} by the model's own, uncalibrated guess)"


class ScoredAnswer(NamedTuple):
    """An open answer with natural logarithms of probabilities, which are None if the model cannot score.

    Attributes:
        text: The answer in the model's words.
        log_probability: That of the answer.
        abstain_log_probability: That of answering that the image does not show it.
    """

    text: str
    log_probability: float | None
    abstain_log_probability: float | None


@skill
def vqa(
    photo: Image,
    *,
    question: str,
    model: VisionModel,
    choice: Annotated[tuple[str, ...], "One of the answers to choose from."] = (),
    yes_no: Annotated[bool, "Answer yes or no."] = False,
    explain: Annotated[bool, "Give reasons as well."] = False,
    stop: threading.Event | None = None,
) -> Answer:
    """Answer a question about a picture, and say how sure that is.

    Yes or no, and the answers given with --choice, are chosen by their probability; a model on a server is asked to
    choose in words. The answer is "not visible" if the model judges that the picture does not show it. The confidence
    of the bundled model is calibrated for yes or no, and for open questions on photos of rooms. Other confidences are
    the model's own. Questions about the words in a picture are answered by the skill read if the model cannot read.
    """
    _check_answers(choice=choice, yes_no=yes_no)
    options = _YES_NO if yes_no else tuple(dict.fromkeys(choice))
    if options:
        # Given options that are yes and no are the same question, whose confidence is calibrated.
        yes_no = yes_no or sorted(option.casefold() for option in options) == ["no", "yes"]
        answer = _choose(photo, question, model, options, yes_no=yes_no)
    elif reads_instead(question, model.info):
        answer = _read(photo, question, stop)
    else:
        answer = _answer_freely(photo, question, model)
    if explain:
        answer.explanation = _explain(photo, question, answer, model)
    return answer


@vqa.check
def _check_answers(*, choice: Sequence[str] = (), yes_no: bool = False, **_: object) -> None:
    if yes_no and choice:
        raise SkillUsageError("--yes-no and --choice name two sets of answers: give one of them.")
    if any(map(is_blank, choice)):
        raise SkillUsageError("One of the answers to choose from is empty: give words to each --choice.")
    if choice and len(set(choice)) < 2:
        raise SkillUsageError("A choice needs two different answers at least: give --choice for each.")


def answer_open_question(photo: Image, question: str, model: VisionModel) -> ScoredAnswer:
    """Ask an open question and score the answer. Raises `ModelError`."""
    prompt = question if model.info.bundled else question + _BRIEFLY
    text = ask(model, prompt, photo, max_tokens=_MAX_ANSWER_TOKENS)
    try:
        answer, abstention = model.score(prompt, [text, _abstention(model)], photo)
    except ScoringUnsupported:
        return ScoredAnswer(text, None, None)
    return ScoredAnswer(text, math.fsum(answer), math.fsum(abstention))


def option_probabilities(
    photo: Image, question: str, model: VisionModel, options: Sequence[str], *, yes_no: bool = False
) -> list[float]:
    """Return the probability of each of `options`, and last that of abstaining; they sum to 1.

    Raises `ScoringUnsupported` and `ModelError`.
    """
    prompt = question if model.info.bundled else _options_prompt(question, options, yes_no=yes_no)
    wordings = [*(_wordings(option, model) for option in options), [_abstention(model)]]
    scores = iter(model.score(prompt, [wording for group in wordings for wording in group], photo))
    # The wordings of one option exclude each other, so their probabilities add up.
    logs = [_log_sum_exp([math.fsum(next(scores)) for _ in group]) for group in wordings]
    total = _log_sum_exp(logs)
    return [math.exp(each - total) for each in logs]


def _read(photo: Image, question: str, stop: threading.Event | None) -> Answer:
    found = answer_from_text(question, read(photo, stop=stop))
    return Answer(
        question=question,
        answer="\n".join(found.rows) or NOT_VISIBLE,
        confidence=min((line.score for line in found.lines), default=None),
        calibrated=False,
        visible=bool(found.lines),
        model=read.name,
    )


def _answer_freely(photo: Image, question: str, model: VisionModel) -> Answer:
    text, log_probability, abstain_log_probability = answer_open_question(photo, question, model)
    if (bare := text.strip(" .!").casefold()) in _YES_NO:
        if log_probability is not None:
            return _choose(photo, question, model, _YES_NO, yes_no=True)
        text = bare
    visible = _is_answer(text)
    confidence, calibrated = None, False
    if log_probability is not None and abstain_log_probability is not None:
        visible = visible and log_probability >= abstain_log_probability
        calibrated = visible and model.info.bundled
        if calibrated:
            confidence = calibrated_confidence(log_probability, calibration()["open"])
        else:
            confidence = math.exp(log_probability if visible else max(log_probability, abstain_log_probability))
    return Answer(
        question=question,
        answer=text if visible else NOT_VISIBLE,
        confidence=confidence,
        calibrated=calibrated,
        visible=visible,
        model=model.info.name,
    )


def _choose(photo: Image, question: str, model: VisionModel, options: Sequence[str], *, yes_no: bool) -> Answer:
    """Choose the likeliest option, or find one in the model's words if it cannot score."""
    try:
        *probabilities, abstain = option_probabilities(photo, question, model, options, yes_no=yes_no)
    except ScoringUnsupported:
        return _choose_by_words(photo, question, model, options, yes_no=yes_no)
    best = max(range(len(options)), key=probabilities.__getitem__)
    visible = probabilities[best] >= abstain
    calibrated = visible and yes_no and model.info.bundled and "yes_no" in calibration()
    confidence = probabilities[best] if visible else abstain
    if calibrated:
        confidence = calibrated_confidence(math.log(confidence), calibration()["yes_no"])
    return Answer(
        question=question,
        answer=options[best] if visible else NOT_VISIBLE,
        confidence=confidence,
        calibrated=calibrated,
        visible=visible,
        options=[Option(text=text, probability=p) for text, p in zip(options, probabilities, strict=True)],
        model=model.info.name,
    )


def _choose_by_words(
    photo: Image, question: str, model: VisionModel, options: Sequence[str], *, yes_no: bool
) -> Answer:
    """Return the option that the model's reply names. Raises `SkillError` unless it names exactly one."""
    text = ask(model, _options_prompt(question, options, yes_no=yes_no), photo, max_tokens=_MAX_ANSWER_TOKENS)
    visible = _is_answer(text)
    named = [option for option in options if re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, re.IGNORECASE)]
    if visible and len(named) != 1:
        raise SkillError(
            f"{model.info.name} answered “{clean_line(text, 80)}”, "
            f"which is none of {', '.join(options)}: ask otherwise."
        )
    return Answer(
        question=question,
        answer=named[0] if visible else NOT_VISIBLE,
        confidence=None,
        calibrated=False,
        visible=visible,
        model=model.info.name,
    )


def _explain(photo: Image, question: str, answer: Answer, model: VisionModel) -> str:
    if model.info.bundled:
        # It was not trained to give reasons. A description is all that it can add.
        return f"What it sees: {ask(model, 'Describe the photo.', photo, max_tokens=_MAX_EXPLANATION_TOKENS)}"
    prompt = f"{question} Your answer was: {answer.answer}. Say in a sentence or two what in the picture speaks for it."
    return ask(model, prompt, photo, max_tokens=_MAX_EXPLANATION_TOKENS)


def _options_prompt(question: str, options: Sequence[str], *, yes_no: bool) -> str:
    """Add the options to a question, for models that follow instructions."""
    allowed = " Answer with yes or no." if yes_no else f" Answer with one of: {', '.join(options)}."
    return question + allowed + _OR_NOT_VISIBLE


def _wordings(option: str, model: VisionModel) -> list[str]:
    """Return the spellings of an option that `model` may use. The bundled model writes "A ball." or "Ball."."""
    if not model.info.bundled:
        return list(dict.fromkeys([option, option[:1].upper() + option[1:]]))
    bare = option.strip().rstrip(".")
    capitalized = bare[:1].upper() + bare[1:]
    articles = ["An" if bare[:1].lower() in "aeiou" else "A", "The"] if bare.lower() not in {"yes", "no"} else []
    return [f"{capitalized}.", *(f"{article} {bare}." for article in articles)]


def _abstention(model: VisionModel) -> str:
    # Other models than the small one are asked to say `NOT_VISIBLE`.
    return ABSTENTION if model.info.bundled else NOT_VISIBLE


def _is_answer(text: str) -> bool:
    return not _ABSTENTIONS.match(text)


def _log_sum_exp(logs: Sequence[float]) -> float:
    largest = max(logs)
    return largest + math.log(math.fsum(math.exp(each - largest) for each in logs))
