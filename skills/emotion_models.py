"""The models behind the emotion skill: a chat model, the bundled model, and classifiers of faces and voices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    from skills.emotions.face_boxes import Face
    from skills.emotions.voice import VocalEmotion
    from skills.vision_model import VisionModel


class EmotionModels(Protocol):
    """Models for the emotion skill. Each is loaded when it is first used."""

    def model(self) -> "VisionModel":
        """Return the model of the conversation, or the one that is set. Raises `ModelError`."""
        ...

    def hidden_states(self, texts: Sequence[str], layers: Sequence[int]) -> "list[NDArray[np.float32]]":
        """Return hidden states of the bundled model: see `HiddenStateModel.hidden_states`. Raises `ModelError`."""
        ...

    def faces(self, image: "PIL.Image.Image") -> "list[Face]":
        """Find and classify the faces in an upright image: see `FaceEmotionClassifier.classify`."""
        ...

    def vocal_emotion(self, samples: "NDArray[np.float32]") -> "VocalEmotion | None":
        """Classify mono samples at 16 kHz: see `VoiceEmotionClassifier.classify`. Raises `ModelError`, `VoiceError`."""
        ...
