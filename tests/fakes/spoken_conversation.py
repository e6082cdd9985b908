"""A spoken conversation with everything around it, driven step by step by a test.

Nothing here waits for a fixed time: a test says what the user does and then waits for what comes of it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from assistant.conversation.session import Session
from assistant.errors import ModelError, VoiceError
from assistant.events import Event, Notice, TurnFinished, UserTranscript
from assistant.messages import Image
from assistant.models.base import ChatModel
from assistant.models.scripted import ScriptedModel
from tests.fakes.audio import Floats
from tests.fakes.speech import (
    TTS_RATE,
    FakeAudioOutput,
    FakeSpeechToText,
    FakeTextToSpeech,
    loudness_detector,
    silence,
    speech,
)
from voice.audio.types import SAMPLE_RATE
from voice.audio_folder import AudioFolder
from voice.call_log import CallLog
from voice.conversation import SpokenConversation
from voice.emotion import DetectedEmotion
from voice.options import FrontEnd, SpeechEngines, State, VoiceOptions
from voice.recordings import RecordingOutput
from voice.turns.endpointing import EndOfTurnModel
from voice.turns.vad import TurnEvent, UserPaused

TIMEOUT_SECONDS = 60.0
"""Longer than a busy machine needs for anything here."""


class FakeAudioFolder(AudioFolder):
    """Saves nothing and remembers how long it was."""

    def __init__(self, output: RecordingOutput) -> None:
        super().__init__(Path("nowhere"), "call", output, TTS_RATE, print)
        self.output = output
        self.utterance_seconds: list[float] = []
        self.reply_seconds: list[float] = []

    def save_utterance(self, number: int, samples: Floats) -> str:
        self.utterance_seconds.append(samples.size / SAMPLE_RATE)
        return f"{number}.wav"

    def save_reply(self, number: int) -> str:
        self.reply_seconds.append(self.output.take_heard().size / TTS_RATE)
        return f"{number}-reply.wav"


class RecordedCallLog(CallLog):
    """A call log in memory that saves audio."""

    def __init__(self, output: RecordingOutput) -> None:
        self.audio = FakeAudioFolder(output)
        super().__init__(None, print, audio=self.audio)
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def write(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of all lines about `event`."""
        return [fields for name, fields in self.lines if name == event]


class FakeEmotionDetector:
    """Returns the given emotions one after the other; an error is raised."""

    def __init__(self, *emotions: DetectedEmotion | VoiceError | None, fails_to_load: bool = False) -> None:
        self.emotions = list(emotions)
        self.fails_to_load = fails_to_load
        self.calls: list[tuple[str, float]] = []
        """Text and seconds of audio of each call."""

    def prepare(self, model: ChatModel) -> None:
        if self.fails_to_load:
            raise ModelError("The bundled model cannot be fetched.")

    def detect(self, model: ChatModel, text: str, samples: Floats) -> DetectedEmotion | None:
        self.calls.append((text, samples.size / SAMPLE_RATE))
        emotion = self.emotions.pop(0)
        if isinstance(emotion, VoiceError):
            raise emotion
        return emotion


