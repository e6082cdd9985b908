"""Convert audio to another sample rate, with FFmpeg's resampler.

Two entrances to the same converter: `Resampler` takes arrays of mono samples, `ChannelResampler` takes FFmpeg's frames,
which may change their format, channels or rate in the middle of a stream.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import AudioFrame

    from voice.audio.types import ChannelSamples, Samples

MIN_RATE, MAX_RATE = 1_000, 1_600_000
"""Sample rates in Hz that recordings have. Headers with others are damaged, or meant to make a second fill a disk."""

MAX_CHANNELS = 64
"""More channels are left out."""


class Resampler:
    """Convert a stream of mono samples to another rate. Equal rates pass through unchanged."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        """Create a converter between two sample rates in Hz."""
        self.source_rate = source_rate
        self._target_rate = target_rate
        self._resampler: Any = None

    def process(self, samples: "Samples") -> "Samples":
        """Convert the next samples. The last few may be held back until more arrive."""
        import av

        if self.source_rate == self._target_rate or not samples.size:
            return samples
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=self._target_rate)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="mono")
        frame.sample_rate = self.source_rate
        return self._resample(frame)

    def flush(self) -> "Samples":
        """Return what was held back. A call to `process` after this starts a new stream."""
        rest = self._resample(None)
        self._resampler = None
        return rest

    def _resample(self, frame: "AudioFrame | None") -> "Samples":
        import numpy as np

        frames = [] if self._resampler is None else self._resampler.resample(frame)
        return np.concatenate([np.zeros(0, np.float32), *(each.to_ndarray().reshape(-1) for each in frames)])


class ChannelResampler:
    """Convert a stream of FFmpeg's audio frames, of any format, to float samples of each channel.

    Each channel is converted by itself, as FFmpeg would weigh and mix channels by its own rules.
    """

    def __init__(self, target_rate: int) -> None:
        """Create a converter to a sample rate in Hz."""
        self._target_rate = target_rate
        self._source: tuple[int, int] | None = None
        self._channels: list[Resampler] = []

    def process(self, frame: "AudioFrame") -> "list[ChannelSamples]":
        """Convert the next frame. When its rate or channels differ from the last one, that is flushed as a block.

        Raises:
            ValueError: The sample rate is impossible.
        """
        samples = _float_samples(frame)
        if not MIN_RATE <= frame.sample_rate <= MAX_RATE:
            raise ValueError(f"its sample rate of {frame.sample_rate} Hz is impossible")
        flushed = []
        if self._source != (frame.sample_rate, samples.shape[0]):
            flushed = self.flush()
            self._source = frame.sample_rate, samples.shape[0]
            self._channels = [Resampler(frame.sample_rate, self._target_rate) for _ in samples]
        blocks = [resampler.process(channel) for resampler, channel in zip(self._channels, samples, strict=True)]
        return flushed + _stacked(blocks)

    def flush(self) -> "list[ChannelSamples]":
        """Return what was held back."""
        return _stacked([resampler.flush() for resampler in self._channels])

    @staticmethod
    def channel_names(frame: "AudioFrame") -> tuple[str, ...]:
        """Return the names of the channels: "left", "front center", "channel 3"."""
        count = frame.layout.nb_channels
        if count == 2:
            return "left", "right"
        described = [channel.description for channel in frame.layout.channels]
        if len(described) != count or any(not each or "unsp" in each.lower() for each in described):
            described = [f"channel {number}" for number in range(1, count + 1)]
        return tuple(described[:MAX_CHANNELS])


def _float_samples(frame: "AudioFrame") -> "ChannelSamples":
    """Return the samples of a frame as float32 of shape (channels, samples)."""
    import numpy as np

    array: Any = frame.to_ndarray()
    if not frame.format.is_planar:
        array = np.ascontiguousarray(array.reshape(-1, frame.layout.nb_channels).T)
    array = array[:MAX_CHANNELS]
    with np.errstate(over="ignore", invalid="ignore"):
        samples: ChannelSamples = array.astype(np.float32)
    if array.dtype == np.uint8:
        return (samples - np.float32(128)) / np.float32(128)
    if np.issubdtype(array.dtype, np.integer):
        return samples / np.float32(-float(np.iinfo(array.dtype).min))
    return samples


def _stacked(channels: "list[Samples]") -> "list[ChannelSamples]":
    import numpy as np

    return [np.stack(channels)] if channels and channels[0].size else []
