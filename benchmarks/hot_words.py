"""Measure what hot words do: names that are understood with and without them, and those that nobody said.

A voice says sentences with invented names; the same names are the hot words. Sentences without them, noise and music
count the names that are heard where none were said. `python -m benchmarks hearing` includes these figures.
"""

import re
from typing import TYPE_CHECKING

import numpy as np

from assistant.settings import load
from benchmarks.figures import Figure
from benchmarks.utterances import QUESTIONS, full_text, synthesize
from parley.factory.voice import build_stt
from voice.audio.types import SAMPLE_RATE

if TYPE_CHECKING:
    from voice.audio.types import Samples
    from voice.stt.base import SpeechToText
    from voice.tts.base import TextToSpeech

NAMES = ("Hottie", "Klara", "Zorblax", "Fluxomat", "Brewmeister", "Velkari", "Nimboola", "Trisko")
SENTENCES = (
    "My Hottie does not get warm any more.",
    "Good morning Klara, how are you today?",
    "How much does the Zorblax cost?",
    "I would like to return my Fluxomat.",
    "Is the Brewmeister better than the old one?",
    "Can I order a Velkari for my kitchen?",
    "Where is the button on the Nimboola?",
    "The Trisko makes a strange noise.",
    "Please send me a new lid for the Hottie.",
    "Does the Fluxomat work with cold water?",
    "My sister has a Zorblax and loves it.",
    "Thank you Klara, that is all.",
)


def measure_hot_words(tts: "TextToSpeech", stt: "SpeechToText") -> list[Figure]:
    """Return the shares of names that are understood and of false ones, without hot words (`stt`) and with them."""
    told = build_stt(load({"hotwords": ", ".join(NAMES)}).settings)
    spoken = [(sentence, synthesize(sentence, tts)) for sentence in SENTENCES]
    others = [synthesize(full_text(question), tts) for question in QUESTIONS[:12]]
    figures = []
    for label, engine in (("without hot words", stt), ("with hot words", told)):
        understood = [_names(engine.transcribe(samples, "en").text) == _names(words) for words, samples in spoken]
        false = [bool(_names(engine.transcribe(samples, "en").text)) for samples in (*others, *sounds_of_nobody())]
        figures += [
            Figure(f"invented names understood, of {len(spoken)}: {label}", "%", (100 * float(np.mean(understood)),)),
            Figure(
                f"clips without names in which one is heard, of {len(false)}: {label}",
                "%",
                (100 * float(np.mean(false)),),
            ),
        ]
    return figures


def sounds_of_nobody() -> "list[Samples]":
    """Return silence, noise, a hum, clicks and a melody, three seconds each."""
    generator = np.random.default_rng(0)
    seconds = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    notes = np.repeat([262, 330, 392, 523, 392, 330], SAMPLE_RATE // 2)
    sounds = (
        np.zeros(seconds.size),
        0.05 * generator.standard_normal(seconds.size),
        0.3 * np.sin(2 * np.pi * 50 * seconds),
        0.8 * (generator.random(seconds.size) > 0.9995),
        0.3 * np.sin(2 * np.pi * np.cumsum(notes) / SAMPLE_RATE),
    )
    return [sound.astype(np.float32) for sound in sounds]


def _names(text: str) -> list[str]:
    return [name.lower() for name in re.findall("|".join(NAMES), text, re.IGNORECASE)]
