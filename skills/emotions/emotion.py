"""What somebody feels, by their words, their face and their voice: any of them, and all that are given together.

    text  ─▶ TextHead on the bundled model's states, or the set model's choice ─┐
    face  ─▶ FaceEmotionClassifier: every face with its box; the largest one counts        ─┼─▶ fuse ─▶ EmotionResult, with each part
    voice ─▶ VoiceEmotionClassifier on the bundled Whisper's frames                        ─┘

It was learned from comments on the web, from small grey pictures of faces, and from actors who spoke German: it says
what an expression would be called, not what anybody feels inside. Nothing may be decided about people by it.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel

from assistant.attachments.images import decode
from assistant.errors import SkillError, SkillUsageError
from assistant.messages import Audio, Image
from skills.definition import skill
from skills.emotion_models import EmotionModels
from skills.emotions.fusion import Modality, fuse, reliability
from skills.emotions.labels import EMOTIONS
from skills.emotions.text import classify_text, language_warning

if TYPE_CHECKING:
    from skills.emotions.face import FaceEmotionClassifier
    from skills.vision_model import VisionModel

_QUESTION = "Which one of these does the person feel who wrote what follows: {names}? Answer with one word.\n\n{text}"
# What a model is asked about has to fit its prompt.
_MOST_ASKED = 2_000
# From how sure on two opinions that are not the same are a disagreement, and not two guesses.
_SURE = 0.4
# From which share of the likeliest one on the next is named as well: between them it is nearly a toss-up.
_CLOSE = 0.8
_HEAD, _NETWORK = "head", "network"
_NAMES: Mapping[Modality, str] = {"text": "words", "face": "face", "voice": "voice"}


class Part(BaseModel):
    """What one of text, face and voice tells on its own: the `probabilities` of all seven, and the likeliest.

    `weight` is its share in the whole, 1 together; `by` says what it was read with.
    """

    source: Modality
    label: str
    probability: float
    probabilities: dict[str, float]
    weight: float
    by: str


class SeenFace(BaseModel):
    """A face in the picture: its `box` is left, top, right and bottom in pixels of the upright picture.

    `score` is how sure it is a face at all.
    """

    box: tuple[int, int, int, int]
    score: float
    label: str
    probability: float
    probabilities: dict[str, float]


class EmotionResult(BaseModel):
    """What somebody seems to feel: the likeliest of seven emotions, and how likely that is.

    `disagreement` is a sentence about parts that are sure of different things, "" if none are. `faces` are all that
    were seen, the largest first, which is the one that counts. `fine` are the 28 emotions of the text with their
    probabilities, `said` those likely enough to be named. `boredom` is how bored the voice sounds, from 0 to 1, which
    none of the seven says. `notices` are reasons to trust all this less.
    """

    label: str
    confidence: float
    probabilities: dict[str, float]
    parts: list[Part]
    disagreement: str = ""
    faces: list[SeenFace] = []
    said: list[str] = []
    fine: dict[str, float] = {}
    boredom: float | None = None
    notices: list[str] = []

    def __str__(self) -> str:
        # Only what was calibrated is called sure: several parts together are not, and neither is what there is a reason
        # to doubt.
        sure = " sure" if not self.notices and [part.by for part in self.parts] in ([_HEAD], [_NETWORK]) else ""
        lines = [f"{self.label}  ({_percent(self.confidence)}{sure}{_or_else(self.label, self.probabilities)})"]
        if len(self.parts) > 1 or self.said:
            lines += [
                f"  {_NAMES[part.source]}: {_likely(part.label, part.probabilities)}{self._detail(part)}"
                for part in self.parts
            ]
        if len(self.faces) > 1:
            lines += [f"  face at {face.box}: {_likely(face.label, face.probabilities)}" for face in self.faces]
        return "\n".join([*lines, *filter(None, [self.disagreement]), *self.notices])

    def _detail(self, part: Part) -> str:
        if part.source == "text" and self.said:
            return f" ({', '.join(self.said)})"
        if part.source == "voice" and self.boredom is not None and self.boredom > 0.5:
            return " (bored)"
        return ""


@skill
def emotion(
    senses: EmotionModels,
    *,
    text: Annotated[str | None, "What they say or write."] = None,
    face: Annotated[Image | None, "A picture with their face."] = None,
    voice: Annotated[Audio | None, "A recording of their voice."] = None,
    by: Annotated[
        Literal["head", "model"], "Who reads the text: the small trained head, or the set model itself."
    ] = "head",
) -> EmotionResult:
    """Say what somebody seems to feel, by words, face and voice.

    One of anger, disgust, fear, joy, neutral, sadness and surprise, with each one's part in it; for words in English 28
    finer ones as well. Faces were learned from small grey pictures, voices from German actors. How people show what
    they feel differs, and so does who was learned from: never decide anything about anybody by this.
    """
    if text is None and face is None and voice is None:
        raise SkillUsageError("The skill emotion needs something to go by: give a text, a face or a voice.")
    gathered = _Gathered()
    if text is not None:
        gathered.words(text, senses, by)
    if face is not None:
        gathered.face(face)
    if voice is not None:
        gathered.voice(voice, senses)
    return gathered.together()


class _Gathered:
    """What has been found so far."""

    def __init__(self) -> None:
        self._found: dict[Modality, Mapping[str, float]] = {}
        self._by: dict[Modality, str] = {}
        self._details: dict[str, Any] = {}
        self._notices: list[str] = []
        # Sentences about what was given and tells nothing.
        self._empty: list[str] = []

    def words(self, text: str, senses: EmotionModels, by: Literal["head", "model"]) -> None:
        """What `text` says."""
        if not text.strip():
            self._empty.append("The text is empty.")
        elif by == "model":
            model = senses.model()
            self._found["text"] = chosen_by(model, text)
            self._by["text"] = model.info.name
            self._notices.append(
                f"The text was judged by {model.info.name} itself, whose probabilities are not calibrated; beside a "
                "face or a voice it counts as much as the trained head would."
            )
            self._notices += [strange] if (strange := language_warning(text)) and model.info.bundled else []
        else:
            reading = classify_text(text, senses.hidden_states)
            self._found["text"] = reading.probabilities
            self._by["text"] = _HEAD
            self._details |= {"fine": rounded(reading.fine), "said": list(reading.said)}
            self._notices += reading.notices

    def face(self, photo: Image) -> None:
        """What the largest face in `photo` shows."""
        faces = [
            SeenFace(box=face.box[:4], score=face.box.score, **_likeliest(face.probabilities))
            for face in _face_reader().classify(decode(photo))
        ]
        if not faces:
            self._empty.append(f"No face is found in {photo.name}.")
            return
        self._details["faces"] = faces
        self._found["face"] = faces[0].probabilities
        self._by["face"] = _NETWORK
        if len(faces) > 1:
            self._notices.append(f"There are {len(faces)} faces in {photo.name}: the largest is the one that counts.")

    def voice(self, sound: Audio, senses: EmotionModels) -> None:
        """What tone of voice is in `sound`."""
        import numpy as np

        tone = senses.vocal_emotion(np.frombuffer(sound.data, "<f4"))
        if tone is None:
            self._empty.append("Nobody speaks in the recording for half a second.")
            return
        self._found["voice"] = tone.probabilities
        self._by["voice"] = _HEAD
        self._details["boredom"] = round(tone.boredom, 4)

    def together(self) -> EmotionResult:
        """All of it as one. Raises `SkillError` if there is nothing."""
        if not self._found:
            raise SkillError(f"{' '.join(self._empty)} Give something else to go by.")
        fused = fuse(self._found)
        label = max(fused, key=fused.__getitem__)
        trust = {source: float(str(reliability()[source]["weight"])) for source in self._found}
        parts = [
            Part(
                source=source,
                **_likeliest(probabilities),
                weight=round(trust[source] / sum(trust.values()), 4),
                by=self._by[source],
            )
            for source, probabilities in self._found.items()
        ]
        return EmotionResult(
            label=label,
            confidence=round(fused[label], 4),
            probabilities=rounded(fused),
            parts=parts,
            disagreement=disagreement(parts),
            notices=[*self._empty, *self._notices],
            **self._details,
        )


def chosen_by(model: "VisionModel", text: str) -> dict[str, float]:
    """The probability of each of `EMOTIONS` as what `model` answers. Raises `ScoringUnsupported` and `ModelError`."""
    asked = _QUESTION.format(names=", ".join(EMOTIONS), text=text[:_MOST_ASKED])
    logs = [math.fsum(tokens) for tokens in model.score(asked, EMOTIONS)]
    shares = [math.exp(each - max(logs)) for each in logs]
    return {name: share / sum(shares) for name, share in zip(EMOTIONS, shares, strict=True)}


def disagreement(parts: Sequence[Part]) -> str:
    """A sentence about which of `parts` are sure of which different things; "" if none are."""
    sure = [part for part in parts if part.probability >= _SURE]
    if len({part.label for part in sure}) < 2:
        return ""
    said = [f"the {_NAMES[part.source]} {'say' if part.source == 'text' else 'says'} {part.label}" for part in sure]
    return f"They disagree: {', '.join(said[:-1])} and {said[-1]}."


def rounded(probabilities: Mapping[str, float]) -> dict[str, float]:
    """`probabilities` to four places, as results show them."""
    return {name: round(float(value), 4) for name, value in probabilities.items()}


@cache
def _face_reader() -> "FaceEmotionClassifier":
    from skills.emotions.face import FaceEmotionClassifier

    return FaceEmotionClassifier.load()


def _likeliest(probabilities: Mapping[str, float]) -> dict[str, Any]:
    label = max(probabilities, key=probabilities.__getitem__)
    return {
        "label": label,
        "probability": round(float(probabilities[label]), 4),
        "probabilities": rounded(probabilities),
    }


def _likely(label: str, probabilities: Mapping[str, float]) -> str:
    return f"{label} {_percent(probabilities[label])}{_or_else(label, probabilities)}"


def _or_else(label: str, probabilities: Mapping[str, float]) -> str:
    """The next likeliest after `label`, where it is close; "" where it is not."""
    second = max((name for name in probabilities if name != label), key=probabilities.__getitem__)
    close = probabilities[second] >= _CLOSE * probabilities[label]
    return f", or {second} {_percent(probabilities[second])}" if close else ""


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
