"""Recordings of any length, in stretches that are cut where it is quiet.

Whisper wants all of what it works on in memory, eight hours as well as eight seconds. Stretches bound that, and let the
first words come while the rest is still being read.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from voice.audio.types import HEARING_RATE
from voice.stt.base import SURE_LANGUAGE, SpeechToText, Transcript, shifted

if TYPE_CHECKING:
    from assistant.progress import Progress
    from voice.audio.decode import Recording
    from voice.audio.types import Samples

# Whisper's window is 30 s: the first stretch is one, for early words; later ones are four, since each cut may cost
# the rest of a window.
FIRST_STRETCH_SECONDS = 30
STRETCH_SECONDS = 120
# A pause is looked for in the last part of a stretch, this long, with this much silence around the cut.
_SEARCH_SECONDS = 10
_PAUSE_SECONDS = 0.3


def transcribe(
    engine: SpeechToText, recording: "Recording", progress: "Progress", language: str | None = None
) -> Iterator[Transcript]:
    """What is said in `recording`, stretch by stretch and timed from its beginning; nothing for one without speech.

    Without `language` it is detected, and kept from where it is sure. `progress` hears of whole seconds. Raises
    `VoiceError`.
    """
    offset = 0
    kept: float | None = None
    for stretch in _stretches(recording):
        heard = engine.transcribe(stretch, language)
        if heard.segments:
            if kept is not None:
                # It is no surer for being asked for.
                heard = replace(heard, language_probability=kept)
            elif language is None and heard.language_probability >= SURE_LANGUAGE:
                language, kept = heard.language, heard.language_probability
            seconds = offset / HEARING_RATE
            yield replace(heard, segments=tuple(shifted(segment, seconds) for segment in heard.segments))
        offset += stretch.size
        done = offset // HEARING_RATE
        # A header may claim less than there is.
        progress(recording.name, done, max(done, round(recording.seconds)))
    # Known only now where the header does not say it.
    recording.seconds = offset / HEARING_RATE


def _stretches(recording: "Recording") -> "Iterator[Samples]":
    import numpy as np

    waiting: list[Samples] = []
    length = 0
    wanted = FIRST_STRETCH_SECONDS * HEARING_RATE
    for block in recording.blocks():
        waiting.append(block)
        length += block.size
        while length >= wanted:
            gathered = np.concatenate(waiting)
            cut = quietest(gathered[:wanted])
            yield gathered[:cut]
            waiting = [gathered[cut:]]
            length = waiting[0].size
            wanted = STRETCH_SECONDS * HEARING_RATE
    if length:
        yield np.concatenate(waiting)


def quietest(samples: "Samples") -> int:
    """Where to cut: the middle of the quietest pause near the end of `samples`, as an index into them."""
    import numpy as np

    pause = int(_PAUSE_SECONDS * HEARING_RATE)
    begin = max(0, samples.size - _SEARCH_SECONDS * HEARING_RATE)
    energy = np.cumsum(np.square(samples[begin:], dtype=np.float64))
    if energy.size <= pause:
        return samples.size
    # Of equally quiet ones the last, which leaves the longest stretch.
    around = (energy[pause:] - energy[:-pause])[::-1]
    return int(begin + (around.size - 1 - int(np.argmin(around))) + pause // 2)
