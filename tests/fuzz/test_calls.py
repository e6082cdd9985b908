"""Calls in which everything happens in any order: speech, barge-in, keys, failures of model, voice and devices.

A call runs on a virtual clock through `VoiceSession`, with fake devices and engines. It has to end, to lose no turn,
and to leave a log as documented, no sound and no thread.
"""

import asyncio
import random
import tempfile
import threading
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from assistant.conversation.session import Session
from assistant.errors import HistoryError, ModelError, ParleyError, VoiceError
from assistant.events import Event, TextDelta, TextWasReasoning, Usage, UserTranscript
from assistant.messages import Image, Message
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from tests.fakes.audio import Floats
from tests.fakes.call_log_schema import check_lines
from tests.fakes.conversation import RecordingStore
from tests.fakes.speech import FakeSpeechToText, FakeTextToSpeech, silence, speech
from tests.fakes.virtual_time import run_virtually
from tests.fakes.voice_devices import TimedMicrophone, TimedSpeaker
from tests.fuzz.harness import fuzz, odd_text
from voice.audio.streams import AudioOutput, Microphone
from voice.conversation import SpokenConversation
from voice.emotion import DetectedEmotion
from voice.options import FrontEnd, SpeechEngines, VoiceOptions
from voice.stt.base import Transcript
from voice.voice_session import VoiceSession

pytestmark = pytest.mark.slow

WORDS = (
    *("What is it?", "Stop it now.", "Mm-hm.", "", "Yes.", "No, wait.", "one two three", "Tell me a story and", "Um."),
    *("/model other", "…", "Ah, okay.", "Is it grey? I think it is, because", "One two three four five."),
)
SILENT = 20
"""Number of the text that is none."""
STALL = object()
"""A model waits there until it is stopped."""
ENDS = ("audio ends", "cancelled", "SIGTERM", "microphone fails", "stuck until cancelled")
ABOUT = {
    "voice": "fake", "voice_engine": "fake", "voice_rate": 1000, "stt": "fake", "stt_engine": "fake", "versions": {},
}  # fmt: skip


@dataclass(frozen=True)
class Script:
    """A call: what is said and done when, what comes of it, and how it ends.

    Attributes:
        actions: (seconds since the one before, name, number).
        replies: Pieces of each reply of the model: text, an error to raise, or `STALL`.
        transcripts: What is understood of `speech(n)`.
        end: One of `ENDS`.
        seed: Of the engines' whims.
        headphones: Option of the call.
        keep: Whether audio is saved and the call recorded.
    """

    actions: tuple[tuple[float, str, int], ...]
    replies: tuple[tuple[object, ...], ...]
    transcripts: tuple[str, ...]
    end: str
    seed: int
    headphones: bool
    keep: bool


ACTIONS = (
    *("say",) * 18,
    *("speak on", "click", "click", "press", "press", "interrupt", "picture", "store", "slow words"),
    *("mute", "microphone", "speaker", "deaf"),
)


def make_script(rng: random.Random) -> Script:
    end = rng.choice(ENDS)
    replies = tuple(tuple(make_reply(rng, stall=end == "stuck until cancelled")) for _ in range(rng.randint(0, 8)))
    actions = tuple(
        (rng.choice((0.0, 0.1, 0.5, 1.0, 3.0, 3.0, 5.0)), rng.choice(ACTIONS), rng.randrange(20))
        for _ in range(rng.randint(1, 20))
    )
    texts = (rng.choice(WORDS) if rng.random() < 0.9 else odd_text(rng)[:300] for _ in range(SILENT))
    transcripts = (*texts, "")
    return Script(actions, replies, transcripts, end, rng.randrange(10**6), rng.random() < 0.7, keep=rng.random() < 0.3)


def make_reply(rng: random.Random, *, stall: bool) -> list[object]:
    pieces: list[object] = []
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        choice = rng.random()
        if choice < 0.75:
            words = (
                "One",
                "two",
                "three",
                "four",
                "five.",
                "one",
                "two",
                "three.",
                "Four!",
                "\n\n---\n\n",
                "**five**",
                "break",
                "\u200b",
                " ",
                "6.5",
                "End.",
            )
            pieces.append(" ".join(rng.choices(words, k=rng.choice((1, 3, 20, 60)))) + rng.choice(("", " ", ". ")))
        elif choice < 0.85:
            pieces.append(odd_text(rng)[:300])
        elif choice < 0.95 or not stall:
            pieces.append(ModelError("The model broke."))
        else:
            pieces.append(STALL)
    return pieces