class ConversationHarness:
    """A conversation, its fakes, and what the user does in it."""

    def __init__(
        self,
        *replies: str | Exception,
        transcripts: tuple[str, ...],
        headphones: bool = False,
        end_of_turn: EndOfTurnModel | None = None,
        emotion: FakeEmotionDetector | None = None,
        token_seconds: float = 0.0,
        keep_audio: bool = True,
        model: ScriptedModel | None = None,
    ) -> None:
        """Build a conversation whose model gives `replies`; `say(n)` is transcribed as `transcripts[n]`."""
        self.model = model or ScriptedModel(token_seconds=token_seconds)
        self.model.enqueue(*replies)
        self.session = Session(self.model)
        self.stt, self.tts, self.output = FakeSpeechToText(*transcripts), FakeTextToSpeech(), FakeAudioOutput()
        self.events: list[Event] = []
        self.images: list[Image] = []
        """Taken by the next question."""
        self.states: list[State] = []
        recording_output = RecordingOutput(self.output, TTS_RATE)
        self.log = RecordedCallLog(recording_output)
        self.timeouts: list[float] = []
        """Silence timeouts that were set, in seconds."""
        self._detector = loudness_detector()
        self._record_timeouts()
        self._audio: asyncio.Queue[Floats | None] = asyncio.Queue()
        self._unprocessed = 0
        self._running: asyncio.Task[None] | None = None
        self.conversation = SpokenConversation(
            self.session,
            SpeechEngines(self.stt, self.tts, end_of_turn, emotion),
            self._detector,
            recording_output,
            FrontEnd(self.events.append, self.states.append, self._take_images, lambda: self.images),
            VoiceOptions(headphones=headphones, audio_dir=Path("audio") if keep_audio else None),
        )
        self.conversation.add_observer(self.log.on_event)

    # What the user does.

    def say(self, number: int) -> None:
        """Say text `number`, and be silent for longer than any pause may last."""
        self.start_speaking(number)
        self.be_silent()

    def start_speaking(self, number: int, frames: int = 20) -> None:
        self.hear(speech(number, frames))

    def be_silent(self, frames: int = 70) -> None:
        self.hear(silence(frames))

    def click(self, silent_frames: int = 5) -> None:
        """Make a noise of one frame, which is too short for speech."""
        self.hear(speech(30, 1))
        if silent_frames:
            self.be_silent(silent_frames)

    def hear(self, samples: Floats) -> None:
        """Put samples into the microphone."""
        self._unprocessed += 1
        self._audio.put_nowait(samples)

    def end_audio(self) -> None:
        self._audio.put_nowait(None)

    # Running.

    async def run(self) -> None:
        """Run the conversation until the end of the audio."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self.conversation.run(self._microphone())

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        """Run the conversation beside the block. At its end the audio ends, and then the conversation."""
        self._running = task = asyncio.create_task(self.run())
        # Its first step: the conversation reports its state and listens.
        await self.until(lambda: self.states)
        try:
            yield task
            self.end_audio()
            await task
        finally:
            self.stt.may_finish.set()
            task.cancel()
            await asyncio.wait([task])

    async def _microphone(self) -> AsyncIterator[Floats]:
        while (samples := await self._audio.get()) is not None:
            yield samples
            self._unprocessed -= 1

    # Waiting for what comes of it.

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds. Raises what the conversation raises meanwhile."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not condition():
                if self._running is not None and self._running.done():
                    self._running.result()
                await asyncio.sleep(0.005)

    async def processed(self) -> None:
        """Wait until the conversation has processed all audio."""
        await self.until(lambda: self._unprocessed == 0)

    async def event(self, kind: type[Event], count: int = 1) -> None:
        """Wait until there were `count` events of that kind."""
        await self.until(lambda: sum(isinstance(event, kind) for event in self.events) >= count)

    async def question(self, count: int = 1) -> None:
        """Wait until `count` utterances were understood as turns."""
        await self.event(UserTranscript, count)

    async def answer(self, count: int = 1) -> None:
        """Wait until `count` replies have been heard to their end."""
        await self.event(TurnFinished, count)

    async def classified(self, count: int) -> None:
        """Wait until it is decided of `count` utterances whether they are turns, and that has had its effect."""
        await self.until(lambda: len(self.log.of("heard")) >= count)

    async def timeout_set(self, count: int) -> None:
        """Wait until the silence timeouts of `count` pauses are set."""
        await self.until(lambda: len(self.timeouts) >= count)

    async def heard_seconds(self, seconds: float) -> None:
        """Wait until so many seconds of a reply have been given to the output, and play no more than these."""
        await self.until(lambda: self.output.added_seconds >= seconds)

    # Looking at it.

    @property
    def messages(self) -> list[tuple[str, bool]]:
        """Text of each message of the session, and whether it was interrupted."""
        return [(message.text, message.interrupted) for message in self.session.messages]

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]

    @property
    def questions(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, UserTranscript)]

    @property
    def instructions(self) -> list[str]:
        """System messages of each prompt."""
        return ["".join(each.text for each in prompt if each.role == "system") for prompt in self.model.prompts]

    def _take_images(self) -> list[Image]:
        taken, self.images = self.images, []
        return taken

    def _record_timeouts(self) -> None:
        set_silence_timeout = self._detector.set_silence_timeout

        def record(pause: UserPaused, seconds: float) -> list[TurnEvent]:
            self.timeouts.append(seconds)
            return set_silence_timeout(pause, seconds)

        self._detector.set_silence_timeout = record  # type: ignore[method-assign]
