"""Measure interruptions: how soon speech over a reply is noticed, and how often the assistant's own voice is mistaken.

A simulated room surrounds the real parts. The bundled voice goes through the room's reverberation back into the
microphone, 10 dB softer, together with what a person says (espeak-ng's voice). The echo canceller, the turn detector,
Whisper and the echo check are those of a conversation. Nothing waits for a sound card, so that ten minutes of audio
take less than that; the live tests measure what the sound system adds.

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

BLOCK_SAMPLES = SAMPLE_RATE // 100
MINUTES = 10
ECHO_DECIBELS = -10.0
# From the sound card's buffer to the microphone, two metres away.
DELAY_SECONDS = 0.06
REVERBERATION_SECONDS = 0.3
NOISE_LEVEL = 0.001
SENTENCES_PER_REPLY = 5

_SUBJECTS = (
    "my neighbour|the old captain|a little girl|the baker|our teacher|a tired musician|the doctor|a young painter"
)
_VERBS = "looks at|carries|paints|forgets|remembers|sells|hides|wonders about|writes to us about|talks about"
_OBJECTS = "the grey cat|three red boats|a broken window|the long river|an empty house|seven apples|the morning train"
_PLACES = "near the harbour|behind the church|in the kitchen|on the roof|at the station|under the bridge|in the garden"
_TIMES = "before breakfast|every Sunday|while it rains|at midnight|in the summer|without a word|as if nothing happened"
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


class RoomEcho:
    """Reverberation of the loudspeaker's sound at the microphone, with the noise of a room."""

    def __init__(self) -> None:
        self._generator = np.random.default_rng(0)
        size = round(REVERBERATION_SECONDS * SAMPLE_RATE)
        # -60 dB at the end.
        decay = np.exp(-6.9 * np.arange(size) / size)
        response = self._generator.standard_normal(size) * decay
        response[0] = 3.0
        response *= 10 ** (ECHO_DECIBELS / 20) / np.sqrt(np.sum(response**2))
        self._response = np.concatenate([np.zeros(round(DELAY_SECONDS * SAMPLE_RATE)), response]).astype(np.float32)
        self._tail: Floats = np.zeros(self._response.size, np.float32)

    def process(self, far: Floats) -> Floats:
        """Return the echo of the next block."""
        full = np.convolve(far, self._response)
        full[: self._tail.size] += self._tail[: full.size]
        echo, rest = full[: far.size], full[far.size :]
        self._tail = np.pad(rest, (0, self._response.size - rest.size)).astype(np.float32)
        return echo.astype(np.float32)

    def noise(self, size: int) -> Floats:
        """Return the noise of the room."""
        return NOISE_LEVEL * self._generator.standard_normal(size).astype(np.float32)


@dataclass
class Room:
    """Plays replies, hears them back, and counts what Parley makes of that.

    Attributes:
        stt: Transcribes turns.
        tentative_pauses: Short gaps at the first sign of speech that did not become an utterance.
        pauses: Pauses for utterances, also for those that turn out to be none.
        turns: Texts that were taken for a person's.
        paused_at: Seconds from the beginning of `play` to the first silence for an utterance, if there was one.
    """

    stt: SpeechToText
    tentative_pauses: int = 0
    pauses: int = 0
    turns: list[str] = field(default_factory=list)
    paused_at: float | None = None

    def __post_init__(self) -> None:
        self._echo = RoomEcho()
        self._canceller = EchoCanceller(SAMPLE_RATE)
        # Nobody is waited for here: every turn ends after the default silence.
        self._detector = UserTurnDetector(SileroVad(), VadParams(stop_secs=DEFAULT_SILENCE))

    def play(self, reply: Floats, reply_text: str, person: Floats | None = None, at: float = 0.0) -> None:
        """Play a reply to its end, or to the end of a turn.

        Args:
            reply: 16 kHz samples.
            reply_text: The words of the reply.
            person: Speech of a person over it.
            at: Seconds after which the person begins.
        """
        self.paused_at = None
        elapsed, played, paused = 0, 0, False
        onset_at: float | None = None
        speech = np.zeros(0, np.float32) if person is None else np.pad(person, (round(at * SAMPLE_RATE), 0))
        # Continues after the reply while an utterance is open.
        while played < reply.size or elapsed < speech.size or paused:
            far = np.zeros(BLOCK_SAMPLES, np.float32)
            if not paused and onset_at is None and played < reply.size:
                block = reply[played : played + BLOCK_SAMPLES]
                far[: block.size] = block
                played += BLOCK_SAMPLES
            near = self._echo.process(far) + self._echo.noise(BLOCK_SAMPLES)
            spoken = speech[elapsed : elapsed + BLOCK_SAMPLES]
            near[: spoken.size] += spoken
            elapsed += BLOCK_SAMPLES
            for event in self._detector.process(self._canceller.process(near, far)):
                if isinstance(event, UserStartedSpeaking):
                    paused = True
                    self.pauses += 1
                    self.paused_at = self.paused_at or onset_at or elapsed / SAMPLE_RATE
                elif isinstance(event, UserStoppedSpeaking):
                    paused = False
                    if turn := self._turn_text(event.samples, reply_text):
                        self.turns.append(turn)
                        return
            if not self._detector.speech_onset:
                onset_at = None
            elif onset_at is None:
                onset_at = elapsed / SAMPLE_RATE
                self.tentative_pauses += 1

    def _turn_text(self, samples: Floats, reply_text: str) -> str:
        """Return the words of a turn; "" for an echo, a backchannel or nothing."""
        text = self.stt.transcribe(samples, "en").text.strip()
        return "" if is_echo(text, reply_text) or is_backchannel(text) else text


