"""VoiceController in the app: switched on and off, heard and answered, interrupted, and gone wrong."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from assistant.conversation.session import Session
from assistant.errors import VoiceError
from assistant.events import Event
from assistant.messages import Image
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from tests.fakes.audio import Floats
from tests.fakes.speech import FakeSpeechToText, FakeAudioOutput, FakeTextToSpeech
from tests.tui.conftest import Person, Use
from tests.tui.test_model_choice import Slow
from tests.tui.test_snapshots import SnapCompare, calm
from tui.app import ParleyApp
from voice.conversation import SpokenConversation, State
from voice.turns.vad import FRAME_SAMPLES, UserTurnDetector
from voice.voice_session import VoiceSession


class FakeCall(VoiceSession):
    """A spoken conversation whose microphone is `says`."""

    def __init__(self, *sentences: str, failure: str = "") -> None:
        self.ears, self.speaker = FakeSpeechToText(*sentences), FakeAudioOutput()
        self.failure = failure
        self.begun = 0
        self.closed = False
        self._sound: asyncio.Queue[Floats] = asyncio.Queue()

    async def run(
        self,
        session: Session,
        show: Callable[[Event], None],
        *,
        ready: Callable[[SpokenConversation], None],
        pictures: Callable[[], Sequence[Image]] = tuple,
        changed: Callable[[State], None] | None = None,
    ) -> None:
        self.begun += 1
        if self.failure:
            raise VoiceError(self.failure)
        taking = UserTurnDetector(lambda frame: float(np.abs(frame).max()))
        conversation = SpokenConversation(
            session, self.ears, FakeTextToSpeech(), self.speaker, taking, show, pictures=pictures, changed=changed
        )
        ready(conversation)
        await conversation.run(self._microphone())

    def says(self, sentence: int) -> None:
        self._sound.put_nowait(np.full(20 * FRAME_SAMPLES, 0.6 + sentence / 100, np.float32))
        self._sound.put_nowait(np.zeros(70 * FRAME_SAMPLES, np.float32))

    def close(self) -> None:
        self.closed = True

    async def _microphone(self) -> AsyncIterator[Floats]:
        while True:
            yield await self._sound.get()


def app_with(call: FakeCall, *replies: str) -> ParleyApp:
    model = ScriptedModel(*replies)

    def build_call(progress: Progress) -> VoiceSession:
        progress("loading Whisper", 0, 0)
        return call

    return ParleyApp(lambda _: Session(model), build_call=build_call)


async def test_what_is_said_is_shown_and_answered_and_f2_ends_it(use: Use) -> None:
    call = FakeCall("What is it?")
    async with use(app_with(call, "It is a **cat**.")) as person:
        await person.press("f2")
        await person.sees("listening", "StatusBar")
        call.says(0)
        await person.sees("What is it?", "UserMessage")
        await person.sees("It is a cat.", "AssistantMessage")
        await person.sees("listening", "StatusBar")
        assert "stopped" not in person.read()
        await person.press("f2")
        await person.until(lambda: "listening" not in person.read("StatusBar"))
        await person.press("f2")
        await person.sees("listening", "StatusBar")
    assert call.begun == 2
    assert call.closed


async def test_the_model_can_be_changed_after_something_was_said(use: Use) -> None:
    call = FakeCall("What is it?")
    slow = Slow(ScriptedModel("A dog."))
    app = ParleyApp(
        lambda _: Session(ScriptedModel("A cat."), models=slow, model_name="scripted"), build_call=lambda _: call
    )
    async with use(app) as person:
        await person.press("f2")
        await person.sees("listening", "StatusBar")
        call.says(0)
        await person.sees("A cat.", "AssistantMessage")
        await person.type("/model other")
        await person.press("enter")
        await person.sees("loading other 25 %", "StatusBar")
        slow.let.set()
        await person.sees("scripted answers from here on.")
        await person.type("And now?")
        await person.press("enter")
        await person.sees("A dog.", "AssistantMessage")


async def test_a_reply_that_is_interrupted_is_shown_as_far_as_it_was_heard(use: Use) -> None:
    call = FakeCall("Count.", "Stop it now.")
    call.speaker.limit = 0.3
    async with use(app_with(call, "One two three four five. Six.", "Good.")) as person:
        await person.press("f2")
        await person.sees("listening", "StatusBar")
        call.says(0)
        await person.sees("speaking", "StatusBar")
        await person.sees("Six.", "AssistantMessage")
        call.says(1)
        await person.sees("Stop it now.", "UserMessage")
        await person.sees("stopped")
        await person.until(lambda: "four" not in person.read("AssistantMessage"))
        await person.sees("One two three", "AssistantMessage")
        call.speaker.limit = 1e9
        await person.sees("Good.", "AssistantMessage")


async def test_esc_and_typing_stop_the_voice(use: Use) -> None:
    call = FakeCall("Count.")
    call.speaker.limit = 0.3
    async with use(app_with(call, "One two three four.", "One two three four.", "Typed back.")) as person:
        await person.press("f2")
        await person.sees("listening", "StatusBar")
        call.says(0)
        await person.sees("speaking", "StatusBar")
        await person.press("escape")
        await person.sees("listening", "StatusBar")
        await person.until(lambda: person.read("AssistantMessage").count("stopped") == 1)
        call.says(0)
        await person.sees("speaking", "StatusBar")
        await person.type("Enough")
        await person.press("enter")
        await person.sees("Typed back.", "AssistantMessage")
        await person.until(lambda: person.read("AssistantMessage").count("stopped") == 2)
        assert call.begun == 1, "and it goes on listening"


async def test_a_key_is_pushed_to_talk_and_pushed_to_send(use: Use) -> None:
    call = FakeCall("Hello you.")
    async with use(app_with(call, "Hello.")) as person:
        await person.press("f3")
        await person.sees("muted (F3 to talk)", "StatusBar")
        await person.press("f3")
        await person.sees("F3 sends", "StatusBar")
        call.says(0)
        await person.until(call._sound.empty)
        assert call.ears.asked == []
        await person.press("f3")
        await person.sees("Hello.", "AssistantMessage")
        await person.press("f4")
        await person.sees("listening", "StatusBar")
        await person.press("f4")
        await person.sees("muted", "StatusBar")


async def test_muting_without_voice_says_that_there_is_nothing_to_mute(use: Use) -> None:
    call = FakeCall("Hello you.")
    let = threading.Event()

    def build_call(_: Progress) -> VoiceSession:
        let.wait()
        return call

    app = ParleyApp(lambda _: Session(ScriptedModel("Hello.")), build_call=build_call)
    async with use(app) as person:
        await person.sees("ready", "StatusBar")
        await person.press("f4")
        await person.sees("there is nothing to mute: F2 begins to listen.", "Notice")
        await person.press("f2")
        await person.sees("voice: loading …", "StatusBar")
        await person.press("f4")
        await person.sees("F4 mutes once voice is loaded.", "Notice")
        let.set()
        await person.sees("listening", "StatusBar")
        assert "muted" not in person.read("StatusBar")


async def test_the_picture_on_the_table_goes_with_what_is_said(use: Use, picture: Path) -> None:
    call = FakeCall("What is it?")
    async with use(app_with(call)) as person:
        await person.press("f2")
        await person.sees("listening", "StatusBar")
        await person.paste(str(picture))
        await person.sees("holiday", "AttachmentChip")
        call.says(0)
        await person.sees("(and showed my holiday photo.png)", "AssistantMessage")
        await person.sees("my holiday photo", "UserMessage")
        await person.until(lambda: not person.app.screen.query("AttachmentChip"))


async def test_without_a_microphone_one_sentence_and_typing_goes_on(use: Use) -> None:
    call = FakeCall(failure="There is no microphone on this machine: plug one in, and see `parley devices`.")
    async with use(app_with(call, "Yes.")) as person:
        await person.press("f2")
        await person.sees("There is no microphone", "Notice")
        await person.type("Are you there?")
        await person.press("enter")
        await person.sees("Yes.", "AssistantMessage")
        assert "voice" not in person.read("StatusBar")


async def test_leaving_keeps_what_was_heard(use: Use) -> None:
    call = FakeCall("Count.")
    call.speaker.limit = 0.3
    app = app_with(call, "One two three four five. Six.")
    async with use(app) as person:
        await person.press("f2")
        await person.sees("listening", "StatusBar")
        call.says(0)
        await person.sees("speaking", "StatusBar")
        await person.press("ctrl+q")
    assert app._session is not None
    assert app._session.messages[-1].text == "One two three"


async def test_a_mistake_in_the_program_is_not_swallowed(use: Use) -> None:
    call = FakeCall("Hello.")
    app = app_with(call, "Hello.")
    call.run = None  # type: ignore[assignment,method-assign]
    with pytest.raises(TypeError):  # noqa: PT012 - raised where the app is left
        async with use(app) as person:
            await person.press("f2")
            await person.until(lambda: app._exception is not None)


def test_a_spoken_conversation(snap_compare: SnapCompare, picture: Path) -> None:
    call = FakeCall("What is this?", "And which colour is it?")

    async def look(pilot: Pilot[None]) -> None:
        person = Person(pilot)
        await person.press("f2")
        await person.sees("listening", "StatusBar")
        call.says(0)
        await person.sees("An orange ball", "AssistantMessage")
        await person.sees("listening", "StatusBar")
        call.speaker.limit = 0.2
        call.says(1)
        await person.sees("speaking", "StatusBar")
        await person.sees("I think", "AssistantMessage")
        calm(person)

    app = app_with(call, "An orange ball in front of a blue sky.", "Orange, I think. It may be the light.")
    assert snap_compare(app, run_before=look, terminal_size=(90, 24))
