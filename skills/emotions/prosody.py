"""What the tone of voice is told from: the frames of a speech encoder, and how loud and how high a voice is.

samples ─▶ the encoder's frames, 50 a second ─▶ their mean ───────────────────────────────┐
       └─▶ loudness and pitch of each 10 ms ─▶ level, spread, rate of change, pauses ─────┴─▶ one row of numbers
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RATE = 16_000
"""Samples a second."""

SPEAKING_LEVEL = 0.05
"""Root mean square to which a recording is brought: how near the microphone stands says nothing about a mood."""

_STEP = 160
_WINDOW = 640
_LOWEST, _HIGHEST = 60, 500
# Below that, what repeats in a window is no voice. Praat's usual threshold.
_VOICED = 0.45


def normalize_level(samples: Floats) -> Floats:
    """`samples` brought to `SPEAKING_LEVEL`; silence stays silence."""
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return samples if level < 1e-6 else (samples * (SPEAKING_LEVEL / level)).astype(np.float32)


def prosody(samples: Floats) -> Floats:
    """Fifteen numbers on loudness and pitch of a piece of speech of half a second or more.

    Pitch is the lag at which a window is most like itself, after Boersma (1993): the autocorrelation over that of the
    window itself, between 60 and 500 Hz. Pitch in octaves, loudness in natural logarithms.
    """
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(samples, _WINDOW // 2), _WINDOW)[::_STEP]
    loudness = np.log(np.sqrt(np.square(windows, dtype=np.float64).mean(1)) + 1e-4)
    octaves, likeness = _pitch(windows)
    voiced = (likeness > _VOICED) & (loudness > loudness.max() - 4)
    heard = octaves[voiced] if voiced.sum() > 4 else np.zeros(5)
    change = np.diff(octaves)[voiced[1:] & voiced[:-1]]
    change = change[np.abs(change) < 0.3]
    # Voiced stretches a second: about the rate of syllables.
    stretches = float(np.count_nonzero(np.diff(voiced.astype(np.int8)) == 1)) / (len(samples) / RATE)
    power = np.abs(np.fft.rfft(windows[voiced] if voiced.any() else windows, axis=1)).mean(0) ** 2
    low, high = power[2:40].sum(), power[40:].sum()
    return np.array(
        [
            *np.percentile(heard, [10, 50, 90]),
            heard.std(),
            np.abs(change).mean() * 100 if change.size else 0.0,
            change.mean() * 100 if change.size else 0.0,
            *np.percentile(loudness, [10, 50, 90]),
            loudness.std(),
            np.abs(np.diff(loudness)).mean() * 10,
            float(voiced.mean()),
            float(likeness[voiced].mean()) if voiced.any() else 0.0,
            stretches,
            np.log(high + 1e-6) - np.log(low + 1e-6),
        ],
        np.float32,
    )


def _pitch(windows: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pitch of each window in octaves above 100 Hz, and how much the window is like itself a period later, up to 1."""
    shape = np.hanning(_WINDOW)
    centred = (windows - windows.mean(1, keepdims=True)) * shape
    size = 2 * _WINDOW
    own = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2)[:, :_WINDOW]
    frame = np.fft.irfft(np.abs(np.fft.rfft(shape, size)) ** 2)[:_WINDOW]
    shortest, longest = RATE // _HIGHEST, RATE // _LOWEST
    likeness = own[:, shortest:longest] / (own[:, :1] + 1e-9) * (frame[0] / frame[shortest:longest])
    # Of lags that fit about as well the shortest, or a voice would fall an octave now and then.
    lags = np.arange(shortest, longest)
    best = (likeness - 0.02 * np.log2(lags / shortest)).argmax(1)
    return np.log2(RATE / lags[best] / 100), likeness[np.arange(len(best)), best]
