"""What it costs to tell how somebody feels who is spoken with, and how many of those who are calm are taken for upset.

Calm are questions put by the bundled voice, which no actor taught anything, and people reading (Debian's
`pocketsphinx-testdata`, left out where it is not installed). What each says is one conversation: it is judged as there,
by words and voice, and again by the voice alone, as those are who speak another language than English. Beside that
stands how the same voices fare as single recordings, of which nobody knows how their speakers usually sound. Words are
the written ones. How many of those who are upset are noticed is among the figures of `training.fusion`.
"""

import time
from itertools import groupby

from assistant.settings import load
from benchmarks.figures import Figure
from benchmarks.hearing import Clip, recorded
from benchmarks.utterances import QUESTIONS, spoken, whole
from parley.factory.emotion import build_emotion_detector, build_voice_emotion_classifier
from parley.factory.models import build_model
from parley.factory.voice import build_tts
from voice.empathy import DetectedEmotion


def measure(runs: int) -> list[Figure]:  # noqa: ARG001 - the utterances are the runs
    """Milliseconds of each, and how many percent of each kind are taken for upset."""
    settings = load({"model": "pocket"}).settings
    model, feel, voice = build_model(settings), build_emotion_detector(settings), build_tts(settings)
    alone = build_voice_emotion_classifier(settings)
    asked = [Clip(whole(words), spoken(whole(words), voice), "the voice") for words in QUESTIONS]
    took: list[float] = []
    figures = []
    for kind, clips in (("the voice", asked), ("people reading", recorded())):
        shares: dict[str, list[bool]] = {"by words and voice": [], "by the voice": [], "as single recordings": []}
        for _, said in groupby(clips, key=lambda clip: clip.speaker):
            conversation = list(said)
            for way, with_words in (("by words and voice", True), ("by the voice", False)):
                feel.prepare(model)
                for clip in conversation:
                    started = time.perf_counter()
                    mood = feel.detect(model, clip.words if with_words else "", clip.sound)
                    took.append(1000 * (time.perf_counter() - started))
                    if mood is not None:
                        shares[way].append(bool(mood.distress))
            for clip in conversation:
                if (tone := alone.classify(clip.sound)) is not None:
                    label = max(tone.probabilities, key=tone.probabilities.__getitem__)
                    shares["as single recordings"].append(
                        bool(DetectedEmotion(label, tone.probabilities[label]).distress)
                    )
        figures += [
            Figure(f"{kind}, {len(upset)} judged {way}, taken for upset", "%", (100 * sum(upset) / len(upset),))
            for way, upset in shares.items()
            if upset
        ]
    # The first one warms everything up and is not counted.
    return [Figure("to tell the mood of an utterance", "ms", tuple(took[1:])), *figures]
