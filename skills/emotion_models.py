"""What a skill may ask beyond a model's words: what goes on in one that reads, and how a voice sounds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from skills.emotions.voice import Tone
    from skills.vision_model import VisionModel


class Senses(Protocol):
    """Models that are loaded when they are first asked, so that nothing waits for what it does not need."""

    def model(self) -> "VisionModel":
        """The model of the conversation, or the one that is set. Raises `ModelError`."""
        ...

    def states(self, pieces: Sequence[str], depths: Sequence[int]) -> "list[NDArray[np.float32]]":
        """What goes on in the embedded model as it reads `pieces`: see `Introspective.states`. Raises `ModelError`."""
        ...

    def tone(self, samples: "NDArray[np.float32]") -> "Tone | None":
        """How somebody sounds in mono `samples` of 16 kHz: see `VoiceReader.read`. Raises as `Whisper` does."""
        ...
