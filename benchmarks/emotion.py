"""Time of the emotion skill for a sentence, a face and a recording of five seconds, with everything loaded.

The content does not matter: the face detector searches noise and finds nothing, the face network classifies noise, and
the voice classifier gets a tone that counts as speech.
"""

import time
from collections.abc import Callable

import numpy as np
import PIL.Image
import torch

from assistant.settings import load
from benchmarks.figures import Figure
from parley.factory.emotion import EmotionBackends
from parley.factory.voice import assemble_whisper
from skills.emotions.face import FaceEmotionClassifier
from skills.emotions.face_network import FACE_SIDE, face_logits
from skills.emotions.text import classify_text
from skills.emotions.voice import VoiceEmotionClassifier
from voice.audio.types import SAMPLE_RATE
from voice.stt.whisper import Whisper

SENTENCE = "I really did not expect that you would come all the way to see me today!"
SECONDS = 5


def measure(runs: int) -> list[Figure]:
    """Return the milliseconds of each classifier."""
    settings = load().settings
    models = EmotionBackends(settings)
    face_classifier = FaceEmotionClassifier.load()
    whisper = Whisper.load(str(assemble_whisper(settings)), device="cpu")
    voice_classifier = VoiceEmotionClassifier(whisper.encode, lambda samples: [(0, samples.size)])
    rng = np.random.default_rng(0)
    image = PIL.Image.fromarray(rng.integers(0, 256, (512, 512, 3), np.uint8))
    face = torch.from_numpy(rng.integers(0, 256, (1, FACE_SIDE, FACE_SIDE), np.uint8))
    samples = (0.1 * np.sin(np.arange(SECONDS * SAMPLE_RATE) * 0.05)).astype(np.float32)
    return [
        Figure("a sentence of 75 characters", "ms", timed(lambda: classify_text(SENTENCE, models.hidden_states), runs)),
        Figure("looking for faces in 512 x 512 pixels", "ms", timed(lambda: face_classifier.classify(image), runs)),
        Figure("a face that was found", "ms", timed(lambda: face_logits(face_classifier.network, face), runs)),
        Figure("the voice in five seconds", "ms", timed(lambda: voice_classifier.classify(samples), runs)),
    ]


def timed(work: Callable[[], object], runs: int) -> tuple[float, ...]:
    """Return the milliseconds of each run, after one to warm up."""
    work()
    milliseconds = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        milliseconds.append(1000 * (time.perf_counter() - started))
    return tuple(milliseconds)