def measure(runs: int) -> list[Figure]:
    """Measure everything, with `runs` interruptions, each with other words at another time."""
    settings = load().settings
    tts, stt = build_tts(settings), build_stt(settings)
    return [*measure_own_voice(tts, stt, MINUTES), measure_interruptions(tts, stt, runs)]


def measure_own_voice(tts: TextToSpeech, stt: SpeechToText, minutes: float) -> tuple[Figure, ...]:
    """Play replies to an empty room, and count turns and pauses that nobody caused."""
    room = Room(stt)
    seconds = 0.0
    for text in generate_replies(random.Random(1)):
        reply = synthesize(tts, text)
        room.play(reply, text)
        seconds += reply.size / SAMPLE_RATE
        if seconds >= 60 * minutes:
            break
    for turn in room.turns:
        print(f"taken for a person's: {turn}")
    return (
        Figure(f"false barge-ins in {minutes:g} min of its own voice", "turns", (len(room.turns),), 0),
        Figure(f"pauses for nobody in {minutes:g} min", "pauses", (room.pauses,)),
        Figure(f"gaps of a few hundredths of a second in {minutes:g} min", "gaps", (room.tentative_pauses,)),
    )


def measure_interruptions(tts: TextToSpeech, stt: SpeechToText, runs: int) -> Figure:
    """Measure the time from the onset of a person's speech to the pause of the reply."""
    generator = random.Random(2)
    person_voice = Espeak.load("en-gb")
    delays: list[float] = []
    for number, text in zip(range(runs), generate_replies(generator), strict=False):
        words = INTERRUPTIONS[number % len(INTERRUPTIONS)]
        person = synthesize(person_voice, words)
        person *= 0.1 / float(np.sqrt(np.mean(person[np.abs(person) > 0.01] ** 2)))
        at = generator.uniform(2, 6)
        room = Room(stt)
        room.play(synthesize(tts, text), text, person, at)
        onset = at + int(np.flatnonzero(np.abs(person) > 0.02)[0]) / SAMPLE_RATE
        if room.paused_at is None:
            raise RuntimeError(f"The reply did not pause for: {words}")
        delays.append(1000 * (room.paused_at - onset))
    return Figure("from speech onset to the pause, without the sound system", "ms", tuple(delays), 150)


def generate_replies(generator: random.Random) -> Iterator[str]:
    """Yield replies of some sentences, without end."""
    lists = [each.split("|") for each in (_SUBJECTS, _VERBS, _OBJECTS, _PLACES, _TIMES)]
    while True:
        parts = [[generator.choice(words) for words in lists] for _ in range(SENTENCES_PER_REPLY)]
        yield " ".join(f"{' '.join(sentence).capitalize()}." for sentence in parts)


def synthesize(tts: TextToSpeech, text: str) -> Floats:
    """Return speech at 16 kHz."""
    resampler = Resampler(tts.sample_rate, SAMPLE_RATE)
    return np.concatenate([*(resampler.process(samples) for samples in speak([text], tts)), resampler.flush()])
