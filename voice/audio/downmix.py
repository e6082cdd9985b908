"""Mix the channels of a recording into one that holds what they hold.

The plain mean loses speech: channels that are each other's opposite cancel, and the centre or the bass channel of
surround sound is only a sixth of it. Channels are turned the same way before they are mixed, and silent ones left out.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voice.audio.types import ChannelSamples, Samples

SILENT_PEAK = 1e-6
"""A channel without a sample beyond this is silent: a thirtieth of the last bit of 16-bit audio."""

ALIKE_CORRELATION = 0.5
"""Channels with at least this correlation, or its negative, hold the same sound."""

_FRAME_SAMPLES = 480
# Levels of loud frames, as a share of full scale, between which audio stays as it is, and the one it gets outside.
_MIN_LEVEL, _MAX_LEVEL = 0.01, 0.9
_TARGET_LEVEL = 0.1
# A click is shorter than so many frames, which do not count for the level.
_IGNORED_FRAMES = 10


@dataclass(frozen=True)
class Mix:
    """One channel made of several.

    Attributes:
        samples: The audio, within full scale.
        used: Numbers of the channels that it holds, from 0.
        inverted: Numbers of those that were turned over, because they would have cancelled the others.
    """

    samples: "Samples"
    used: tuple[int, ...]
    inverted: tuple[int, ...] = ()


def clean_channels(channels: "ChannelSamples") -> "ChannelSamples":
    """Return the channels without values that are no numbers, and without a constant offset."""
    import numpy as np

    # Beyond this their squares overflow.
    finite = np.where(np.abs(channels) < 1e9, channels, 0).astype(np.float32)
    return finite - finite.mean(axis=1, keepdims=True) if finite.size else finite


def sounding_channels(channels: "ChannelSamples") -> tuple[int, ...]:
    """Return the numbers of the channels that are not silent."""
    import numpy as np

    peaks = np.abs(channels).max(axis=1, initial=0)
    return tuple(int(number) for number in np.flatnonzero(peaks > SILENT_PEAK))


def mix_channels(channels: "ChannelSamples") -> Mix:
    """Mix all channels that are not silent, at a level at which speech can be recognized.

    Args:
        channels: float32 of shape (channels, samples), of any level.
    """
    import numpy as np

    cleaned = clean_channels(channels)
    used = sounding_channels(cleaned)
    if not used:
        return Mix(np.zeros(channels.shape[1], np.float32), ())
    sounding = cleaned[list(used)]
    # Compared with the loudest channel, since silent noise correlates with nothing.
    reference = sounding[int(np.argmax(np.square(sounding).sum(axis=1)))]
    signs = np.array([-1.0 if correlation(reference, each) < 0 else 1.0 for each in sounding], np.float32)
    inverted = tuple(number for number, sign in zip(used, signs, strict=True) if sign < 0)
    return Mix(adjust_level((signs[:, None] * sounding).mean(axis=0)), used, inverted)


def correlation(first: "Samples", second: "Samples") -> float:
    """Return the correlation of two channels without offset, from -1 to 1; 0 if one is silent."""
    import numpy as np

    scale = float(np.sqrt(float(np.dot(first, first)) * float(np.dot(second, second))))
    return float(np.dot(first, second)) / scale if scale > 0 else 0.0


def frame_levels(samples: "Samples") -> "Samples":
    """Return the root mean square of each 30 ms."""
    import numpy as np

    frames = -(-samples.size // _FRAME_SAMPLES)
    padded = np.zeros(frames * _FRAME_SAMPLES, np.float32)
    padded[: samples.size] = samples
    levels: Samples = np.sqrt(np.square(padded.reshape(frames, _FRAME_SAMPLES)).mean(axis=1)).astype(np.float32)
    return levels


def loud_level(samples: "Samples") -> float:
    """Return the level of the loudest frames, apart from clicks; 0 without samples."""
    import numpy as np

    levels = np.sort(frame_levels(samples))[::-1]
    return float(levels[min(_IGNORED_FRAMES, levels.size // 2)]) if levels.size else 0.0


def adjust_level(samples: "Samples") -> "Samples":
    """Return audio within full scale. Very quiet audio is amplified and audio beyond full scale turned down."""
    import numpy as np

    level = loud_level(samples)
    if level > 0 and not _MIN_LEVEL <= level <= _MAX_LEVEL:
        samples = samples * np.float32(_TARGET_LEVEL / level)
    limited: Samples = np.clip(samples, -1.0, 1.0).astype(np.float32)
    return limited
