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
from parley.factory import build_ears, build_mouth
from voice.turns.endpointing import ORDINARY, PATIENT, SOON, patience
from voice.turns.smart_turn import SmartTurn, fetch_embedded
from voice.turns.vad import Pace

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
    voice, ears = build_mouth(settings), build_ears(settings)
    judge = SmartTurn.load(fetch_embedded(settings.cache_dir, no_progress))
    pace = Pace()
    figures = []
    for way, say in WAYS.items():
        sounds, waits, words_alone = [], [], []
        for utterance in utterances:
            heard = np.concatenate([silence(pace.lead), say(utterance, voice), silence(pace.pause)])
            done = judge(heard)
            words = ears.transcribe(heard, "en")
            sounds.append(done >= 0.5)
            words_alone.append(patience(words, None) != PATIENT)
            waits.append(patience(words, done))
            print(f"{way:12} {done:.2f}  {waits[-1]:.2f} s  {words.text}", flush=True)
        figures += [
            share(f"{way}: sounds done", sounds),
            share(f"{way}: reads done", words_alone),
            *(
                share(f"{way}: over after {seconds} s", [wait == seconds for wait in waits])
                for seconds in (SOON, ORDINARY, PATIENT)
            ),
        ]
    return figures


def share(name: str, of: list[bool]) -> Figure:
    """How many of them."""
    return Figure(f"{name}, of {len(of)}", "%", (100 * sum(of) / len(of),))
