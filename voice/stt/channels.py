"""Choose what is listened to in a recording with several channels, so that no speech is lost.

Where people speak is found by Silero, whose result decides:

    the channels hold the same sound     their mix, turned the same way if they would cancel each other
    one channel has the speech           that one: the other may be noise or music
    both of two speak for themselves     each by itself, as in a recorded call: the caller left, the agent right
    surround sound                       the mix, or the channel with the speech
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voice.audio.downmix import (
    ALIKE_CORRELATION,
    adjust_level,
    clean_channels,
    correlation,
    frame_levels,
    loud_level,
    mix_channels,
    sounding_channels,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from voice.audio.types import ChannelSamples, Samples

    SpeechFrames = NDArray[np.bool_]

FindSpeech = Callable[["Samples"], "SpeechFrames"]
"""Tell for each frame of 32 ms of 16 kHz audio whether somebody speaks."""

# A candidate with this share of the most speech that was found is as good as the best.
_AS_GOOD = 0.9
# A channel in which speech stands out this much more than in the mix is better alone.
_CLEANER = 2.0
# Frames of speech (0.3 s) from which a channel speaks for itself, beside another one.
_MIN_SPEECH_FRAMES = 10
# Correlation of the levels of two channels, where either speaks, from which they hold the same speech: the speaker may
# be nearer to one of the microphones. Two people who talk are below 0.3, one person in two microphones above 0.8.
_SAME_SPEECH = 0.6
# A voice this much quieter than the other channel's is what leaked from there (15 dB).
_LEAK = 0.18
# Nothing is said below this level, when the loud parts have a tenth of full scale.
_QUIET = 0.003
# Frames around own speech in which nothing is muted.
_KEPT_FRAMES = 5
_SPEECH_FRAME_SAMPLES = 512
_LEVEL_FRAME_SAMPLES = 480


@dataclass(frozen=True)
class Heard:
    """Audio to transcribe, and the number of the only channel that it comes from; None if it comes from several."""

    samples: "Samples"
    channel: int | None = None


class ChannelChooser:
    """Chooses for each chunk of a recording what is listened to, and remembers what to tell about it."""

    def __init__(self, find_speech: FindSpeech | None = None) -> None:
        """Create a chooser. `find_speech` is Silero unless a test gives another."""
        self._find_speech = find_speech or find_speech_frames
        self.separate = False
        """True once two channels were found that speak for themselves."""
        self._chosen: set[int] = set()
        self._others_silent = True
        self._inverted = False

    def choose(self, chunk: "ChannelSamples") -> list[Heard]:
        """Return what to transcribe of a chunk: one piece, or two of the same length.

        Args:
            chunk: 16 kHz audio of shape (channels, samples).
        """
        channels = clean_channels(chunk)
        used = sounding_channels(channels)
        if not used:
            return [Heard(mix_channels(channels).samples)]
        if len(used) == 1:
            return [self._single(channels, used[0], alone=True)]
        mix = mix_channels(channels)
        if len(used) == 2 and abs(correlation(*channels[list(used)])) > _AS_GOOD:
            self._inverted = self._inverted or bool(mix.inverted)
            return [Heard(mix.samples)]
        speech = {number: self._find_speech(adjust_level(channels[number])) for number in used}
        if len(channels) == 2 and self._speak_for_themselves(channels, speech):
            self.separate = True
            self._chosen.update(used)
            left, right = used
            return [
                Heard(_without_leak(channels[left], channels[right]), left),
                Heard(_without_leak(channels[right], channels[left]), right),
            ]
        return [self._best(channels, speech)]

    def notice(self, name: str, channel_names: tuple[str, ...]) -> str:
        """Return a sentence about what was chosen in the recording `name`; "" if there was no choice."""
        names = [channel_names[number] for number in sorted(self._chosen) if number < len(channel_names)]
        if self.separate or len(names) > 1:
            return f"The channels of {name} hold different speech: {' and '.join(names)} were transcribed separately."
        if names:
            reason = "are silent" if self._others_silent else "have less speech or none"
            return f"Only the {names[0].removesuffix(' channel')} channel of {name} was transcribed: others {reason}."
        if self._inverted:
            return f"The channels of {name} cancel each other: they were turned the same way before mixing."
        return ""

    def _single(self, channels: "ChannelSamples", number: int, *, alone: bool) -> Heard:
        if len(channels) > 1:
            self._chosen.add(number)
            self._others_silent = self._others_silent and alone
        return Heard(adjust_level(channels[number]), number if len(channels) > 1 else None)

    def _speak_for_themselves(self, channels: "ChannelSamples", speech: "dict[int, SpeechFrames]") -> bool:
        """Tell whether two channels hold the speech of different people."""
        first, second = speech
        if min(speech[first].sum(), speech[second].sum()) < _MIN_SPEECH_FRAMES:
            return False
        if abs(correlation(channels[first], channels[second])) >= ALIKE_CORRELATION:
            return False
        return not _same_speech(channels[first], channels[second], speech[first] | speech[second])

    def _best(self, channels: "ChannelSamples", speech: "dict[int, SpeechFrames]") -> Heard:
        """Return the mix of all, or of those that have the speech, or the one that has it."""
        import numpy as np

        frames = {number: int(found.sum()) for number, found in speech.items()}
        best = max(frames, key=lambda number: frames[number])
        mix = mix_channels(channels)
        in_mix = int(self._find_speech(mix.samples).sum())
        if not in_mix and not frames[best]:
            # What both channels have in common may hide what only their difference holds.
            plain = adjust_level(channels.mean(axis=0))
            return Heard(plain) if self._find_speech(plain).any() else Heard(mix.samples)
        clear = [number for number in frames if frames[number] >= _AS_GOOD * frames[best]]
        best = max(clear, key=lambda number: _contrast(channels[number], speech[number]))
        is_cleaner = _contrast(channels[best], speech[best]) > _CLEANER * _contrast(mix.samples, speech[best])
        if in_mix >= _AS_GOOD * frames[best] and not is_cleaner:
            self._inverted = self._inverted or bool(mix.inverted and len(channels) == 2)
            return Heard(mix.samples)
        # Other microphones of the same meeting, in which others speak.
        missed = [
            number
            for number, found in speech.items()
            if (found & ~speech[best]).sum() >= max(_MIN_SPEECH_FRAMES, 0.3 * frames[best])
        ]
        if missed and len(channels) > 2:
            together = sorted({best, *missed})
            return Heard(adjust_level(np.mean([adjust_level(channels[number]) for number in together], axis=0)))
        return self._single(channels, best, alone=False)


def find_speech_frames(samples: "Samples") -> "SpeechFrames":
    """Find speech with Silero, which takes 2 ms for a second of audio."""
    import numpy as np
    from faster_whisper.vad import get_vad_model

    padded = np.pad(samples, (0, -samples.size % _SPEECH_FRAME_SAMPLES or _SPEECH_FRAME_SAMPLES))
    return np.asarray(get_vad_model()(padded)).reshape(-1) > 0.5


def _contrast(samples: "Samples", speech: "SpeechFrames") -> float:
    """Return how much louder the frames with speech are than those without it."""
    spoken = _level_frames(speech, samples.size)
    levels = frame_levels(samples)[: spoken.size]
    if spoken.all() or not spoken.any():
        return 1.0
    return float(levels[spoken].mean() / (levels[~spoken].mean() + 1e-6))


def _level_frames(speech: "SpeechFrames", size: int) -> "SpeechFrames":
    """Return for each frame of `frame_levels` of `size` samples whether somebody speaks."""
    import numpy as np

    return np.repeat(speech, _SPEECH_FRAME_SAMPLES)[:size:_LEVEL_FRAME_SAMPLES]


def _same_speech(first: "Samples", second: "Samples", speech: "SpeechFrames") -> bool:
    """Tell whether the levels of two channels rise and fall together where either of them speaks."""
    spoken = _level_frames(speech, first.size)
    first, second = (frame_levels(each)[: spoken.size][spoken] for each in (first, second))
    return correlation(first - first.mean(), second - second.mean()) > _SAME_SPEECH if spoken.any() else False


def _without_leak(own: "Samples", other: "Samples") -> "Samples":
    """Mute one side of a call where only the other one is heard, and its leak here."""
    import numpy as np

    own, other = adjust_level(own / (loud_level(own) or 1) * 0.1), adjust_level(other / (loud_level(other) or 1) * 0.1)
    own_levels = frame_levels(own)
    keep = (own_levels > _LEAK * frame_levels(other)) & (own_levels > _QUIET)
    kept = np.convolve(keep, np.ones(2 * _KEPT_FRAMES + 1), "same") > 0
    return (own * np.repeat(kept, _LEVEL_FRAME_SAMPLES)[: own.size]).astype(np.float32)
