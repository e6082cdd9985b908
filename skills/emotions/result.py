"""Results of the emotion skill, and how people read them."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from skills.emotions.fusion import Modality

HEAD, NETWORK = "head", "network"
"""Values of `ModalityResult.by` for the trained classifiers, whose probabilities are calibrated."""

# Modalities disagree if each is at least this sure; below it they are guesses.
_DISAGREEMENT_CONFIDENCE = 0.4
# The second label is shown if it has at least this share of the first one's probability.
_RUNNER_UP_RATIO = 0.8
_BORED = 0.5
_LABELS: Mapping[Modality, str] = {"text": "words", "face": "face", "voice": "voice"}


class ModalityResult(BaseModel):
    """Emotion of one modality.

    Attributes:
        source: "text", "face" or "voice".
        label: The likeliest emotion.
        probability: Its probability.
        probabilities: Those of all seven.
        weight: Share in the fusion; the weights of all modalities sum to 1.
        by: "head", "network", or the name of the model that judged.
    """

    source: Modality
    label: str
    probability: float
    probabilities: dict[str, float]
    weight: float
    by: str


class DetectedFace(BaseModel):
    """A face in the image.

    Attributes:
        box: Left, top, right and bottom in pixels of the upright image.
        score: Probability that it is a face: see `face_boxes.Box`.
        label: The likeliest emotion.
        probability: Its probability.
        probabilities: Those of all seven.
    """

    box: tuple[int, int, int, int]
    score: float
    label: str
    probability: float
    probabilities: dict[str, float]


class EmotionResult(BaseModel):
    """Emotion of all modalities together.

    Attributes:
        label: The likeliest of seven emotions; None without a face, a voice or words to go by, as `notices` then say.
        confidence: Its probability; None without a label.
        probabilities: Those of all seven; empty without a label.
        parts: One result per modality.
        disagreement: Sentence about modalities that are sure of different emotions; "" if there are none.
        faces: All faces, largest first. The first one counts.
        said: Fine emotions of the text that are likely enough to be named, likeliest first.
        fine: Probabilities of the 28 fine emotions of the text.
        boredom: How bored the voice sounds, from 0 to 1; part of "neutral" in `probabilities`.
        notices: Reasons to trust the result less.
    """

    label: str | None
    confidence: float | None
    probabilities: dict[str, float]
    parts: list[ModalityResult]
    disagreement: str = ""
    faces: list[DetectedFace] = []
    said: list[str] = []
    fine: dict[str, float] = {}
    boredom: float | None = None
    notices: list[str] = []

    def __str__(self) -> str:
        if self.label is None or self.confidence is None:
            return " ".join(self.notices)
        # Only a calibrated probability is called "sure": that of a single classifier without notices.
        sure = " sure" if not self.notices and [part.by for part in self.parts] in ([HEAD], [NETWORK]) else ""
        runner_up = _format_runner_up(self.label, self.probabilities)
        lines = [f"{self.label}  ({_percent(self.confidence)}{sure}{runner_up})"]
        if len(self.parts) > 1 or self.said:
            lines += [
                f"  {_LABELS[part.source]}: {_format_label(part.label, part.probabilities)}{self._detail(part)}"
                for part in self.parts
            ]
        if len(self.faces) > 1:
            lines += [f"  face at {face.box}: {_format_label(face.label, face.probabilities)}" for face in self.faces]
        return "\n".join([*lines, *filter(None, [self.disagreement]), *self.notices])

    def _detail(self, part: ModalityResult) -> str:
        if part.source == "text" and self.said:
            return f" ({', '.join(self.said)})"
        if part.source == "voice" and self.boredom is not None and self.boredom > _BORED:
            return " (bored)"
        return ""


def describe_disagreement(parts: Sequence[ModalityResult]) -> str:
    """Return a sentence about `parts` that are sure of different emotions, or ""."""
    sure = [part for part in parts if part.probability >= _DISAGREEMENT_CONFIDENCE]
    if len({part.label for part in sure}) < 2:
        return ""
    claims = [f"the {_LABELS[part.source]} {'say' if part.source == 'text' else 'says'} {part.label}" for part in sure]
    return f"They disagree: {', '.join(claims[:-1])} and {claims[-1]}."


def _format_label(label: str, probabilities: Mapping[str, float]) -> str:
    return f"{label} {_percent(probabilities[label])}{_format_runner_up(label, probabilities)}"


def _format_runner_up(label: str, probabilities: Mapping[str, float]) -> str:
    """Name the second likeliest label if it is close to the first, else return ""."""
    second = max((name for name in probabilities if name != label), key=probabilities.__getitem__)
    is_close = probabilities[second] >= _RUNNER_UP_RATIO * probabilities[label]
    return f", or {second} {_percent(probabilities[second])}" if is_close else ""


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
