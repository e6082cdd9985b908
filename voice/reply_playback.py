"""Play the audio of one reply, and know how much of its text has been heard."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from assistant.errors import ParleyError, VoiceError
from voice.tts.base import SENTENCE_GAP_SECONDS

if TYPE_CHECKING:
    from voice.audio.types import Samples

# How often the output is checked while the reply is heard to its end: the device may be lost meanwhile.
_POLL_SECONDS = 0.25
# Resampling may hold back a few milliseconds: with less than this left, everything has been heard.
_REMAINDER_SECONDS = 0.05


class AudioSink(Protocol):
    """Plays audio: `voice.audio.streams.AudioOutput`."""

    @property
    def played_seconds(self) -> float:
        """Seconds heard of what was added since the last `clear`. Raises `VoiceError` while the device is lost."""
        ...

    def add(self, samples: "Samples") -> None:
        """Play samples after all that were added before. Raises `VoiceError` while the device is lost."""
        ...

    def clear(self) -> None:
        """Drop what has not been played, and end a pause."""
        ...


class PausableAudioSink(AudioSink, Protocol):
    """An audio sink that can be silent for a moment."""

    def pause(self) -> None:
        """Be silent at once."""
        ...

    def resume(self) -> None:
        """Go on after a pause."""
        ...


@dataclass
class _SpokenSentence:
    """Position of a sentence in the text (characters) and in the audio (seconds)."""

    start: int
    end: int
    starts_at: float
    ends_at: float


class ReplyPlayback:
    """The audio of one reply. If the voice or the output fails, the reply counts as delivered in writing from there."""

    def __init__(
        self,
        output: PausableAudioSink,
        sample_rate: int,
        *,
        on_start: Callable[[], None],
        on_error: Callable[[ParleyError], None],
    ) -> None:
        """Create a playback.

        Args:
            output: Plays this reply alone until `clear`.
            sample_rate: Of the samples to `add`, in Hz.
            on_start: Called when the first audio has been given to the output.
            on_error: Called with the first failure.
        """
        self._output = output
        self._sample_rate = sample_rate
        self._on_start = on_start
        self._on_error = on_error
        self._sentences: list[_SpokenSentence] = []
        self._added_seconds = 0.0
        self._paused = False
        self._left_out = False
        self.failed = False
        """True once voice or output have failed: nothing more is heard."""
        self.first_audio_at: float | None = None
        """Event-loop time of the first audio."""

    @property
    def is_audible(self) -> bool:
        """True once some of the reply was given to the output, unless something has failed since."""
        return self._added_seconds > 0 and not self.failed

    @property
    def has_audio(self) -> bool:
        """True once some of the reply was given to the output."""
        return self._added_seconds > 0

    def add(self, start: int, end: int, samples: "Samples") -> None:
        """Play the next samples of the sentence `text[start:end]`. Raises `VoiceError` while the device is lost."""
        self._output.add(samples)
        if not self._sentences or self._sentences[-1].start != start:
            starts_at = self._added_seconds + (SENTENCE_GAP_SECONDS if self.has_audio else 0.0)
            self._sentences.append(_SpokenSentence(start, end, starts_at, starts_at))
        self._added_seconds += samples.size / self._sample_rate
        self._sentences[-1].ends_at = self._added_seconds
        if self.first_audio_at is None:
            self.first_audio_at = asyncio.get_running_loop().time()
            self._on_start()

    def skip(self, start: int, end: int) -> None:
        """Add text without sound: it counts as heard with what comes before it."""
        self._sentences.append(_SpokenSentence(start, end, self._added_seconds, self._added_seconds))

    def leave_out(self, start: int, end: int, error: ParleyError) -> None:
        """Add text that the voice cannot read. The first time is reported."""
        self.skip(start, end)
        if not self._left_out:
            self._left_out = True
            self._on_error(error)

    def fail(self, error: ParleyError) -> None:
        """Give up speaking: a voice or a device has failed."""
        if not self.failed:
            self.failed = True
            self._on_error(error)

    def pause(self, *, paused: bool) -> None:
        """Pause the output, or resume it. Nothing happens if it already is."""
        if paused != self._paused:
            self._paused = paused
            if paused:
                self._output.pause()
            else:
                self._output.resume()

    def discard(self) -> None:
        """Drop all audio so far, heard or not, as if the reply began now."""
        self._output.clear()
        self._paused = False
        self._sentences = []
        self._added_seconds = 0.0

    def clear(self) -> None:
        """Be silent for good."""
        self._output.clear()

    def poll(self) -> float:
        """Return the seconds that have been heard. Notes a failure of the output."""
        try:
            return self._output.played_seconds
        except VoiceError as error:
            self.fail(error)
            return self._added_seconds

    async def wait_until_heard(self) -> None:
        """Wait until everything added has been heard, or the output has failed."""
        # Wait for what is left to play. A pause of the output makes it longer.
        while (left := self._added_seconds - self.poll()) > _REMAINDER_SECONDS:  # noqa: ASYNC110 - sound cards have no event
            await asyncio.sleep(min(left, _POLL_SECONDS))

    def delivered(self, text: str) -> str:
        """Return the part of `text` that has been heard, to the word: of a sentence as much as of its audio."""
        played = self.poll()
        if self.failed:
            return text
        heard = 0
        for sentence in self._sentences:
            if played < sentence.ends_at:
                # While only the gap before a sentence has been added, it has no duration yet.
                if played > sentence.starts_at:
                    words = text[sentence.start : sentence.end].split(" ")
                    share = (played - sentence.starts_at) / (sentence.ends_at - sentence.starts_at)
                    if count := int(share * len(words)):
                        heard = sentence.start + len(" ".join(words[:count]))
                break
            heard = sentence.end
        return text[:heard]
