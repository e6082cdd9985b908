"""Measure how well and how fast the voices speak, side by side: what Whisper hears, the first sound, speed, memory.

The voices are the bundled one (hibari), Piper's and espeak-ng, those that are installed; the control is the bundled one
with the text as it is written, which only its own rules put into words. What Whisper hears is compared after OpenAI's
own normalization of English; of codes the characters are compared, without spaces, because digits may be grouped. A
voice can be no better than Whisper hears, which is the same for all. Where the package `speechmos` is installed, its
DNSMOS scores the sound (1 to 5): no scorer in the manner of UTMOS comes with its weights.
"""

import importlib
import importlib.util
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jiwer
import numpy as np

from assistant.settings import load
from benchmarks.figures import Figure
from benchmarks.spoken_sentences import KINDS
from parley.factory.voice import build_stt, build_tts
from voice.audio.resample import Resampler
from voice.audio.types import SAMPLE_RATE
from voice.stt.base import SpeechToText
from voice.tts import espeak, hibari, piper
from voice.tts.base import TextToSpeech, spoken_sentences

if TYPE_CHECKING:
    from voice.audio.types import Samples

_DIGITS = {
    **{word: str(digit) for digit, word in enumerate("zero one two three four five six seven eight nine".split())},
    "oh": "0",
}
AS_WRITTEN = "hibari, text as written"
_WORDED = ("numbers", "abbreviations", "codes")
"""Kinds whose sentences are put into other words before a voice says them."""

_SCORED = 8
"""Plain sentences that DNSMOS scores: each takes a second and more."""

_RESIDENT_MEMORY = """
import os, psutil, resource, sys
from assistant.settings import load
from parley.factory.voice import build_tts
import numpy, onnxruntime
before = psutil.Process().memory_info().rss
voice = build_tts(load({"voice": sys.argv[1], "language": "en"}).settings)
for sentence in ("Good morning.", "I would like to book a table for two people."):
    for _ in voice.synthesize(sentence):
        pass
rss = psutil.Process().memory_info().rss - before
# espeak-ng is a program of its own.
print(rss + (1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if sys.argv[1] == "espeak" else 0))
"""


@dataclass
class Heard:
    """Results of one voice.

    Attributes:
        transcripts: Kind of sentence: the words that should be and those that were heard.
        first_sound: Seconds from a sentence to its first samples.
        factors: Seconds of synthesis for each second of audio.
        scores: DNSMOS of each sentence.
    """

    transcripts: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    first_sound: list[float] = field(default_factory=list)
    factors: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


def measure(runs: int) -> list[Figure]:
    """Measure all voices, which speak each sentence one after the other. `runs` applies to the memory."""
    loading: dict[str, float] = {}
    voices: dict[str, TextToSpeech] = {}
    for name in installed():
        started = time.perf_counter()
        voices[name] = build_tts(load({"voice": name, "language": "en"}).settings)
        loading[name] = time.perf_counter() - started
        list(voices[name].synthesize("Good morning."))
    heard = listen_to_all(voices, KINDS)
    memory = {name: tuple(resident_memory(name) for _ in range(runs)) for name in voices}
    return [
        *(figure for kind in KINDS for figure in word_errors(kind, heard)),
        *speed(heard),
        *(Figure(f"loading: {name}", "s", (seconds,)) for name, seconds in loading.items()),
        *(Figure(f"resident memory: {name}", "MB", megabytes) for name, megabytes in memory.items()),
    ]


def listen_to_all(voices: Mapping[str, TextToSpeech], kinds: Iterable[str]) -> dict[str, Heard]:
    """Have each voice say the sentences of some kinds."""
    stt = build_stt(load({"whisper": "base"}).settings)
    heard = {name: Heard() for name in (*voices, AS_WRITTEN)}
    for kind in kinds:
        for text, words in KINDS[kind]:
            for name, result in heard.items():
                if name == AS_WRITTEN and kind not in _WORDED:
                    continue
                listen(text, words, kind, voices[name.partition(",")[0]], stt, result, as_written=name == AS_WRITTEN)
    return heard


def speed(heard: dict[str, Heard]) -> Iterator[Figure]:
    """Yield the quality of the sound, and how fast it came."""
    for name, result in heard.items():
        if result.scores:
            yield Figure(f"DNSMOS: {name}", "of 5", tuple(result.scores))
        if name != AS_WRITTEN:
            yield Figure(f"first sound: {name}", "ms", tuple(1000 * each for each in result.first_sound))
            yield Figure(f"real-time factor: {name}", "x", tuple(result.factors))


def installed() -> Iterator[str]:
    """Yield the names of the voices that this machine has, the bundled one first."""
    for engine in (hibari.ENGINE, piper.ENGINE, espeak.ENGINE):
        if engine.is_installed():
            yield engine.kind


def listen(
    text: str, words: str, kind: str, voice: TextToSpeech, stt: SpeechToText, result: Heard, *, as_written: bool
) -> None:
    """Speak a text, and add the times, the score and what Whisper hears to `result`."""
    sentences = [text] if as_written else list(spoken_sentences([text]))
    started = time.perf_counter()
    first = 0.0
    chunks: list[Samples] = []
    for sentence in sentences:
        for samples in voice.synthesize(sentence):
            first = first or time.perf_counter() - started
            chunks.append(samples)
    seconds = time.perf_counter() - started
    audio = np.concatenate(chunks)
    result.first_sound.append(first)
    result.factors.append(seconds * voice.sample_rate / audio.size)
    resampler = Resampler(voice.sample_rate, SAMPLE_RATE)
    samples = np.pad(np.concatenate([resampler.process(audio), resampler.flush()]), SAMPLE_RATE // 2)
    result.transcripts[kind].append((words, stt.transcribe(samples, "en").text))
    if kind == "plain" and len(result.scores) < _SCORED:
        result.scores += dnsmos(samples)


def word_errors(kind: str, heard: dict[str, Heard]) -> Iterator[Figure]:
    """Yield the share of words that got lost with each voice; of codes that of characters."""
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    normalize = EnglishTextNormalizer({})
    for name, result in heard.items():
        if not result.transcripts[kind]:
            continue
        wanted, got = zip(*result.transcripts[kind], strict=True)
        if kind == "codes":
            error = jiwer.cer([_characters(text) for text in wanted], [_characters(text) for text in got])
        else:
            error = jiwer.wer([normalize(text) for text in wanted], [normalize(text) for text in got])
        unit = "% of characters" if kind == "codes" else "% of words"
        yield Figure(f"lost, {len(wanted)} {kind}: {name}", unit, (100 * float(error),))


def _characters(text: str) -> str:
    """Return letters and digits in one piece: Whisper writes "4-7-1-1", "4711" or "four seven one one"."""
    words = re.findall(r"[a-z]+|\d+", text.lower())
    return "".join(_DIGITS.get(word, word) for word in words if word not in {"at", "dot", "point"})


def dnsmos(samples: "Samples") -> list[float]:
    """Return the overall quality that DNSMOS gives to 16 kHz samples; [] where it is not installed."""
    if importlib.util.find_spec("speechmos") is None:
        return []
    scorer = importlib.import_module("speechmos.dnsmos")
    return [float(scorer.run(np.clip(samples, -1.0, 1.0), sr=SAMPLE_RATE)["ovrl_mos"])]


def resident_memory(name: str) -> float:
    """Return the megabytes that a process grows by when it loads a voice and speaks."""
    command = [sys.executable, "-c", _RESIDENT_MEMORY, name]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1e6
