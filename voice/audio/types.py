"""The form of audio that files, devices and engines exchange."""

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.float32]
    """Mono audio: float32 of shape (samples,), values in [-1, 1]."""

    ChannelSamples: TypeAlias = NDArray[np.float32]
    """Audio as it is in a file: float32 of shape (channels, samples). Values may be beyond [-1, 1], or no numbers."""

SAMPLE_RATE = 16_000
"""Sample rate in Hz of everything that is listened to: Whisper and the voice detector were trained on it."""
