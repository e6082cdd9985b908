"""Measure how well and how fast Parley transcribes, against plain faster-whisper with the same weights.

The clips are people reading (Debian's `pocketsphinx-testdata`, skipped where it is not installed) and sentences of the
bundled voice, each as it is and with white noise 20, 10 and 5 dB below it. Plain faster-whisper is called as its
documentation shows: `WhisperModel.transcribe(file, language="en")`. Words are compared after OpenAI's own normalization
of English, so that "7" equals "seven".

A call is measured as well: the seconds for one utterance of five seconds by both, in turns, and the names that are
understood with and without hot words, in sentences with invented names and in others.
"""

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import truediv
from pathlib import Path
from typing import TYPE_CHECKING

import jiwer
import numpy as np

from assistant.progress import no_progress
from assistant.settings import Settings, load
from benchmarks.figures import Figure
from benchmarks.hot_words import measure_hot_words
from benchmarks.utterances import STATEMENTS, full_text, synthesize
from parley.factory.voice import assemble_whisper, build_stt, build_tts
from voice.audio.decode import open_audio
from voice.audio.types import SAMPLE_RATE
from voice.audio.wav import WavFile
from voice.stt.base import SpeechToText
from voice.stt.long_form import transcribe

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

    from voice.audio.types import Samples

TEST_DATA = Path("/usr/share/pocketsphinx/test/data")
SYNTHETIC_CLIPS = 12
NOISE_LEVELS = (None, 20, 10, 5)
"""Speech over noise in dB."""

UTTERANCE = (
    "Could you compare the price of the small kettle with the price of the large one, and tell me which is better?"
)
GOAL_SECONDS = 0.5
_LONG_SECONDS = 300

TranscribeFile = Callable[[Path], Iterator[str]]


@dataclass(frozen=True)
class Clip:
    """16 kHz audio with the words that are said in it, and who says them."""

    words: str
    samples: "Samples"
    speaker: str = ""


def measure(runs: int) -> list[Figure]:
    """Measure everything. `runs` applies to the first words of a long file; each clip is transcribed once by each."""
    settings = load().settings
    tts, stt = build_tts(settings), build_stt(settings)
    people = load_clips()
    sentences = [full_text(statement) for statement in STATEMENTS[:SYNTHETIC_CLIPS]]
    synthetic = [Clip(sentence, synthesize(sentence, tts)) for sentence in sentences]
    plain = load_plain(settings)
    engines = {"Parley": with_parley(stt), "plain faster-whisper": with_faster_whisper(plain)}
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.wav"
        for kind, clips in (("people", people), ("the voice", synthetic)):
            for noise in NOISE_LEVELS if clips else ():
                label = f"{kind}, {len(clips)} clips, {'clean' if noise is None else f'noise at {noise} dB'}"
                figures += compare(label, clips, noise, engines, file)
        figures += first_words([*people, *synthetic], engines, file, runs)
    in_call = build_stt(settings, word_times=False)
    return [*figures, *one_utterance(in_call, plain, synthesize(UTTERANCE, tts), runs), *measure_hot_words(tts, stt)]


def compare(
    label: str, clips: list[Clip], noise: int | None, engines: dict[str, TranscribeFile], file: Path
) -> list[Figure]:
    """Return the word error rate and the real-time factor of each engine."""
    transcripts: dict[str, list[str]] = {name: [] for name in engines}
    seconds = dict.fromkeys(engines, 0.0)
    for number, clip in enumerate(clips):
        write_wav(file, add_noise(clip.samples, noise, seed=number))
        for name, transcribe_file in engines.items():
            started = time.perf_counter()
            transcripts[name].append(" ".join(transcribe_file(file)))
            seconds[name] += time.perf_counter() - started
    length = sum(clip.samples.size for clip in clips) / SAMPLE_RATE
    references = [clip.words for clip in clips]
    errors = {name: 100 * word_error_rate(references, texts) for name, texts in transcripts.items()}
    goal = errors["plain faster-whisper"]
    return [
        Figure(f"word errors, {label}: Parley", "%", (errors["Parley"],), goal),
        Figure(f"word errors, {label}: plain faster-whisper", "%", (goal,)),
        *(Figure(f"real-time factor, {label}: {name}", "x", (spent / length,)) for name, spent in seconds.items()),
    ]