class MoodyModel(ScriptedModel):
    """Gives the replies of a script, then short ones."""

    def __init__(self, replies: Sequence[Sequence[object]]) -> None:
        super().__init__()
        self._replies = list(replies)

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        for piece in self._replies.pop(0) if self._replies else ("Fine.",):
            if isinstance(piece, Exception):
                raise piece
            if piece is STALL:
                assert stop.wait(9), "nobody stopped the turn"
            if stop.is_set():
                break
            if isinstance(piece, str):
                yield piece
        return Usage()


class PatientSpeechToText(FakeSpeechToText):
    """Understands nothing in silence, and in what the echo canceller has left of a word."""

    def transcribe(self, samples: Floats, language: str | None = None) -> Transcript:
        loudness = round(100 * float(samples.max(initial=0.0))) - 60
        known = samples if 0 <= loudness < len(self.texts) else speech(SILENT, 1)
        return super().transcribe(known, language)


class MoodyEngines:
    """End-of-turn model and emotion detector that say anything, and fail now and then."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def end_of_turn(self, _: object) -> float:
        return self._rng.random()

    def prepare(self, _: object) -> None:
        if self._rng.random() < 0.1:
            raise ModelError("The bundled model cannot be fetched.")

    def detect(self, *_: object) -> DetectedEmotion | None:
        if self._rng.random() < 0.1:
            raise VoiceError("Whisper failed.")
        parts = {"text": (self._rng.choice(("anger", "neutral")), self._rng.random())}
        return self._rng.choice((None, DetectedEmotion.from_parts("neutral", 0.5, parts)))


@dataclass
class Call:
    """A running call and what can be done to it."""

    script: Script
    folder: Path
    microphone: TimedMicrophone = field(default_factory=TimedMicrophone)
    speaker: TimedSpeaker = field(default_factory=TimedSpeaker)
    store: RecordingStore = field(default_factory=RecordingStore)
    events: list[Event] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    conversation: SpokenConversation | None = None

    def __post_init__(self) -> None:
        self.stt = PatientSpeechToText(*self.script.transcripts)
        self.session = Session(MoodyModel(self.script.replies), store=self.store)
        moods = MoodyEngines(self.script.seed)
        engines = SpeechEngines(
            self.stt,
            FakeTextToSpeech(),
            moods.end_of_turn if self.script.seed % 2 else None,
            moods if self.script.seed % 3 == 0 else None,
        )
        options = VoiceOptions(headphones=self.script.headphones, call_log=self.folder / "log.jsonl")
        if self.script.keep:
            options = VoiceOptions(
                headphones=self.script.headphones,
                call_log=self.folder / "log.jsonl",
                audio_dir=self.folder / "audio",
                record=self.folder / "call.wav",
            )
        self.voice_session = VoiceSession(
            engines, cast("Microphone", self.microphone), cast("AudioOutput", self.speaker), options, about=ABOUT
        )

    async def run(self) -> None:
        front_end = FrontEnd(self.events.append, take_images=self._take_images)
        await self.voice_session.run(self.session, front_end, on_ready=self._on_ready)

    async def act(self, name: str, number: int) -> None:  # noqa: C901 - one line for each action
        """Do what an action of the script says."""
        conversation = self.conversation
        assert conversation is not None
        match name:
            case "say":
                self._hear(speech(number), silence(number * 5))
            case "speak on":
                self._hear(speech(number, 5 + 100 * number))
            case "click":
                self._hear(speech(number, 1))
            case "press":
                conversation.press_push_to_talk()
            case "mute":
                conversation.muted = not conversation.muted
            case "interrupt":
                await conversation.interrupt()
            case "picture":
                self.images.append(Image(b"never decoded", "image/png", 4, 3, "cat.png"))
            case "microphone":
                self.microphone.lost = not self.microphone.lost
            case "speaker":
                self.speaker.lost = not self.speaker.lost
            case "store":
                self.store.full = not self.store.full
            case "deaf":
                # The next transcription fails, or even the one after that.
                self.stt.failures = number % 3
            case "slow words":
                self.stt.may_finish.clear()
                asyncio.get_running_loop().call_later(number / 10, self.stt.may_finish.set)

    def _hear(self, *pieces: Floats) -> None:
        for samples in pieces:
            self.microphone.audio.put_nowait(samples)

    def _on_ready(self, conversation: SpokenConversation) -> None:
        self.conversation = conversation

    def _take_images(self) -> list[Image]:
        taken, self.images = self.images, []
        return taken


async def play(script: Script, folder: Path) -> Call:
    """Play a script to its end. Raises what the call raises, after it was checked."""
    call = Call(script, folder)
    running = asyncio.create_task(call.run())
    while call.conversation is None and not running.done():  # noqa: ASYNC110 - set by a callback
        await asyncio.sleep(0.01)
    for seconds, name, number in script.actions:
        await asyncio.sleep(seconds)
        if running.done():
            break
        await call.act(name, number)
    await asyncio.sleep(random.Random(script.seed).choice((0, 1, 4, 20)))
    match script.end:
        case "audio ends":
            call.microphone.audio.put_nowait(None)
        case "microphone fails":
            call.microphone.error = VoiceError("The microphone broke.")
        case "cancelled":
            running.cancel()
        case _:
            running.cancel("SIGTERM")
    call.stt.may_finish.set()
    await asyncio.wait([running], timeout=3600)
    assert running.done(), "the call hangs"
    check(call)
    await call.session.close()
    if not running.cancelled() and (error := running.exception()) is not None:
        raise error
    return call


def check(call: Call) -> None:
    """Check that no turn is lost, that the log is as documented, and that nothing is played any more."""
    lines = check_lines(call.folder / "log.jsonl")
    assert [line["event"] for line in (lines[0], lines[-1])] == ["begin", "end"]
    turns = [line["utterance"] for line in lines if line["event"] == "heard" and line["decision"] == "turn"]
    replies = {line["utterance"]: line for line in lines if line["event"] == "reply"}
    asked = [event.text for event in call.events if isinstance(event, UserTranscript)]
    # A turn that is heard in the moment in which the call ends may not have started.
    assert len(turns) - 1 <= len(replies) <= len(turns)
    assert list(replies) == turns[: len(replies)]
    assert len(asked) == len(replies)
    messages = call.session.messages
    assert [message.role for message in messages] == ["user", "assistant"] * (len(messages) // 2)
    kept = [line for line in replies.values() if line["failure"] is None or line["kept"]]
    assert [line["kept"] for line in kept] == [message.text for message in messages[1::2]]
    for message in messages[1::2]:
        assert message.text.strip() or message.interrupted
    assert "".join(line["text"] for line in replies.values()) == shown_text(call.events)
    assert not call.speaker.added_seconds, "nothing is left to play"
    saved = [(turn[0], turn[1]) for turn in call.store.turns]
    texts = [message.text for message in messages]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    if call.session.save_error is None:
        assert saved == pairs
    else:
        assert isinstance(call.session.save_error, HistoryError)
        assert saved == pairs[: len(saved)]


def shown_text(events: Iterable[object]) -> str:
    """Return the text of all replies, without what turned out to be reasoning."""
    shown, begin = "", 0
    for event in events:
        match event:
            case UserTranscript():
                begin = len(shown)
            case TextDelta(text):
                shown += text
            case TextWasReasoning():
                shown = shown[:begin]
    return shown


def use(script: Script) -> None:
    before = threading.active_count()

    def check_threads() -> None:
        assert threading.active_count() <= before, [thread.name for thread in threading.enumerate()]

    with tempfile.TemporaryDirectory() as folder:
        try:
            run_virtually(play(script, Path(folder)))
        except ParleyError:
            check_threads()
            raise
        check_threads()


def test_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voice.turns.vad.SileroVad", lambda: lambda frame: float(np.abs(frame).max()))
    fuzz("calls", make_script, use)
