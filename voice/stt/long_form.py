"""Transcribe audio files of any length in chunks that are cut at pauses.

Whisper needs everything it works on in memory, for eight hours as for eight seconds. Chunks bound that, and deliver the
first words while the rest of the file is still being decoded:

    blocks ─▶ first 30 s ─▶ cut in the quietest 0.3 s of the last 10 s ─▶ transcribe, shift the times by the offset
                └─ the rest after the cut begins the next chunk, of up to 120 s

Example: a first window of 30 s with a pause at 24.0-24.5 s is cut at about 24.25 s. The words up to there come with
their own times; those of the second chunk are shifted by 24.25 s.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from voice.audio.decode import join_blocks
from voice.audio.types import SAMPLE_RATE
from voice.stt.base import (
    MIN_LANGUAGE_PROBABILITY,
    SpeechToText,
    Transcript,
    join_transcripts,
    shift_segment,
)
from voice.stt.channels import ChannelChooser

if TYPE_CHECKING:
    from assistant.progress import Progress
    from voice.audio.decode import AudioFile
    from voice.audio.types import ChannelSamples, Samples

# The first chunk is one of Whisper's windows (30 s), for early words. Later chunks are four windows, because each cut
# may cost the rest of a window.
FIRST_CHUNK_SECONDS = 30
CHUNK_SECONDS = 120
# The cut is searched in the last seconds of a chunk, in the middle of the quietest pause of this length.
_SEARCH_SECONDS = 10
_PAUSE_SECONDS = 0.3
# Chunks of more channels than this are shorter, to take the same memory.
_FULL_CHANNELS = 8
# Blocks of the decoder are milliseconds long: joining each to a chunk would copy the chunk every time.
_BLOCK_SECONDS = 5


def transcribe(
    engine: SpeechToText, audio: "AudioFile", progress: "Progress", language: str | None = None
) -> Iterator[Transcript]:
    """Transcribe a file chunk by chunk. Chunks without speech yield nothing.

    After the last chunk, `audio.seconds` is the true duration, and `audio.notices` says what was chosen.

    Args:
        engine: The recognizer.
        audio: An open file. If nobody speaks on its track, the next one is tried.
        progress: Called after each chunk with the file's name and full seconds.
        language: Code of the spoken language. None detects it, and keeps the first one that is detected with at least
            `MIN_LANGUAGE_PROBABILITY`.

    Yields:
        Transcripts whose times count from the beginning of the file.

    Raises:
        VoiceError: The file cannot be decoded, or the engine fails.
    """
    silent: list[int] = []
    while True:
        any_speech = False
        for transcript in _transcribe_track(engine, audio, progress, language):
            any_speech = True
            yield transcript
        if any_speech:
            break
        silent.append(audio.track)
        if not audio.use_next_track():
            break
    audio.notices += _track_notices(audio, silent, any_speech=any_speech)


def _track_notices(audio: "AudioFile", silent: list[int], *, any_speech: bool) -> list[str]:
    if len(audio.tracks) == 1 or not any_speech:
        return []
    chosen = audio.describe_track(audio.track)
    if silent:
        numbers = " and ".join(str(number) for number in sorted(silent))
        return [f"Nobody speaks on track {numbers} of {audio.name}: {chosen} was transcribed."]
    if audio.track_was_named:
        return []
    others = ", ".join(audio.describe_track(track) for track in sorted(audio.tracks) if track != audio.track)
    return [f"{audio.name} has {len(audio.tracks)} audio tracks: {chosen} was transcribed; --track takes {others}."]


def _transcribe_track(
    engine: SpeechToText, audio: "AudioFile", progress: "Progress", language: str | None
) -> Iterator[Transcript]:
    chooser = ChannelChooser()
    offset = round(audio.start_seconds * SAMPLE_RATE)
    start = offset
    kept_probability: float | None = None
    for chunk in _chunks(audio):
        transcript = _transcribe_chunk(engine, chunk, chooser, language)
        if transcript.segments:
            if kept_probability is not None:
                # The engine reports 1 for a language that it is given; the detection was less certain.
                transcript = replace(transcript, language_probability=kept_probability)
            elif language is None and transcript.language_probability >= MIN_LANGUAGE_PROBABILITY:
                language, kept_probability = transcript.language, transcript.language_probability
            seconds = offset / SAMPLE_RATE
            segments = tuple(
                replace(shift_segment(each, seconds), channel=_channel_name(audio, each.channel))
                for each in transcript.segments
            )
            yield replace(transcript, segments=segments)
        offset += chunk.shape[1]
        done = (offset - start) // SAMPLE_RATE
        # A header may claim less than the file holds.
        progress(audio.name, done, max(done, round(audio.seconds)))
    audio.seconds = (offset - start) / SAMPLE_RATE
    if notice := chooser.notice(audio.name, audio.channel_names):
        audio.notices.append(notice)


def _transcribe_chunk(
    engine: SpeechToText, chunk: "ChannelSamples", chooser: ChannelChooser, language: str | None
) -> Transcript:
    """Transcribe what was chosen of a chunk; channels that speak for themselves are joined in order of time."""
    transcripts = []
    for heard in chooser.choose(chunk):
        transcript = engine.transcribe(heard.samples, language)
        if heard.channel is not None and chooser.separate:
            segments = tuple(replace(each, channel=str(heard.channel)) for each in transcript.segments)
            transcript = replace(transcript, segments=segments)
        transcripts.append(transcript)
    joined = join_transcripts(transcripts)
    return replace(joined, segments=tuple(sorted(joined.segments, key=lambda segment: segment.start)))


def _channel_name(audio: "AudioFile", number: str) -> str:
    return audio.channel_names[int(number)] if number else ""


def _chunks(audio: "AudioFile") -> "Iterator[ChannelSamples]":
    """Cut the audio at pauses: a chunk of `FIRST_CHUNK_SECONDS`, then of `CHUNK_SECONDS`, less of many channels."""
    import numpy as np

    held: ChannelSamples | None = None
    max_seconds = FIRST_CHUNK_SECONDS
    for block in join_blocks(audio.channel_blocks(), _BLOCK_SECONDS * SAMPLE_RATE):
        if held is not None and held.shape[0] != block.shape[0]:
            yield held
            held = None
        held = block if held is None else np.concatenate([held, block], axis=1)
        size = SAMPLE_RATE * max_seconds * _FULL_CHANNELS // max(_FULL_CHANNELS, held.shape[0])
        while held.shape[1] >= size:
            cut = find_quietest_cut(np.abs(held[:, :size]).max(axis=0))
            yield held[:, :cut]
            held = held[:, cut:]
            max_seconds = CHUNK_SECONDS
            size = SAMPLE_RATE * max_seconds * _FULL_CHANNELS // max(_FULL_CHANNELS, held.shape[0])
    if held is not None and held.size:
        yield held


def find_quietest_cut(samples: "Samples") -> int:
    """Return the index of the middle of the quietest pause in the last `_SEARCH_SECONDS` of `samples`.

    Of equally quiet pauses the last one counts, which leaves the longest chunk. Samples shorter than a pause are not
    cut: the result is their length.
    """
    import numpy as np

    pause = int(_PAUSE_SECONDS * SAMPLE_RATE)
    search_start = max(0, samples.size - _SEARCH_SECONDS * SAMPLE_RATE)
    energy = np.cumsum(np.square(samples[search_start:], dtype=np.float64))
    if energy.size <= pause:
        return samples.size
    # Energy of each pause, reversed so that argmin finds the last of equal ones.
    pause_energy = (energy[pause:] - energy[:-pause])[::-1]
    return int(search_start + (pause_energy.size - 1 - int(np.argmin(pause_energy))) + pause // 2)
