"""What it costs to tell how somebody feels who speaks, and how many of those who are calm are taken for upset.

Calm are questions put by the embedded voice, which no actor taught anything, and people reading (Debian's
`pocketsphinx-testdata`, left out where it is not installed). Some are judged by their words and their voice, as those
who speak English are, and again by the voice alone, as others are. Words are the written ones, not what Whisper hears.
How many of those who are upset are noticed is among the figures of `training.fusion`.
"""

import time

from assistant import app
from assistant.settings import load
from benchmarks.figures import Figure
from benchmarks.hearing import Clip, recorded
from benchmarks.utterances import QUESTIONS, spoken, whole


def measure(runs: int) -> list[Figure]:  # noqa: ARG001 - the utterances are the runs
    """Milliseconds of each, and how many percent of each kind are taken for upset."""
    settings = load({"model": "pocket"}).settings
    model, feel, voice = app.build_model(settings), app.build_feel(settings), app.build_mouth(settings)
    feel.prepare(model)
    asked = [Clip(whole(words), spoken(whole(words), voice)) for words in QUESTIONS]
    # The first one warms everything up and is not counted.
    feel(model, asked[0].words, asked[0].sound)
    took: list[float] = []
    figures = []
    for kind, clips in (("the voice", asked), ("people reading", recorded())):
        for by, words in (("words and voice", True), ("voice alone", False)):
            upset = []
            for clip in clips:
                started = time.perf_counter()
                mood = feel(model, clip.words if words else "", clip.sound)
                if words:
                    took.append(1000 * (time.perf_counter() - started))
                upset.append(mood is not None and bool(mood.upset))
            if clips:
                share = 100 * sum(upset) / len(upset)
                figures.append(Figure(f"{kind}, {len(clips)} clips, taken for upset by {by}", "%", (share,)))
    return [Figure("to tell the mood of an utterance", "ms", tuple(took)), *figures]
