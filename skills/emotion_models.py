"""What a skill may ask beyond a model's words: what goes on in one that reads, and how a voice sounds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from skills.emotions.voice import VocalEmotion
    from skills.vision_model import VisionModel


class EmotionModels(Protocol):
    """Models that are loaded when they are first asked, so that nothing waits for what it does not need."""

    def model(self) -> "VisionModel":
        """The model of the conversation, or the one that is set. Raises `ModelError`."""
        ...

    def hidden_states(self, pieces: Sequence[str], depths: Sequence[int]) -> "list[NDArray[np.float32]]":
        """What goes on in the bundled model as it reads `pieces`: see `HiddenStateModel.states`. Raises `ModelError`."""
        ...

    def vocal_emotion(self, samples: "NDArray[np.float32]") -> "VocalEmotion | None":
        """How somebody sounds in mono `samples` of 16 kHz: see `VoiceEmotionClassifier.read`. Raises as `Whisper` does."""
        ...
