"""The emotion skill: recognize an emotion from a text, a face, a voice, or several of them.

    text  ─▶ TextHead on hidden states, or the chosen model ─────────────┐
    face  ─▶ FaceEmotionClassifier: all faces; the largest one counts ───┼─▶ fuse ─▶ EmotionResult
    voice ─▶ VoiceEmotionClassifier on the bundled Whisper's frames ─────┘

Trained on comments from the web, small grey images of faces, and actors who spoke German. A result is the name of an
expression, not what a person feels. It must not be used for decisions about people.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from assistant.attachments.images import decode
from assistant.errors import SkillUsageError
from assistant.messages import Audio, Image
from skills.definition import skill
from skills.emotion_models import EmotionModels
from skills.emotions.fusion import Modality, fuse, influence
from skills.emotions.labels import EMOTIONS
from skills.emotions.probabilities import most_likely, round_probabilities
from skills.emotions.result import (
    HEAD,
    NETWORK,
    DetectedFace,
    EmotionResult,
    ModalityResult,
    describe_disagreement,
)
from skills.emotions.text import classify_text, language_warning

if TYPE_CHECKING:
    from skills.vision_model import VisionModel

_PROMPT = "Which one of these does the person feel who wrote what follows: {names}? Answer with one word.\n\n{text}"
# The text has to fit the model's context.
_MAX_PROMPT_CHARACTERS = 2_000


@skill
def emotion(
    *,
    models: EmotionModels,
    text: Annotated[str | None, "What they say or write."] = None,
    face: Annotated[Image | None, "A picture with their face."] = None,
    voice: Annotated[Audio | None, "A recording of their voice."] = None,
    by: Annotated[
        Literal["head", "model"], "What judges the text: the small trained head, or the model that is set."
    ] = "head",
) -> EmotionResult:
    """Say what somebody seems to feel, by words, face and voice.

    The result is one of anger, disgust, fear, joy, neutral, sadness and surprise, with a probability for each; a text
    in English also gets 28 finer emotions. A picture without a face and a recording without a voice have no emotion,
    which is no error. The training data are comments from the web, small grey pictures of faces, and German actors.
    People show their feelings in different ways: do not base decisions about anybody on this.
    """
    if text is None and face is None and voice is None:
        raise SkillUsageError("The skill emotion needs something to go by: give a text, a face or a voice.")
    evidence = _Evidence()
    if text is not None and by == "model":
        evidence.add_text_by_model(text, models.model())
    elif text is not None:
        evidence.add_text(text, models)
    if face is not None:
        evidence.add_face(face, models)
    if voice is not None:
        evidence.add_voice(voice, models)
    return evidence.combine()


@dataclass
class _Evidence:
    """Probabilities per modality, collected for one result.

    Attributes:
        probabilities: Of each modality.
        by: What judged each modality.
        details: Further fields of the result.
        notices: Reasons to trust the result less.
        missing: Sentences about inputs that show no emotion, such as an image without a face.
    """

    probabilities: dict[Modality, Mapping[str, float]] = field(default_factory=dict)
    by: dict[Modality, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def add_text(self, text: str, models: EmotionModels) -> None:
        """Classify a text with the trained head."""
        if not text.strip():
            self.missing.append("The text is empty.")
            return
        found = classify_text(text, models.hidden_states)
        self.probabilities["text"], self.by["text"] = found.probabilities, HEAD
        self.details |= {"fine": round_probabilities(found.fine), "said": list(found.named)}
        self.notices += found.notices

    def add_text_by_model(self, text: str, model: "VisionModel") -> None:
        """Let `model` itself judge a text."""
        if not text.strip():
            self.missing.append("The text is empty.")
            return
        self.probabilities["text"], self.by["text"] = score_emotions(model, text), model.info.name
        self.notices.append(
            f"The text was judged by {model.info.name} itself, whose probabilities are not calibrated; beside a "
            "face or a voice it counts as much as the trained head would."
        )
        if model.info.bundled and (warning := language_warning(text)):
            self.notices.append(warning)

    def add_face(self, image: Image, models: EmotionModels) -> None:
        """Classify the faces in `image`; the largest one counts."""
        faces = [
            DetectedFace(box=face.box[:4], score=face.box.score, **_summarize(face.probabilities))
            for face in models.faces(decode(image))
        ]
        if not faces:
            self.missing.append("No face is found in the picture.")
            return
        self.details["faces"] = faces
        self.probabilities["face"], self.by["face"] = faces[0].probabilities, NETWORK
        if len(faces) > 1:
            self.notices.append(f"There are {len(faces)} faces in the picture: the largest is the one that counts.")

    def add_voice(self, audio: Audio, models: EmotionModels) -> None:
        """Classify the tone of voice."""
        import numpy as np

        found = models.vocal_emotion(np.frombuffer(audio.data, "<f4"))
        if found is None:
            self.missing.append("Nobody speaks in the recording for half a second.")
            return
        self.probabilities["voice"], self.by["voice"] = found.probabilities, HEAD
        self.details["boredom"] = round(found.boredom, 4)

    def combine(self) -> EmotionResult:
        """Fuse all modalities. Without any, the result has no label."""
        if not self.probabilities:
            return EmotionResult(
                label=None, confidence=None, probabilities={}, parts=[], notices=[*self.missing, *self.notices]
            )
        fused = fuse(self.probabilities)
        label, confidence = most_likely(fused)
        weights = {source: influence(source) for source in self.probabilities}
        parts = [
            ModalityResult(
                source=source,
                **_summarize(probabilities),
                weight=round(weights[source] / sum(weights.values()), 4),
                by=self.by[source],
            )
            for source, probabilities in self.probabilities.items()
        ]
        return EmotionResult(
            label=label,
            confidence=round(confidence, 4),
            probabilities=round_probabilities(fused),
            parts=parts,
            disagreement=describe_disagreement(parts),
            notices=[*self.missing, *self.notices],
            **self.details,
        )


def score_emotions(model: "VisionModel", text: str) -> dict[str, float]:
    """Return the probability of each of `EMOTIONS` as the model's answer. Raises `ScoringUnsupported`, `ModelError`."""
    prompt = _PROMPT.format(names=", ".join(EMOTIONS), text=text[:_MAX_PROMPT_CHARACTERS])
    logs = [math.fsum(tokens) for tokens in model.score(prompt, EMOTIONS)]
    shares = [math.exp(each - max(logs)) for each in logs]
    return {name: share / sum(shares) for name, share in zip(EMOTIONS, shares, strict=True)}


def _summarize(probabilities: Mapping[str, float]) -> dict[str, Any]:
    label, probability = most_likely(probabilities)
    rounded = round_probabilities(probabilities)
    return {"label": label, "probability": round(probability, 4), "probabilities": rounded}
