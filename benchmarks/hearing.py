"""How well and how fast the bundled Whisper is heard through Parley, against plain faster-whisper on the same clips.

Clips are people reading (Debian's `pocketsphinx-testdata`, left out where it is not installed) and sentences of the
bundled voice; each as it is, and with white noise 20, 10 and 5 dB below it. Plain is the same weights, loaded the
same way, with `WhisperModel.transcribe(file, language="en")` as its documentation shows. Words are compared after
OpenAI's own normalisation of English, so that "7" is "seven" on both sides.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jiwer
import numpy as np

from assistant.progress import no_progress
from assistant.settings import load
from benchmarks.figures import Figure
from benchmarks.utterances import STATEMENTS, spoken, whole
from parley.factory.voice import build_stt, build_tts
from voice.audio.decode import open_audio
from voice.audio.types import SAMPLE_RATE
from voice.audio.wav import WavFile
from voice.stt.base import SpeechToText
from voice.stt.long_form import transcribe
from voice.stt.whisper import Whisper

if TYPE_CHECKING:
    from voice.audio.types import Samples

TEST_DATA = Path("/usr/share/pocketsphinx/test/data")
SPOKEN = 12
NOISES = (None, 20, 10, 5)
"""Decibels of speech over noise."""

_LONG_SECONDS = 300

Transcribe = Callable[[Path], Iterator[str]]


@dataclass(frozen=True)
class Clip:
    """What is said, its sound, and who says it."""

    words: str
    sound: "Samples"
    speaker: str = ""


def measure(runs: int) -> list[Figure]:
    """All figures. `runs` counts for the first words of a long recording; each clip is heard once by both."""
    settings = load().settings
    voice, ears = build_tts(settings), build_stt(settings)
    people = recorded()
    machine = [Clip(whole(words), spoken(whole(words), voice)) for words in STATEMENTS[:SPOKEN]]
    engines = {"Parley": through_parley(ears), "plain faster-whisper": plainly(ears)}
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.wav"
        for kind, clips in (("people", people), ("the voice", machine)):
            for noise in NOISES if clips else ():
                label = f"{kind}, {len(clips)} clips, {'clean' if noise is None else f'noise at {noise} dB'}"
                figures += compared(label, clips, noise, engines, file)
        figures += first_words([*people, *machine], engines, file, runs)
    return figures


def compared(
    label: str, clips: list[Clip], noise: int | None, engines: dict[str, Transcribe], file: Path
) -> list[Figure]:
    """Word error rate and real-time factor of each engine."""
    heard: dict[str, list[str]] = {name: [] for name in engines}
    seconds = dict.fromkeys(engines, 0.0)
    for number, clip in enumerate(clips):
        write(file, noisy(clip.sound, noise, number))
        for name, listen in engines.items():
            started = time.perf_counter()
            heard[name].append(" ".join(listen(file)))
            seconds[name] += time.perf_counter() - started
    length = sum(clip.sound.size for clip in clips) / SAMPLE_RATE
    errors = {name: 100 * word_error_rate([clip.words for clip in clips], texts) for name, texts in heard.items()}
    worst = errors["plain faster-whisper"]
    return [
        Figure(f"word errors, {label}: Parley", "%", (errors["Parley"],), worst),
        Figure(f"word errors, {label}: plain faster-whisper", "%", (worst,)),
        *(Figure(f"real-time factor, {label}: {name}", "x", (spent / length,)) for name, spent in seconds.items()),
    ]


def first_words(clips: list[Clip], engines: dict[str, Transcribe], file: Path, runs: int) -> list[Figure]:
    """Seconds until the first words of a long recording are there."""
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    once = np.concatenate([part for clip in clips for part in (clip.sound, pause)])
    write(file, np.tile(once, 1 + _LONG_SECONDS * SAMPLE_RATE // once.size))
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(runs):
        for name, listen in engines.items():
            started = time.perf_counter()
            next(listen(file))
            seconds[name].append(time.perf_counter() - started)
    goal = Figure("", "s", tuple(seconds["plain faster-whisper"])).median
    return [
        Figure(f"first words of {_LONG_SECONDS} s: {name}", "s", tuple(values), goal if name == "Parley" else None)
        for name, values in seconds.items()
    ]


def through_parley(ears: SpeechToText) -> Transcribe:
    """What `parley transcribe` does."""

    def listen(file: Path) -> Iterator[str]:
        with open_audio(file) as recording:
            for transcript in transcribe(ears, recording, no_progress, "en"):
                yield transcript.text

    return listen


def plainly(ears: SpeechToText) -> Transcribe:
    """The same loaded model, asked directly."""
    assert isinstance(ears, Whisper)
    model = ears.model

    def listen(file: Path) -> Iterator[str]:
        for segment in model.transcribe(str(file), language="en")[0]:
            yield segment.text

    return listen


def recorded() -> list[Clip]:
    """The clips of people, none where Debian's package is not installed."""
    clips = []
    for listing in ("librivox/transcription", "cards/cards.transcription"):
        path = TEST_DATA / listing
        for line in path.read_text().splitlines() if path.is_file() else ():
            words, _, name = line.rpartition("(")
            sound = path.with_name(f"{name.rstrip(')')}.wav")
            words = words.replace("<s>", "").replace("</s>", "").strip()
            clips.append(Clip(words, read(sound), path.parent.name))
    if (TEST_DATA / "goforward.raw").is_file():
        raw = np.frombuffer((TEST_DATA / "goforward.raw").read_bytes(), "<i2")
        clips.append(Clip("go forward ten meters", raw.astype(np.float32) / np.float32(32768)))
    if not clips:
        print(f"Nobody reads: there is nothing in {TEST_DATA} (`apt install pocketsphinx-testdata`).")
    return clips


def read(path: Path) -> "Samples":
    """The sound in a file."""
    with open_audio(path) as recording:
        return np.concatenate(list(recording.blocks()))


def write(path: Path, sound: "Samples") -> None:
    """Make a file of it."""
    with WavFile(path, SAMPLE_RATE) as file:
        file.write(sound)


def noisy(sound: "Samples", decibels: int | None, seed: int) -> "Samples":
    """`sound` with white noise so much below it."""
    if decibels is None:
        return sound
    level = float(np.sqrt(np.mean(np.square(sound)))) * 10 ** (-decibels / 20)
    noise = level * np.random.default_rng(seed).standard_normal(sound.size)
    return (sound + noise).astype(np.float32)


def word_error_rate(said: list[str], heard: list[str]) -> float:
    """The words that are wrong, missing or too many, over all that were said."""
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    normalize = EnglishTextNormalizer({})
    return float(jiwer.wer([normalize(text) for text in said], [normalize(text) for text in heard]))
