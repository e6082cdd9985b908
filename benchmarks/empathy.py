"""Time of emotion detection in conversations, and the share of calm utterances that are judged upset.

Calm utterances are questions spoken by the bundled voice, which is no actor's, and people reading (Debian's
`pocketsphinx-testdata`; left out if it is not installed). The utterances of one speaker form a conversation. It is
judged by words and voice, and again by the voice alone, as for speakers of other languages than English. The same
utterances are also classified as single recordings, without a baseline. Words are the written ones.

The share of upset utterances that are noticed is among the figures of `training.fusion`.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import groupby

from assistant.models.base import ChatModel
from assistant.settings import load
from benchmarks.figures import Figure
from benchmarks.hearing import Clip, load_clips
from benchmarks.utterances import QUESTIONS, full_text, synthesize
from parley.factory.emotion import build_emotion_detector, build_voice_emotion_classifier
from parley.factory.models import build_model
from parley.factory.voice import build_tts
from skills.emotions.probabilities import most_likely
from voice.emotion import DetectedEmotion, EmotionDetector


def measure(runs: int) -> list[Figure]:  # noqa: ARG001 - the utterances are the runs
    """Return the milliseconds per utterance, and the percentage judged upset of each kind."""
    settings = load({"model": "pocket", "voice": "piper"}).settings
    model, detector, tts = build_model(settings), build_emotion_detector(settings), build_tts(settings)
    classifier = build_voice_emotion_classifier(settings)
    questions = [Clip(full_text(words), synthesize(full_text(words), tts), "the voice") for words in QUESTIONS]
    milliseconds: list[float] = []
    figures = []
    for kind, clips in (("the voice", questions), ("people reading", load_clips())):
        judged: dict[str, list[bool]] = {"by words and voice": [], "by the voice": [], "as single recordings": []}
        for _, group in groupby(clips, key=lambda clip: clip.speaker):
            conversation = list(group)
            for way, with_words in (("by words and voice", True), ("by the voice", False)):
                for emotion, elapsed in detect_all(detector, model, conversation, with_words=with_words):
                    milliseconds.append(elapsed)
                    if emotion is not None:
                        judged[way].append(bool(emotion.distress))
            for clip in conversation:
                if (vocal := classifier.classify(clip.samples)) is not None:
                    emotion = DetectedEmotion(*most_likely(vocal.probabilities))
                    judged["as single recordings"].append(bool(emotion.distress))
        figures += [
            Figure(f"{kind}, {len(upset)} judged {way}, taken for upset", "%", (100 * sum(upset) / len(upset),))
            for way, upset in judged.items()
            if upset
        ]
    # The first utterance warms everything up.
    return [Figure("to tell the mood of an utterance", "ms", tuple(milliseconds[1:])), *figures]


def detect_all(
    detector: EmotionDetector, model: ChatModel, conversation: Sequence[Clip], *, with_words: bool
) -> Iterator[tuple[DetectedEmotion | None, float]]:
    """Yield the emotion of each utterance of a new speaker, and the milliseconds it took."""
    detector.prepare(model)
    for clip in conversation:
        started = time.perf_counter()
        emotion = detector.detect(model, clip.words if with_words else "", clip.samples)
        yield emotion, 1000 * (time.perf_counter() - started)
