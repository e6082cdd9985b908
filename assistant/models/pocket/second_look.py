"""A second look at an image, for one question: the small model's own answer, if its kind is often right.

Only English questions of three kinds are answered: is something there, how many, and what colour. An answer counts if
its calibrated confidence says so: the small model always has an answer, and a wrong one in the prompt is repeated. Of
questions for names, places and times it only knows that pictures seldom tell, which the language model does not.
"""

import math
import re
import threading
from collections.abc import Sequence

from assistant.messages import Image, Message, user
from assistant.models.base import ChatModel, GenerationOptions, Scorer
from assistant.models.pocket.confidence import calibrated_confidence, calibration
from assistant.models.replies import stream_text

ABSTENTION = "I can't tell from the picture."
"""The words in which the small model was trained to say that an image does not show what is asked for."""

_KINDS = {
    "yes_no": re.compile(
        r"\W*(?:is|are)\s+there\b|\W*(?:do|can)\s+you\s+see\b|\W*does\s+the\s+(?:picture|photo|image)\s+show\b",
        re.IGNORECASE,
    ),
    "count": re.compile(r"\W*how\s+many\b", re.IGNORECASE),
    "colour": re.compile(r"\W*(?:and\s+)?(?:what|which)\s+colou?r\b", re.IGNORECASE),
}
# Pictures seldom tell a name, a place or a time; the small model was trained to say so.
_BEYOND = re.compile(
    r"\W*(?:who(?:se)?\b|where\b|when\b|how\s+old\b|how\s+much\b|what\s+(?:time|day|year|city|country)\b"
    r"|what(?:'s|\s+is)\s+(?:his|her|their|the\s+\w+'s)\s+(?:name|age)\b)",
    re.IGNORECASE,
)
# "Where do you work?" is none about the picture.
_ABOUT_THE_SPEAKER = re.compile(r"\byou(?:r|rs)?\b|\b(?:talking|speaking)\s+to\b", re.IGNORECASE)
# The small model counts what it sees: asked for people, dogs. Of 30 dev photos it was sure of a number in 5 without
# people in their description, and right in 1.
_ASKS_FOR_PEOPLE = re.compile(
    r"\bhow\s+many\s+(?:\w+\s+){0,2}?(?:people|persons?|men|women|boys|girls|children|kids)\b", re.IGNORECASE
)
_PEOPLE = re.compile(
    r"\b(?:people|m[ae]n|wom[ae]n|bab(?:y|ies)|children|crowd|group|family|team"
    r"|(?:person|boy|girl|child|kid|toddler|player|cyclist|biker|rider|surfer|skier|climber|skateboarder|snowboarder"
    r"|swimmer|runner|dancer|worker)s?)\b",
    re.IGNORECASE,
)
NOT_VISIBLE = "it does not show that"
_MIN_CONFIDENCE = {"yes_no": 0.85, "count": 0.6, "colour": 0.6}
_ANSWER_TOKENS = 12
_YES_NO = ("Yes.", "No.", ABSTENTION)
# Characters. A longer one asks for more than one of these things.
_MAX_QUESTION = 120
# "I can't tell from the picture.", "I can't see a dog in the picture.", "I'm not sure what this is."
_NO_ANSWER = re.compile(r"I\b")


def look_again(question: str, image: Image, seen: str, model: ChatModel, stop: threading.Event) -> str:
    """Return what a second look at `image` answers, in a few words, or "" where it is not worth telling.

    Args:
        question: Text of the user's message.
        image: The image.
        seen: What the first look saw, in words.
        model: The small model.
        stop: Ends the work early.

    Raises:
        ModelError: The small model fails.
    """
    if not isinstance(model, Scorer) or len(question) > _MAX_QUESTION:
        return ""
    if _ASKS_FOR_PEOPLE.search(question) and not _PEOPLE.search(seen):
        return ""
    messages = [user(question, image)]
    if _BEYOND.match(question) and not _ABOUT_THE_SPEAKER.search(question):
        return NOT_VISIBLE if _NO_ANSWER.match(_reply(model, messages, stop)) else ""
    kind = next((kind for kind, pattern in _KINDS.items() if pattern.match(question)), None)
    if kind is None or kind not in calibration():
        return ""
    candidates = _YES_NO if kind == "yes_no" else (_reply(model, messages, stop),)
    if stop.is_set() or not candidates[0]:
        return ""
    scores = [math.fsum(each) for each in model.score(messages, candidates, stop)]
    if not scores:
        return ""
    best = max(range(len(scores)), key=scores.__getitem__)
    # Given answers exclude each other, so their probabilities are shares; that of free words is the model's own.
    share = -math.log(math.fsum(math.exp(each - scores[best]) for each in scores))
    log_probability = share if kind == "yes_no" else min(scores[best], 0.0)
    confidence = calibrated_confidence(log_probability, calibration()[kind])
    if _NO_ANSWER.match(candidates[best]) or confidence < _MIN_CONFIDENCE[kind]:
        return ""
    return candidates[best].rstrip(".").lower()


def _reply(model: ChatModel, messages: Sequence[Message], stop: threading.Event) -> str:
    return "".join(stream_text(model, messages, GenerationOptions.greedy(_ANSWER_TOKENS), stop)).strip()
