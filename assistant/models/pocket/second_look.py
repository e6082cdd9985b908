"""A second look at an image, for one question: the small model's own answer, if its kind is often right.

Only English questions of three kinds are understood: is something there, how many, and what colour. An answer counts if
its calibrated confidence says so: the small model always has an answer, and a wrong one in the prompt is repeated.
"""

import math
import re
import threading
from collections.abc import Sequence

from assistant.messages import Image, user
from assistant.models.base import ChatModel, GenerationOptions, Scorer
from assistant.models.pocket.confidence import calibrated_confidence, calibration
from assistant.models.replies import stream_reply

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
_MIN_CONFIDENCE = {"yes_no": 0.85, "count": 0.6, "colour": 0.6}
_ANSWER_TOKENS = 12
# Characters. A longer one asks for more than one of these things.
_MAX_QUESTION = 120
_NO_ANSWER = re.compile(r"\bi (?:can|do)\b", re.IGNORECASE)


def look_again(question: str, image: Image, model: ChatModel, stop: threading.Event) -> str:
    """Return what a second look at `image` answers, in a few words, or "" where it is not worth telling.

    Raises:
        ModelError: The small model fails.
    """
    kind = next((kind for kind, pattern in _KINDS.items() if pattern.match(question)), None)
    fitted = calibration().get(kind) if kind else None
    if kind is None or fitted is None or not isinstance(model, Scorer) or len(question) > _MAX_QUESTION:
        return ""
    messages = [user(question, image)]
    if kind == "yes_no":
        candidates: Sequence[str] = ("Yes.", "No.", ABSTENTION)
    else:
        options = GenerationOptions(_ANSWER_TOKENS, temperature=0)
        candidates = ("".join(stream_reply(model, messages, options, stop)).strip(),)
    if stop.is_set() or _NO_ANSWER.search(candidates[0]):
        return ""
    scores = [math.fsum(each) for each in model.score(messages, candidates, stop)]
    if not scores:
        return ""
    best = max(range(len(scores)), key=scores.__getitem__)
    # Given answers exclude each other, so their probabilities are shares; that of free words is the model's own.
    total = math.log(math.fsum(map(math.exp, scores))) if kind == "yes_no" else 0.0
    confidence = calibrated_confidence(min(scores[best] - total, 0.0), fitted)
    is_told = candidates[best] != ABSTENTION and confidence >= _MIN_CONFIDENCE[kind]
    return candidates[best].rstrip(".").lower() if is_told else ""
