"""Prosody of speech: loudness and pitch per 10 ms, summarized as fifteen numbers.

samples ─▶ 40 ms windows every 10 ms ─▶ loudness, pitch, periodicity ─▶ percentiles, spread, rate of change, pauses
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RATE = 16_000
"""Samples per second."""

SPEAKING_LEVEL = 0.05
"""Root mean square that recordings are scaled to: the distance of the microphone says nothing about an emotion."""

_STEP = 160
_WINDOW = 640
_MIN_HERTZ, _MAX_HERTZ = 60, 500
# Periodicity of voiced speech; Praat's usual threshold.
_VOICING_THRESHOLD = 0.45


def normalize_level(samples: Floats) -> Floats:
    """Scale `samples` to `SPEAKING_LEVEL`. Silence is returned as it is."""
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return samples if level < 1e-6 else (samples * (SPEAKING_LEVEL / level)).astype(np.float32)


def prosody(samples: Floats) -> Floats:
    """Return fifteen features of at least half a second of speech: pitch in octaves, loudness in natural logarithms."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(samples, _WINDOW // 2), _WINDOW)[::_STEP]
    loudness = np.log(np.sqrt(np.square(windows, dtype=np.float64).mean(1)) + 1e-4)
    octaves, periodicity = _pitch(windows)
    voiced = (periodicity > _VOICING_THRESHOLD) & (loudness > loudness.max() - 4)
    voiced_octaves = octaves[voiced] if voiced.sum() > 4 else np.zeros(5)
    change = np.diff(octaves)[voiced[1:] & voiced[:-1]]
    change = change[np.abs(change) < 0.3]
    # About the rate of syllables.
    voiced_onsets_per_second = float(np.count_nonzero(np.diff(voiced.astype(np.int8)) == 1)) / (len(samples) / RATE)
    power = np.abs(np.fft.rfft(windows[voiced] if voiced.any() else windows, axis=1)).mean(0) ** 2
    low, high = power[2:40].sum(), power[40:].sum()
    return np.array(
        [
            *np.percentile(voiced_octaves, [10, 50, 90]),
            voiced_octaves.std(),
            np.abs(change).mean() * 100 if change.size else 0.0,
            change.mean() * 100 if change.size else 0.0,
            *np.percentile(loudness, [10, 50, 90]),
            loudness.std(),
            np.abs(np.diff(loudness)).mean() * 10,
            float(voiced.mean()),
            float(periodicity[voiced].mean()) if voiced.any() else 0.0,
            voiced_onsets_per_second,
            np.log(high + 1e-6) - np.log(low + 1e-6),
        ],
        np.float32,
    )


def _pitch(windows: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the pitch of each window in octaves above 100 Hz, and its periodicity (up to 1).

    Autocorrelation method of Boersma (1993): that of the windowed signal over that of the window function, at the lag
    between 60 and 500 Hz where it is highest.
    """
    hann = np.hanning(_WINDOW)
    centred = (windows - windows.mean(1, keepdims=True)) * hann
    size = 2 * _WINDOW
    signal = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2)[:, :_WINDOW]
    window = np.fft.irfft(np.abs(np.fft.rfft(hann, size)) ** 2)[:_WINDOW]
    shortest, longest = RATE // _MAX_HERTZ, RATE // _MIN_HERTZ
    periodicity = signal[:, shortest:longest] / (signal[:, :1] + 1e-9) * (window[0] / window[shortest:longest])
    # Prefer the shortest of lags that fit about as well, or the pitch would drop an octave now and then.
    lags = np.arange(shortest, longest)
    best = (periodicity - 0.02 * np.log2(lags / shortest)).argmax(1)
    return np.log2(RATE / lags[best] / 100), periodicity[np.arange(len(best)), best]
