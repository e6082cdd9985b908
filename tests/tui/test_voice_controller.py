"""The spoken conversation of the app: turned on and off, interrupted, muted, and failing."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from assistant.conversation.session import Session
from assistant.errors import VoiceError
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from tests.fakes.audio import Floats
from tests.fakes.conversation import AttentiveModel
from tests.fakes.speech import FakeAudioOutput, FakeSpeechToText, FakeTextToSpeech
from tests.fakes.tui import WAIT_SECS, Person, RunApp, SlowModelSource, SnapCompare, hide_variations
from tui.app import ParleyApp
from voice.conversation import SpokenConversation
from voice.options import FrontEnd, SpeechEngines
from voice.turns.vad import FRAME_SAMPLES, UserTurnDetector
from voice.voice_session import VoiceSession


class FakeVoiceSession(VoiceSession):
    """A voice session whose microphone hears what is passed to `say`."""

    def __init__(self, *sentences: str, failure: str = "") -> None:
        self.stt, self.speaker = FakeSpeechToText(*sentences), FakeAudioOutput()
        self.failure = failure
        self.runs = 0
        self.closed = False
        self._audio: asyncio.Queue[Floats] = asyncio.Queue()

    async def run(
        self,
        session: Session,
        front_end: FrontEnd,
        *,
        on_ready: Callable[[SpokenConversation], None],
    ) -> None:
        self.runs += 1
        if self.failure:
            raise VoiceError(self.failure)
        detector = UserTurnDetector(lambda frame: float(np.abs(frame).max()))
        engines = SpeechEngines(self.stt, FakeTextToSpeech())
        conversation = SpokenConversation(session, engines, detector, self.speaker, front_end)
        on_ready(conversation)
        await conversation.run(self._microphone())

    def say(self, sentence: int) -> None:
        self._audio.put_nowait(np.full(20 * FRAME_SAMPLES, 0.6 + sentence / 100, np.float32))
        self._audio.put_nowait(np.zeros(70 * FRAME_SAMPLES, np.float32))

    def close(self) -> None:
        self.closed = True

    async def _microphone(self) -> AsyncIterator[Floats]:
        while True:
            yield await self._audio.get()


def app_with(voice: FakeVoiceSession, *replies: str) -> ParleyApp:
    model = ScriptedModel(*replies)

    def build_voice_session(progress: Progress) -> VoiceSession:
        progress("loading Whisper", 0, 0)
        return voice

    return ParleyApp(lambda _: Session(model), build_voice_session=build_voice_session)


async def test_f2_starts_and_ends_a_spoken_conversation(run_app: RunApp) -> None:
    voice = FakeVoiceSession("What is it?")
    async with run_app(app_with(voice, "It is a **cat**.")) as person:
        await person.press("f2")
        await person.expect_text("listening", "StatusBar")
        voice.say(0)
        await person.expect_text("What is it?", "UserMessage")
        await person.expect_text("It is a cat.", "AssistantMessage")
        await person.expect_text("listening", "StatusBar")
        assert "stopped" not in person.read()
        await person.press("f2")
        await person.wait_until(lambda: "listening" not in person.read("StatusBar"))
        await person.press("f2")
        await person.expect_text("listening", "StatusBar")
    assert voice.runs == 2
    assert voice.closed


async def test_the_next_prompt_is_prepared_after_a_call(run_app: RunApp) -> None:
    voice = FakeVoiceSession("What is it?")
    model = AttentiveModel("It is a cat.")
    app = ParleyApp(lambda _: Session(model), build_voice_session=lambda _: voice)
    async with run_app(app) as person:
        await person.press("f2")
        await person.expect_text("listening", "StatusBar")
        voice.say(0)
        await person.expect_text("It is a cat.", "AssistantMessage")
        await person.expect_text("listening", "StatusBar")
        count = len(model.prepared)
        await person.press("f2")
        await person.wait_until(lambda: len(model.prepared) > count)
        assert model.prepared[-1].text == ""


async def test_the_next_prompt_is_prepared_after_a_call_that_failed(run_app: RunApp) -> None:
    model = AttentiveModel()
    app = ParleyApp(lambda _: Session(model), build_voice_session=lambda _: FakeVoiceSession(failure="No microphone."))
    async with run_app(app) as person:
        await person.wait_until(lambda: model.prepared)
        await person.press("f2")
        await person.expect_text("No microphone.", "Notice")
        await person.wait_until(lambda: len(model.prepared) > 1)


async def test_model_can_be_changed_during_a_spoken_conversation(run_app: RunApp) -> None:
    voice = FakeVoiceSession("What is it?")
    models = SlowModelSource(ScriptedModel("A dog."))
    app = ParleyApp(
        lambda _: Session(ScriptedModel("A cat."), models=models, model_name="scripted"),
        build_voice_session=lambda _: voice,
    )
    async with run_app(app) as person:
        await person.press("f2")
        await person.expect_text("listening", "StatusBar")
        voice.say(0)
        await person.expect_text("A cat.", "AssistantMessage")
        await person.send("/model other")
        await person.expect_text("loading other 25 %", "StatusBar")
        models.may_load.set()
        await person.expect_text("scripted answers from here on.")
        await person.send("And now?")
        await person.expect_text("A dog.", "AssistantMessage")


async def test_spoken_command_is_plain_words(run_app: RunApp) -> None:
    voice = FakeVoiceSession("/model other")
    models = SlowModelSource(ScriptedModel())
    app = ParleyApp(
        lambda _: Session(ScriptedModel("Which model?"), models=models, model_name="scripted"),
        build_voice_session=lambda _: voice,
    )
    async with run_app(app) as person:
        await person.press("f2")
        await person.expect_text("listening", "StatusBar")
        voice.say(0)
        await person.expect_text("Which model?", "AssistantMessage")
        assert "/model other" in person.read("UserMessage")


async def test_interrupted_reply_shows_only_what_was_heard(run_app: RunApp) -> None:
    voice = FakeVoiceSession("Count.", "Stop it now.")
    voice.speaker.play_limit = 0.3
    async with run_app(app_with(voice, "One two three four five. Six.", "Good.")) as person:
        await person.press("f2")
        await person.expect_text("listening", "StatusBar")
        voice.say(0)
        await person.expect_text("speaking", "StatusBar")
        await person.expect_text("Six.", "AssistantMessage")
        voice.say(1)
        await person.expect_text("Stop it now.", "UserMessage")
        await person.expect_text("stopped")
        await person.wait_until(lambda: "four" not in person.read("AssistantMessage"))
        await person.expect_text("One two three", "AssistantMessage")
        voice.speaker.play_limit = float("inf")
        await person.expect_text("Good.", "AssistantMessage")


async def test_esc_and_a_typed_message_stop_the_spoken_reply(run_app: RunApp) -> None:
    voice = FakeVoiceSession("Count.")
    voice.speaker.play_limit = 0.3
    async with run_app(app_with(voice, "One two three four.", "One two three four.", "Typed back.")) as person:
        await person.press("f2")
        await person.expect_text("listening", "StatusBar")
        voice.say(0)
        await person.expect_text("speaking", "StatusBar")
        await person.press("escape")
        await person.expect_text("listening", "StatusBar")
        await person.wait_until(lambda: person.read("AssistantMessage").count("stopped") == 1)
        voice.say(0)
        await person.expect_text("speaking", "StatusBar")
        await person.send("Enough")
        await person.expect_text("Typed back.", "AssistantMessage")
        await person.wait_until(lambda: person.read("AssistantMessage").count("stopped") == 2)
        assert voice.runs == 1, "it goes on listening"


async def test_push_to_talk(run_app: RunApp) -> None:
    voice = FakeVoiceSession("Hello you.")
    async with run_app(app_with(voice, "Hello.")) as person:
        await person.press("f3")
        await person.expect_text("muted (F3 to talk)", "StatusBar")
        await person.press("f3")
        await person.expect_text("F3 sends", "StatusBar")
        voice.say(0)
        await person.wait_until(voice._audio.empty)
        assert voice.stt.requested_languages == []
        await person.press("f3")
        await person.expect_text("Hello.", "AssistantMessage")
        await person.press("f4")
        await person.expect_text("listening", "StatusBar")
        await person.press("f4")
        await person.expect_text("muted", "StatusBar")


async def test_muting_without_voice_is_explained(run_app: RunApp) -> None:
    voice = FakeVoiceSession("Hello you.")
    may_load = threading.Event()

    def build_voice_session(_: Progress) -> VoiceSession:
        assert may_load.wait(WAIT_SECS)
        return voice

    app = ParleyApp(lambda _: Session(ScriptedModel("Hello.")), build_voice_session=build_voice_session)
    async with run_app(app) as person:
        await person.expect_text("ready", "StatusBar")
        await person.press("f4")
        await person.expect_text("there is nothing to mute: F2 turns it on.", "Notice")
        await person.press("f2")
        await person.expect_text("voice: loading …", "StatusBar")
        await person.press("f4")
        await person.expect_text("Voice is still loading: F4 mutes once it listens.", "Notice")
        may_load.set()
        await person.expect_text("listening", "StatusBar")
        assert "muted" not in person.read("StatusBar")


async def test_voice_turned_off_while_it_loads_shows_no_more_progress(run_app: RunApp) -> None:
    may_report, reported = threading.Event(), threading.Event()

    def build_voice_session(progress: Progress) -> VoiceSession:
        progress("loading Whisper", 1, 4)
        assert may_report.wait(WAIT_SECS)
        progress("loading Whisper", 2, 4)
        reported.set()
        raise VoiceError("Nobody waits for it.")

    app = ParleyApp(lambda _: Session(ScriptedModel("Hello.")), build_voice_session=build_voice_session)
    async with run_app(app) as person:
        await person.press("f2")
        await person.expect_text("loading Whisper 25 %", "StatusBar")
        await person.press("f2")
        await person.wait_until(lambda: "Whisper" not in person.read("StatusBar"))
        may_report.set()
        await person.wait_until(reported.is_set)
        await person.send("Are you there?")
        await person.expect_text("Hello.", "AssistantMessage")
        assert "Whisper" not in person.read("StatusBar")


async def test_attached_image_goes_with_the_spoken_question(run_app: RunApp, image_path: Path) -> None:
    voice = FakeVoiceSession("What is it?")
    async with run_app(app_with(voice)) as person:
        await person.press("f2")
        await person.expect_text("listening", "StatusBar")
        await person.paste(str(image_path))
        await person.expect_text("holiday", "AttachmentChip")
        voice.say(0)
        await person.expect_text("(and showed my holiday photo.png)", "AssistantMessage")
        await person.expect_text("my holiday photo", "UserMessage")
        await person.wait_until(lambda: not person.app.screen.query("AttachmentChip"))


async def test_missing_microphone_is_a_notice_and_typing_goes_on(run_app: RunApp) -> None:
    voice = FakeVoiceSession(failure="There is no microphone on this machine: plug one in, and see `parley devices`.")
    async with run_app(app_with(voice, "Yes.")) as person:
        await person.press("f2")
        await person.expect_text("There is no microphone", "Notice")
        await person.send("Are you there?")
        await person.expect_text("Yes.", "AssistantMessage")
        assert "voice" not in person.read("StatusBar")


async def test_voice_turned_off_and_on_while_it_loads_is_built_once(run_app: RunApp) -> None:
    voice = FakeVoiceSession("Hello.")
    may_continue = threading.Event()
    builds: list[int] = []

    def build(progress: Progress) -> VoiceSession:
        builds.append(1)
        assert may_continue.wait(WAIT_SECS)
        return voice

    app = ParleyApp(lambda _: Session(ScriptedModel("Hi.")), build_voice_session=build)
    async with run_app(app) as person:
        await person.expect_text("ready", "StatusBar")
        for _ in range(3):
            await person.press("f2")
            await person.expect_text("voice: loading", "StatusBar")
            await person.press("f2")
            await person.wait_until(lambda: "voice" not in person.read("StatusBar"))
        await person.press("f2")
        may_continue.set()
        await person.expect_text("listening", "StatusBar")
    assert len(builds) == 1
    assert voice.runs == 1
    assert voice.closed


async def test_voice_that_failed_to_load_is_built_again(run_app: RunApp) -> None:
    voice = FakeVoiceSession("Hello.")
    results: list[VoiceSession | VoiceError] = [VoiceError("The voice cannot be loaded."), voice]

    def build(progress: Progress) -> VoiceSession:
        if isinstance(result := results.pop(0), VoiceError):
            raise result
        return result

    app = ParleyApp(lambda _: Session(ScriptedModel("Hi.")), build_voice_session=build)
    async with run_app(app) as person:
        await person.press("f2")
        await person.expect_text("The voice cannot be loaded.", "Notice")
        await person.press("f2")
        await person.expect_text("listening", "StatusBar")


async def test_quitting_keeps_what_was_heard(run_app: RunApp) -> None:
    voice = FakeVoiceSession("Count.")
    voice.speaker.play_limit = 0.3
    app = app_with(voice, "One two three four five. Six.")
    async with run_app(app) as person:
        await person.press("f2")
        await person.expect_text("listening", "StatusBar")
        voice.say(0)
        await person.expect_text("speaking", "StatusBar")
        await person.press("ctrl+q")
    assert app._session is not None
    assert app._session.messages[-1].text == "One two three"


async def test_unexpected_error_ends_the_app(run_app: RunApp) -> None:
    voice = FakeVoiceSession("Hello.")
    app = app_with(voice, "Hello.")
    voice.run = None  # type: ignore[assignment,method-assign]
    with pytest.raises(TypeError):  # noqa: PT012 - raised where the app is left
        async with run_app(app) as person:
            await person.press("f2")
            await person.wait_until(lambda: app._exception is not None)


def test_spoken_conversation(snap_compare: SnapCompare, image_path: Path) -> None:
    voice = FakeVoiceSession("What is this?", "And which colour is it?")

    async def look(pilot: Pilot[None]) -> None:
        person = Person(pilot)
        await person.press("f2")
        await person.expect_text("listening", "StatusBar")
        voice.say(0)
        await person.expect_text("An orange ball", "AssistantMessage")
        await person.expect_text("listening", "StatusBar")
        voice.speaker.play_limit = 0.2
        voice.say(1)
        await person.expect_text("speaking", "StatusBar")
        await person.expect_text("I think", "AssistantMessage")
        hide_variations(person)

    app = app_with(voice, "An orange ball in front of a blue sky.", "Orange, I think. It may be the light.")
    assert snap_compare(app, run_before=look, terminal_size=(90, 24))