def first_words(clips: list[Clip], engines: dict[str, TranscribeFile], file: Path, runs: int) -> list[Figure]:
    """Return the seconds until the first words of a long file."""
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    samples = np.concatenate([part for clip in clips for part in (clip.samples, pause)])
    write_wav(file, np.tile(samples, 1 + _LONG_SECONDS * SAMPLE_RATE // samples.size))
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(runs):
        for name, transcribe_file in engines.items():
            started = time.perf_counter()
            next(transcribe_file(file))
            seconds[name].append(time.perf_counter() - started)
    goal = Figure("", "s", tuple(seconds["plain faster-whisper"])).median
    return [
        Figure(f"first words of {_LONG_SECONDS} s: {name}", "s", tuple(values), goal if name == "Parley" else None)
        for name, values in seconds.items()
    ]


def with_parley(stt: SpeechToText) -> TranscribeFile:
    """Transcribe as `parley transcribe` does."""

    def transcribe_file(file: Path) -> Iterator[str]:
        with open_audio(file) as audio:
            for transcript in transcribe(stt, audio, no_progress, "en"):
                yield transcript.text

    return transcribe_file


def load_plain(settings: Settings) -> "WhisperModel":
    """Load the same weights into plain faster-whisper, with as many threads."""
    from faster_whisper import WhisperModel

    threads = min(4, os.cpu_count() or 1)
    return WhisperModel(str(assemble_whisper(settings)), device="cpu", compute_type="int8", cpu_threads=threads)


def one_utterance(stt: SpeechToText, plain: "WhisperModel", samples: "Samples", runs: int) -> list[Figure]:
    """Return the seconds that one utterance takes, and the median ratio of runs next to each other."""
    seconds: dict[str, list[float]] = {"Parley": [], "plain faster-whisper": []}
    for _ in range(runs + 1):
        started = time.perf_counter()
        stt.transcribe(samples, "en")
        middle = time.perf_counter()
        list(plain.transcribe(samples, language="en")[0])
        seconds["Parley"].append(middle - started)
        seconds["plain faster-whisper"].append(time.perf_counter() - middle)
    # The first run warms up.
    ours, theirs = (tuple(values[1:]) for values in seconds.values())
    label = f"an utterance of {samples.size / SAMPLE_RATE:.1f} s"
    return [
        Figure(f"{label}: Parley", "s", ours, GOAL_SECONDS),
        Figure(f"{label}: plain faster-whisper", "s", theirs),
        Figure(f"{label}: plain faster-whisper by Parley", "x", tuple(map(truediv, theirs, ours))),
    ]


def with_faster_whisper(model: "WhisperModel") -> TranscribeFile:
    """Transcribe with the same weights, called directly."""

    def transcribe_file(file: Path) -> Iterator[str]:
        for segment in model.transcribe(str(file), language="en")[0]:
            yield segment.text

    return transcribe_file


def load_clips() -> list[Clip]:
    """Load the clips of people; none where Debian's package is not installed."""
    clips = []
    for listing in ("librivox/transcription", "cards/cards.transcription"):
        path = TEST_DATA / listing
        for line in path.read_text().splitlines() if path.is_file() else ():
            words, _, name = line.rpartition("(")
            file = path.with_name(f"{name.rstrip(')')}.wav")
            words = words.replace("<s>", "").replace("</s>", "").strip()
            clips.append(Clip(words, read_audio(file), path.parent.name))
    if (TEST_DATA / "goforward.raw").is_file():
        raw = np.frombuffer((TEST_DATA / "goforward.raw").read_bytes(), "<i2")
        clips.append(Clip("go forward ten meters", raw.astype(np.float32) / np.float32(32768)))
    if not clips:
        print(f"No clips of people: there is nothing in {TEST_DATA} (`apt install pocketsphinx-testdata`).")
    return clips


def read_audio(path: Path) -> "Samples":
    """Decode a file to 16 kHz mono."""
    with open_audio(path) as audio:
        return np.concatenate(list(audio.blocks()))


def write_wav(path: Path, samples: "Samples") -> None:
    """Write 16 kHz samples."""
    with WavFile(path, SAMPLE_RATE) as file:
        file.write(samples)


def add_noise(samples: "Samples", decibels: int | None, seed: int) -> "Samples":
    """Add white noise that is `decibels` below the samples; None adds nothing."""
    if decibels is None:
        return samples
    level = float(np.sqrt(np.mean(np.square(samples)))) * 10 ** (-decibels / 20)
    noise = level * np.random.default_rng(seed).standard_normal(samples.size)
    return (samples + noise).astype(np.float32)


def word_error_rate(references: list[str], transcripts: list[str]) -> float:
    """Return wrong, missing and additional words, divided by the number of reference words."""
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    normalizer = EnglishTextNormalizer({})

    def normalize(text: str) -> str:
        # OpenAI's makes "55" of "five five", and leaves "5 5" as it is.
        return re.sub(r"(?<=\d) (?=\d)", "", normalizer(text))

    return float(jiwer.wer(list(map(normalize, references)), list(map(normalize, transcripts))))
