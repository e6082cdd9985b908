"""Sound as numbers: what passes between files, devices and engines."""

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.float32]
    """Mono sound, one-dimensional, in [-1, 1]."""

HEARING_RATE = 16_000
"""Samples a second of all that is listened to: what Whisper and the voice detector were trained on."""
