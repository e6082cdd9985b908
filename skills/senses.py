"""What a skill may ask beyond a model's words: the states within one that reads, and those within one that listens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from skills.model import VisionModel


class Senses(Protocol):
    """Models that are loaded when they are first asked, so that nothing waits for what it does not need."""

    def model(self) -> "VisionModel":
        """The model of the conversation, or the one that is set. Raises `ModelError`."""
        ...

    def states(self, pieces: Sequence[str], depths: Sequence[int]) -> "list[NDArray[np.float32]]":
        """What goes on in the embedded model as it reads `pieces`: see `Introspective.states`. Raises `ModelError`."""
        ...

    def encode(self, samples: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """What goes on in the embedded Whisper as it hears `samples` (16 kHz, mono, up to 30 s): (frames, width).

        There are 50 frames a second. Raises `VoiceError` and `ModelError`.
        """
        ...
