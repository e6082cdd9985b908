"""Speaking over a reply: how soon that is noticed, and how often Parley takes its own voice for somebody's.

A simulated room around the real parts: what the bundled voice says goes through a room's reverberation back into the
microphone, 10 dB softer, and with it what a person says (espeak-ng's voice). Echo canceller, voice detector, Whisper
and the guard against its own words are those of a conversation. Nothing waits for a sound card, so that minutes take
less than that; what the sound system adds is for the live tests to say.

    reply ─┬──────────────── far ─▶ EchoCanceller ─▶ UserTurnDetector ─▶ UserStartedSpeaking: the reply pauses
           └─ room ─ −10 dB ─ near ──┘                     └─▶ UserStoppedSpeaking ─▶ own words or none ─▶ resumes
    person ─────────────────┘
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from assistant.settings import load
from benchmarks.figures import Figure
from parley.factory.voice import build_stt, build_tts
from voice.audio.echo_canceller import EchoCanceller
from voice.audio.resample import Resampler
from voice.audio.types import SAMPLE_RATE
from voice.stt.base import SpeechToText
from voice.tts.base import TextToSpeech, speak
from voice.tts.espeak import Espeak
from voice.turns.endpointing import DEFAULT_SILENCE
from voice.turns.interruption import is_backchannel, is_echo
from voice.turns.vad import SileroVad, UserStartedSpeaking, UserStoppedSpeaking, UserTurnDetector, VadParams

Floats = NDArray[np.float32]

BLOCK = SAMPLE_RATE // 100
MINUTES = 10
ECHO_DECIBELS = -10.0
# Between handing a sound over and hearing it: buffers, and two metres of air.
DELAY_SECONDS = 0.06
REVERBERATION_SECONDS = 0.3
NOISE = 0.001
SENTENCES_A_REPLY = 5

_WHO = "my neighbour|the old captain|a little girl|the baker|our teacher|a tired musician|the doctor|a young painter"
_DOES = "looks at|carries|paints|forgets|remembers|sells|hides|wonders about|writes to us about|talks about"
_WHAT = "the grey cat|three red boats|a broken window|the long river|an empty house|seven apples|the morning train"
_WHERE = "near the harbour|behind the church|in the kitchen|on the roof|at the station|under the bridge|in the garden"
_WHEN = "before breakfast|every Sunday|while it rains|at midnight|in the summer|without a word|as if nothing happened"
INTERRUPTIONS = (
    "Stop talking please, what time is it now?",
    "Wait a moment, that is not what I asked.",
    "No, tell me about the weather instead.",
    "Excuse me, can you say that again?",
    "Could you speak about something else?",
    "Please be quiet for a minute.",
    "How much does it cost?",
    "And who was the first president?",
)


@dataclass
class Room:
    """Plays to the end what is given it, hears it back, and notes what Parley makes of that."""

    ears: SpeechToText
    flinches: int = 0
    pauses: int = 0
    turns: list[str] = field(default_factory=list)
    noticed: float | None = None
    """Seconds from the beginning of `play` until it was first silent for somebody who went on to speak."""

    def __post_init__(self) -> None:
        generator = np.random.default_rng(0)
        size = round(REVERBERATION_SECONDS * SAMPLE_RATE)
        decay = np.exp(-6.9 * np.arange(size) / size)
        response = generator.standard_normal(size) * decay
        response[0] = 3.0
        response *= 10 ** (ECHO_DECIBELS / 20) / np.sqrt(np.sum(response**2))
        self._response = np.concatenate([np.zeros(round(DELAY_SECONDS * SAMPLE_RATE)), response]).astype(np.float32)
        self._tail: Floats = np.zeros(self._response.size, np.float32)
        self._noise = generator
        self._canceller = EchoCanceller(SAMPLE_RATE)
        self._taking = UserTurnDetector(
            SileroVad(),
            # Nobody is waited for here.
            VadParams(stop_secs=DEFAULT_SILENCE),
        )

    def play(self, reply: Floats, said: str, person: Floats | None = None, at: float = 0.0) -> None:
        """Speak `reply`, whose words are `said`; a `person` speaks over it from the second `at` on."""
        self.noticed = None
        begun, played, paused = 0, 0, False
        flinched: float | None = None
        speech = np.zeros(0, np.float32) if person is None else np.pad(person, (round(at * SAMPLE_RATE), 0))
        # The rest is for what is still to be decided.
        while played < reply.size or begun < speech.size or paused:
            far = np.zeros(BLOCK, np.float32)
            if not paused and flinched is None and played < reply.size:
                rest = reply[played : played + BLOCK]
                far[: rest.size] = rest
                played += BLOCK
            near = self._echo(far) + NOISE * self._noise.standard_normal(BLOCK).astype(np.float32)
            words = speech[begun : begun + BLOCK]
            near[: words.size] += words
            begun += BLOCK
            for event in self._taking.process(self._canceller.process(near, far)):
                if isinstance(event, UserStartedSpeaking):
                    paused = True
                    self.pauses += 1
                    self.noticed = self.noticed or flinched or begun / SAMPLE_RATE
                elif isinstance(event, UserStoppedSpeaking):
                    paused = False
                    if words_heard := self._turn(event.samples, said):
                        self.turns.append(words_heard)
                        return
            if not self._taking.speech_onset:
                flinched = None
            elif flinched is None:
                flinched = begun / SAMPLE_RATE
                self.flinches += 1

    def _echo(self, far: Floats) -> Floats:
        full = np.convolve(far, self._response)
        full[: self._tail.size] += self._tail[: full.size]
        echo, rest = full[:BLOCK], full[BLOCK:]
        self._tail = np.pad(rest, (0, self._response.size - rest.size)).astype(np.float32)
        return echo.astype(np.float32)

    def _turn(self, samples: Floats, said: str) -> str:
        """The words of a turn, or nothing."""
        text = self.ears.transcribe(samples, "en").text.strip()
        return "" if is_echo(text, said) or is_backchannel(text) else text


def measure(runs: int) -> list[Figure]:
    """All figures; as many interruptions as `runs`, each of another sentence at another moment."""
    settings = load().settings
    mouth, ears = build_tts(settings), build_stt(settings)
    return [*own_voice_figures(mouth, ears, MINUTES), interruption_figure(mouth, ears, runs)]


def own_voice_figures(mouth: TextToSpeech, ears: SpeechToText, minutes: float) -> tuple[Figure, ...]:
    """What it makes of so many minutes of its own voice: turns that nobody took, and pauses for nobody."""
    room = Room(ears)
    seconds = 0.0
    for said in replies(random.Random(1)):
        reply = sound(mouth, said)
        room.play(reply, said)
        seconds += reply.size / SAMPLE_RATE
        if seconds >= 60 * minutes:
            break
    for turn in room.turns:
        print(f"taken for somebody's: {turn}")
    return (
        Figure(f"false barge-ins in {minutes:g} min of its own voice", "turns", (len(room.turns),), 0),
        Figure(f"pauses for nobody in {minutes:g} min", "pauses", (room.pauses,)),
        Figure(f"gaps of a few hundredths of a second in {minutes:g} min", "gaps", (room.flinches,)),
    )


def interruption_figure(mouth: TextToSpeech, ears: SpeechToText, runs: int) -> Figure:
    """From the onset of somebody's speech until the reply is told to pause."""
    dice = random.Random(2)
    voice = Espeak.load("en-gb")
    delays: list[float] = []
    for number, said in zip(range(runs), replies(dice), strict=False):
        person = sound(voice, INTERRUPTIONS[number % len(INTERRUPTIONS)])
        person *= 0.1 / float(np.sqrt(np.mean(person[np.abs(person) > 0.01] ** 2)))
        at = dice.uniform(2, 6)
        room = Room(ears)
        room.play(sound(mouth, said), said, person, at)
        onset = at + int(np.flatnonzero(np.abs(person) > 0.02)[0]) / SAMPLE_RATE
        if room.noticed is None:
            raise RuntimeError(f"nobody was heard to say over a reply: {INTERRUPTIONS[number % len(INTERRUPTIONS)]}")
        delays.append(1000 * (room.noticed - onset))
    return Figure("from speech onset to the pause, without the sound system", "ms", tuple(delays), 150)


def replies(dice: random.Random) -> Iterator[str]:
    """Replies of some sentences, without end."""
    lists = [each.split("|") for each in (_WHO, _DOES, _WHAT, _WHERE, _WHEN)]
    while True:
        parts = [[dice.choice(words) for words in lists] for _ in range(SENTENCES_A_REPLY)]
        yield " ".join(f"{' '.join(sentence).capitalize()}." for sentence in parts)


def sound(voice: TextToSpeech, text: str) -> Floats:
    """How it sounds, as a microphone would hear it."""
    resampler = Resampler(voice.sample_rate, SAMPLE_RATE)
    return np.concatenate([*(resampler.process(samples) for samples in speak([text], voice)), resampler.flush()])
