"""Measure turns: how often the end of one is recognized, and how long the answer takes, stage by stage.

The second half is that of `benchmarks.answers`. The first compares complete sentences with ones that break off.

A Piper voice, whose melody falls less at an "um" than that of the bundled one, says each sentence of
`benchmarks.utterances` in three ways: complete; cut off in the middle, with the melody of somebody who is interrupted
by a thought; and its first part with an "um" behind it. After each comes the pause after which Parley begins to
transcribe. Silence alone would end all of them after the same time.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from assistant.progress import no_progress
from assistant.settings import load
from benchmarks import answers
from benchmarks.figures import Figure
from benchmarks.utterances import (
    QUESTIONS,
    STATEMENTS,
    first_part,
    full_text,
    quiet_room,
    synthesize,
    synthesize_broken_off,
)
from parley.factory.voice import build_stt, build_tts
from voice.turns.endpointing import DEFAULT_SILENCE, LONG_SILENCE, SHORT_SILENCE, silence_timeout
from voice.turns.smart_turn import SmartTurn, fetch_bundled
from voice.turns.vad import VadParams

if TYPE_CHECKING:
    from voice.audio.types import Samples
    from voice.tts.base import TextToSpeech

# Questions and statements alternate, so that any number of them holds as many of each.
UTTERANCES = tuple(utterance for pair in zip(QUESTIONS, STATEMENTS, strict=True) for utterance in pair)
UTTERANCES_PER_RUN = 10

VARIANTS: "dict[str, Callable[[str, TextToSpeech], Samples]]" = {
    "whole": lambda utterance, voice: synthesize(full_text(utterance), voice),
    "broken off": synthesize_broken_off,
    "begun, um": lambda utterance, voice: synthesize(f"{first_part(utterance)}, um,", voice),
}


def measure(runs: int) -> list[Figure]:
    """Return the rates of both kinds of sentences, and the stages of answers."""
    return [*measure_ends(runs), *answers.measure(runs)]


def measure_ends(runs: int) -> list[Figure]:
    """Return, for each variant, the share of sentences that end after a short, a default and a long silence.

    Each run adds ten sentences, as long as there are any.
    """
    utterances = UTTERANCES[: UTTERANCES_PER_RUN * runs]
    settings = load({"voice": "piper"}).settings
    tts, stt = build_tts(settings), build_stt(settings, word_times=False)
    end_of_turn = SmartTurn.load(fetch_bundled(settings.cache_dir, no_progress))
    params = VadParams()
    figures = []
    for variant, synthesize_variant in VARIANTS.items():
        sounds_done, reads_done, timeouts = [], [], []
        for utterance in utterances:
            speech = synthesize_variant(utterance, tts)
            samples = np.concatenate([quiet_room(params.pre_roll_secs), speech, quiet_room(params.pause_secs)])
            completion_probability = end_of_turn(samples)
            transcript = stt.transcribe(samples, "en")
            sounds_done.append(completion_probability >= 0.5)
            reads_done.append(silence_timeout(transcript, None) != LONG_SILENCE)
            timeouts.append(silence_timeout(transcript, completion_probability))
            print(f"{variant:12} {completion_probability:.2f}  {timeouts[-1]:.2f} s  {transcript.text}", flush=True)
        figures += [
            _share(f"{variant}: sounds done", sounds_done),
            _share(f"{variant}: reads done", reads_done),
            *(
                _share(f"{variant}: over after {seconds} s", [timeout == seconds for timeout in timeouts])
                for seconds in (SHORT_SILENCE, DEFAULT_SILENCE, LONG_SILENCE)
            ),
        ]
    return figures


def _share(name: str, results: list[bool]) -> Figure:
    """Return the percentage of true results."""
    return Figure(f"{name}, of {len(results)}", "%", (100 * sum(results) / len(results),))
