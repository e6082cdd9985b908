"""How often the end of a turn is known: whole sentences against ones that break off, as they sound and as they read.

The bundled voice says each sentence of `benchmarks.utterances` three times: whole; cut off in the middle (the melody
of somebody who is interrupted by a thought); and begun with an "um" behind it. Each is followed by the pause after
which Parley begins to listen for words. Silence alone would end all of them after the same time.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from assistant.progress import no_progress
from assistant.settings import load
from benchmarks.figures import Figure
from benchmarks.utterances import QUESTIONS, STATEMENTS, begun, broken_off, silence, spoken, whole
from parley.factory.voice import build_stt, build_tts
from voice.turns.endpointing import DEFAULT_SILENCE, LONG_SILENCE, SHORT_SILENCE, silence_timeout
from voice.turns.smart_turn import SmartTurn, fetch_bundled
from voice.turns.vad import VadParams

if TYPE_CHECKING:
    from voice.audio.types import Samples
    from voice.tts.base import TextToSpeech

# A question and a statement in turns, so that any number of them is as many of each.
UTTERANCES = tuple(utterance for pair in zip(QUESTIONS, STATEMENTS, strict=True) for utterance in pair)
FOR_EACH_RUN = 10

Say = Callable[[str, "TextToSpeech"], "Samples"]
WAYS: dict[str, Say] = {
    "whole": lambda utterance, voice: spoken(whole(utterance), voice),
    "broken off": broken_off,
    "begun, um": lambda utterance, voice: spoken(f"{begun(utterance)}, um,", voice),
}


def measure(runs: int) -> list[Figure]:
    """For each way of saying them, the share of sentences that end soon, after an ordinary pause, and that wait.

    Ten sentences are asked for each of the `runs`, as far as there are.
    """
    utterances = UTTERANCES[: FOR_EACH_RUN * runs]
    settings = load().settings
    voice, ears = build_tts(settings), build_stt(settings)
    judge = SmartTurn.load(fetch_bundled(settings.cache_dir, no_progress))
    params = VadParams()
    figures = []
    for way, say in WAYS.items():
        sounds, waits, words_alone = [], [], []
        for utterance in utterances:
            heard = np.concatenate([silence(params.pre_roll_secs), say(utterance, voice), silence(params.pause_secs)])
            done = judge(heard)
            words = ears.transcribe(heard, "en")
            sounds.append(done >= 0.5)
            words_alone.append(silence_timeout(words, None) != LONG_SILENCE)
            waits.append(silence_timeout(words, done))
            print(f"{way:12} {done:.2f}  {waits[-1]:.2f} s  {words.text}", flush=True)
        figures += [
            share(f"{way}: sounds done", sounds),
            share(f"{way}: reads done", words_alone),
            *(
                share(f"{way}: over after {seconds} s", [wait == seconds for wait in waits])
                for seconds in (SHORT_SILENCE, DEFAULT_SILENCE, LONG_SILENCE)
            ),
        ]
    return figures


def share(name: str, of: list[bool]) -> Figure:
    """How many of them."""
    return Figure(f"{name}, of {len(of)}", "%", (100 * sum(of) / len(of),))
