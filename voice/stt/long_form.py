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

from voice.audio.types import SAMPLE_RATE
from voice.stt.base import MIN_LANGUAGE_PROBABILITY, SpeechToText, Transcript, shift_segment

if TYPE_CHECKING:
    from assistant.progress import Progress
    from voice.audio.decode import AudioFile
    from voice.audio.types import Samples

# The first chunk is one of Whisper's windows (30 s), for early words. Later chunks are four windows, because each cut
# may cost the rest of a window.
FIRST_CHUNK_SECONDS = 30
CHUNK_SECONDS = 120
# The cut is searched in the last seconds of a chunk, in the middle of the quietest pause of this length.
_SEARCH_SECONDS = 10
_PAUSE_SECONDS = 0.3


def transcribe(
    engine: SpeechToText, audio: "AudioFile", progress: "Progress", language: str | None = None
) -> Iterator[Transcript]:
    """Transcribe a file chunk by chunk. Chunks without speech yield nothing.

    After the last chunk, `audio.seconds` is the true duration.

    Args:
        engine: The recognizer.
        audio: An open file.
        progress: Called after each chunk with the file's name and full seconds.
        language: Code of the spoken language. None detects it, and keeps the first one that is detected with at least
            `MIN_LANGUAGE_PROBABILITY`.

    Yields:
        Transcripts whose times count from the beginning of the file.

    Raises:
        VoiceError: The file cannot be decoded, or the engine fails.
    """
    offset = 0
    kept_probability: float | None = None
    for chunk in _chunks(audio):
        transcript = engine.transcribe(chunk, language)
        if transcript.segments:
            if kept_probability is not None:
                # The engine reports 1 for a language that it is given; the detection was less certain.
                transcript = replace(transcript, language_probability=kept_probability)
            elif language is None and transcript.language_probability >= MIN_LANGUAGE_PROBABILITY:
                language, kept_probability = transcript.language, transcript.language_probability
            seconds = offset / SAMPLE_RATE
            segments = tuple(shift_segment(segment, seconds) for segment in transcript.segments)
            yield replace(transcript, segments=segments)
        offset += chunk.size
        done = offset // SAMPLE_RATE
        # A header may claim less than the file holds.
        progress(audio.name, done, max(done, round(audio.seconds)))
    audio.seconds = offset / SAMPLE_RATE


def _chunks(audio: "AudioFile") -> "Iterator[Samples]":
    import numpy as np

    blocks: list[Samples] = []
    size = 0
    max_size = FIRST_CHUNK_SECONDS * SAMPLE_RATE
    for block in audio.blocks():
        blocks.append(block)
        size += block.size
        while size >= max_size:
            buffer = np.concatenate(blocks)
            cut = find_quietest_cut(buffer[:max_size])
            yield buffer[:cut]
            blocks = [buffer[cut:]]
            size = blocks[0].size
            max_size = CHUNK_SECONDS * SAMPLE_RATE
    if size:
        yield np.concatenate(blocks)


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
