"""Decode audio and video files of any format to 16 kHz, block by block, with PyAV (which contains FFmpeg).

Only the file itself is read: a playlist that names other files or addresses yields nothing.

    open_audio ─▶ AudioFile ─┬─▶ channel_blocks()   every channel of one track, for who chooses among them
                             └─▶ blocks()           one channel, mixed so that channels do not cancel each other
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from assistant.errors import VoiceError
from voice.audio.containers import (
    MAX_SECONDS,
    describe_track,
    expected_seconds,
    is_protected,
    lacks_end_mark,
    open_container,
    open_seekable,
    tracks_in_order,
)
from voice.audio.downmix import mix_channels
from voice.audio.resample import ChannelResampler
from voice.audio.types import SAMPLE_RATE

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import InputContainer

    from voice.audio.types import ChannelSamples, Samples

# A file is called cut short if more than this is missing.
_MISSING_SECONDS = 1.0
_MISSING_SHARE = 0.02
# `blocks` decides once for so much audio how the channels are mixed.
_MIXED_SECONDS = 30


@dataclass
class _Decoding:
    """Progress of the decoding.

    Attributes:
        expected_seconds: Duration that the file states, 0 if it does not.
        errors: Number of packets that could not be decoded.
        seconds: Duration of the audio so far.
        ended: True once the end was reached.
    """

    expected_seconds: float
    errors: int = 0
    seconds: float = 0.0
    ended: bool = False


class AudioFile:
    """An open file with one or more audio tracks, one of which is decoded.

    Attributes:
        name: What error messages call the file.
        seconds: Duration of the track according to the file's header, 0 if it does not say.
        tracks: Numbers of the audio tracks, from 1, in the order in which they are tried.
        track: Number of the track that is decoded.
        track_was_named: True if the track was not chosen here.
        notices: What was chosen, in sentences.
        channel_names: Names of the channels, such as "left"; known once decoding has begun.
    """

    def __init__(self, file: IO[bytes], name: str, track: int | None = None) -> None:
        """Open the track with the number `track`; None selects the main one. Raises `VoiceError`."""
        self._file = file
        self.name = name
        self._container: InputContainer = open_container(file, name)
        self.tracks = tracks_in_order(self._container)
        if not self.tracks:
            has_audio = bool(self._container.streams.audio)
            self._container.close()
            if has_audio:
                raise VoiceError(f"The audio of {name} is in a format that cannot be decoded: save it as WAV or FLAC.")
            raise VoiceError(f"{name} contains no audio: give an audio file, or a video with an audio track.")
        if track is not None and track not in self.tracks:
            self._container.close()
            tracks = "one audio track" if len(self.tracks) == 1 else f"{len(self.tracks)} audio tracks"
            raise VoiceError(f"{name} has no audio track {track}: it has {tracks}.")
        self.track_was_named = track is not None
        self.notices: list[str] = []
        self._start(track or self.tracks[0])

    def _start(self, track: int) -> None:
        self.track = track
        self.channel_names: tuple[str, ...] = ()
        stream = self._container.streams.audio[track - 1]
        if is_protected(stream):
            raise VoiceError(f"{self.name} is protected against copying (DRM): give a recording without protection.")
        self._decoding = _Decoding(expected_seconds(self._file, self._container, stream))
        self.seconds = self._decoding.expected_seconds or max(0.0, (self._container.duration or 0) / 1_000_000)

    @property
    def start_seconds(self) -> float:
        """Time at which the track begins in the file: the sound of a video may begin after its picture."""
        stream = self._container.streams.audio[self.track - 1]
        start = float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0
        return min(max(0.0, start - (self._container.start_time or 0) / 1_000_000), MAX_SECONDS)

    def use_next_track(self) -> bool:
        """Go on with the next track, from its beginning. False if this was the last one."""
        following = self.tracks[self.tracks.index(self.track) + 1 :]
        if not following or self.track_was_named:
            return False
        self._container.close()
        self._file.seek(0)
        self._container = open_container(self._file, self.name)
        self._start(following[0])
        return True

    def describe_track(self, track: int) -> str:
        """Return "track 2 (eng, Commentary)"."""
        return describe_track(self._container, track)

    def close(self) -> None:
        """Free the decoder. The file stays open."""
        self._container.close()

    def channel_blocks(self) -> "Iterator[ChannelSamples]":
        """Decode the whole track once, as 16 kHz in blocks of any length. The number of channels may change.

        Raises:
            VoiceError: The file is damaged and nothing can be decoded, or its audio cannot be converted.
        """
        resampler = ChannelResampler(SAMPLE_RATE)
        try:
            for frame in self._frames():
                self.channel_names = resampler.channel_names(frame)
                yield from self._counted(resampler.process(frame))
            yield from self._counted(resampler.flush())
        except ValueError as error:  # FFmpeg's own errors are ValueErrors too.
            raise VoiceError(
                f"The audio of {self.name} cannot be converted ({error}): save it as WAV or FLAC."
            ) from error
        self._decoding.ended = True
        if self._decoding.errors and not self._decoding.seconds:
            raise VoiceError(f"{self.name} is damaged and none of its audio can be decoded: fetch or record it again.")

    def _counted(self, blocks: "list[ChannelSamples]") -> "Iterator[ChannelSamples]":
        for block in blocks:
            self._decoding.seconds += block.shape[1] / SAMPLE_RATE
            yield block

    def blocks(self) -> "Iterator[Samples]":
        """Decode the whole track once, as 16 kHz mono in blocks of about half a minute. Raises `VoiceError`."""
        for chunk in join_blocks(self.channel_blocks(), _MIXED_SECONDS * SAMPLE_RATE):
            yield mix_channels(chunk).samples

    def damage(self) -> str:
        """Return a sentence about what could not be decoded of the part that was read; "" if nothing is missing."""
        decoded = self._decoding.seconds
        missing = self._decoding.expected_seconds - decoded if self._decoding.ended else 0.0
        if decoded and missing > max(_MISSING_SECONDS, _MISSING_SHARE * self._decoding.expected_seconds):
            return (
                f"{self.name} is damaged or cut short: only {decoded:.0f} of its "
                f"{self._decoding.expected_seconds:.0f} seconds could be decoded."
            )
        ends_early = self._decoding.ended and lacks_end_mark(self._file, self._container)
        if self._decoding.errors or ends_early:
            return f"{self.name} is damaged or cut short: parts that could not be decoded were left out."
        return ""

    def _frames(self) -> "Iterator[AudioFrame]":
        from av.error import FFmpegError

        stream = self._container.streams.audio[self.track - 1]
        packets = self._container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except IndexError:
                # PyAV met a track that was not there at the beginning of the file. It knows the number of tracks anew.
                packets = self._container.demux(stream)
                continue
            except FFmpegError:
                # The file is truncated or overwritten from here on. What came before is still usable.
                self._decoding.errors += 1
                return
            if self._decoding.expected_seconds:
                # What FFmpeg marks is the last packet of a file that ends too early, and of one of unknown length.
                self._decoding.errors += packet.is_corrupt
            try:
                frames = packet.decode()
            except FFmpegError:
                self._decoding.errors += 1
                continue
            yield from frames


def join_blocks(blocks: "Iterator[ChannelSamples]", size: int) -> "Iterator[ChannelSamples]":
    """Join blocks until they have at least `size` samples, or the number of channels changes."""
    import numpy as np

    held: list[ChannelSamples] = []
    for block in blocks:
        if held and held[0].shape[0] != block.shape[0]:
            yield np.concatenate(held, axis=1)
            held = []
        held.append(block)
        if sum(each.shape[1] for each in held) >= size:
            yield np.concatenate(held, axis=1)
            held = []
    if held:
        yield np.concatenate(held, axis=1)


@contextmanager
def open_audio(source: str | Path | IO[bytes], name: str = "", track: int | None = None) -> Iterator[AudioFile]:
    """Open an audio or video file.

    Args:
        source: A path, or a binary stream, which is read to its end.
        name: What error messages call it; the path by default.
        track: Number of the audio track, from 1; None selects the main one.

    Raises:
        VoiceError: The file cannot be opened, is empty, or has no audio that FFmpeg can decode.
    """
    name = name or str(source)
    with open_seekable(source, name) as file:
        audio = AudioFile(file, name, track)
        try:
            yield audio
        finally:
            audio.close()
