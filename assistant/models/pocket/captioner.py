"""Let the small model write a caption and say how likely each of its tokens was."""

import math
import threading
from dataclasses import dataclass

from assistant.messages import Image, user
from assistant.models.base import ChatModel, GenerationOptions, Scorer
from assistant.models.replies import stream_text

PROMPT = "Describe the photo."
"""A prompt that the small model was trained with."""

_MAX_TOKENS = 32


@dataclass(frozen=True)
class ScoredCaption:
    """A caption and the natural logarithm of the probability of each of its tokens and of its end.

    The list is empty if the model cannot score, or was stopped before.
    """

    text: str
    log_probabilities: tuple[float, ...] = ()

    @property
    def mean_probability(self) -> float:
        """Geometric mean of the probabilities; 0 if the model cannot score."""
        count = len(self.log_probabilities)
        return math.exp(math.fsum(self.log_probabilities) / count) if count else 0.0


def write_caption(model: ChatModel, image: Image, stop: threading.Event | None = None) -> ScoredCaption:
    """Return the small model's caption of an image. Raises `ModelError`."""
    stop = stop or threading.Event()
    messages = [user(PROMPT, image)]
    text = "".join(stream_text(model, messages, GenerationOptions.greedy(_MAX_TOKENS), stop)).strip()
    if stop.is_set() or not isinstance(model, Scorer):
        return ScoredCaption(text)
    scores = model.score(messages, [text], stop)
    return ScoredCaption(text, scores[0] if scores else ())
