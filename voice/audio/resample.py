"""Convert audio to mono at another sample rate, with FFmpeg's resampler.

Two entrances to the same converter: `Resampler` takes arrays of samples, `FrameResampler` takes FFmpeg's frames, which
may change their format, channels or rate in the middle of a stream.
"""

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from av import AudioFrame

    from voice.audio.types import Samples


class Resampler:
    """Convert a stream of mono samples to another rate. Equal rates pass through unchanged."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        """Create a converter between two sample rates in Hz."""
        self.source_rate = source_rate
        self._frames = None if source_rate == target_rate else FrameResampler(target_rate, "flt")

    def process(self, samples: "Samples") -> "Samples":
        """Convert the next samples. The last few may be held back until more arrive."""
        import av

        if self._frames is None or not samples.size:
            return samples
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="mono")
        frame.sample_rate = self.source_rate
        return self._frames.process(frame)

    def flush(self) -> "Samples":
        """Return what was held back. A call to `process` after this starts a new stream."""
        import numpy as np

        return np.zeros(0, np.float32) if self._frames is None else self._frames.flush()


class FrameResampler:
    """Convert a stream of FFmpeg's audio frames, of any format and number of channels."""

    def __init__(self, target_rate: int, sample_format: Literal["flt", "s16"]) -> None:
        """Create a converter.

        Args:
            target_rate: Sample rate of the result in Hz.
            sample_format: Format in which FFmpeg computes. In "s16" it weighs the channels so that their sum stays in
                range; in "flt" the sum of many channels can exceed full scale.
        """
        self._target_rate = target_rate
        self._sample_format = sample_format
        self._resampler: Any = None
        self._source: tuple[str, str, int] | None = None

    def process(self, frame: "AudioFrame") -> "Samples":
        """Convert the next frame. When its format differs from the last one, the last one is flushed first."""
        import av

        source = (frame.format.name, frame.layout.name, frame.sample_rate)
        flushed = []
        if self._resampler is None or source != self._source:
            flushed = self._resample(None)
            self._source = source
            self._resampler = av.AudioResampler(format=self._sample_format, layout="mono", rate=self._target_rate)
        # Timestamps jump in damaged files, and the resampler would insert silence for them.
        frame.pts = None
        return self._concatenate(flushed + self._resample(frame))

    def flush(self) -> "Samples":
        """Return what was held back."""
        rest = self._resample(None)
        self._resampler = None
        return self._concatenate(rest)

    def _resample(self, frame: "AudioFrame | None") -> "list[Samples]":
        import numpy as np

        if self._resampler is None:
            return []
        full_scale = np.float32(32768 if self._sample_format == "s16" else 1)
        frames = self._resampler.resample(frame)
        return [each.to_ndarray().reshape(-1).astype(np.float32) / full_scale for each in frames]

    @staticmethod
    def _concatenate(parts: "list[Samples]") -> "Samples":
        import numpy as np

        return np.concatenate([np.zeros(0, np.float32), *parts])
