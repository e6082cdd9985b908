"""A whole call without devices: what its log says, whatever ends it."""

import asyncio
import json
import stat
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from assistant.conversation.session import Session
from assistant.errors import ModelError, VoiceError
from assistant.events import Event, Notice, TurnFinished
from assistant.messages import Image, system
from assistant.models.scripted import ScriptedModel
from assistant.settings import load
from parley.factory.voice import describe_engines
from tests.fakes.call_log_schema import check_lines, documented_fields
from tests.fakes.speech import FakeSpeechToText, FakeTextToSpeech, silence, speech
from tests.fakes.spoken_conversation import TIMEOUT_SECONDS, FakeEmotionDetector
from tests.fakes.voice_devices import FakeMicrophone, FakeSpeaker
from voice.audio.streams import AudioOutput, Microphone
from voice.emotion import DetectedEmotion
from voice.options import FrontEnd, SpeechEngines, VoiceOptions
from voice.voice_session import VoiceSession

ANGRY = DetectedEmotion("anger", 0.9, {"text": ("anger", 0.9), "voice": ("neutral", 0.95)})
CAT = Image(b"never decoded", "image/png", 4, 3, "cat.png")


class Call:
    """A voice session with everything around it, and what its user does."""

    def __init__(self, folder: Path, *replies: str | Exception, transcripts: tuple[str, ...]) -> None:
        self.log = folder / "calls" / "events.jsonl"
        self.audio = folder / "audio"
        self.record = folder / "call.wav"
        self.microphone, self.speaker = FakeMicrophone(), FakeSpeaker()
        model = ScriptedModel()
        model.enqueue(*replies)
        self.session = Session(model, system=system("Be brief."))
        self.stt = FakeSpeechToText(*transcripts)
        self.engines = SpeechEngines(self.stt, FakeTextToSpeech())
        self.events: list[Event] = []
        self.images: list[Image] = []

    def say(self, number: int) -> None:
        self.microphone.audio.put_nowait(speech(number))
        self.microphone.audio.put_nowait(silence())

    async def run(self, engines: SpeechEngines | None = None) -> None:
        engines = engines or self.engines
        options = VoiceOptions(headphones=True, call_log=self.log, audio_dir=self.audio, record=self.record)
        voice_session = VoiceSession(
            engines,
            cast("Microphone", self.microphone),
            cast("AudioOutput", self.speaker),
            options,
            about=describe_engines(load({}).settings, engines),
        )
        front_end = FrontEnd(self.events.append, take_images=self._take_images)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await voice_session.run(self.session, front_end, on_ready=lambda _: None)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not condition():  # noqa: ASYNC110 - there is no event for what a test looks at
                await asyncio.sleep(0.005)

    async def notices(self, count: int) -> None:
        await self.until(lambda: self.count(Notice) >= count)

    def count(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    def lines(self, event: str) -> list[dict[str, Any]]:
        return [line for line in check_lines(self.log) if line["event"] == event]

    def _take_images(self) -> list[Image]:
        taken, self.images = self.images, []
        return taken


@pytest.fixture(autouse=True)
def loud_frames_are_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voice.turns.vad.SileroVad", lambda: lambda frame: float(np.abs(frame).max()))


async def test_every_line_of_a_call_is_as_documented(tmp_path: Path) -> None:
    replies = ("One two three four five. Six.", "I break here.", ModelError("Out of luck."), "Good.")
    call = Call(tmp_path, *replies, transcripts=("Count.", "Mm-hm.", "Stop it now.", "And now?", "Go on."))
    call.images = [CAT]
    emotions = [ANGRY, DetectedEmotion("joy", 0.9, {"text": ("joy", 0.9)}), None, None]
    engines = SpeechEngines(call.stt, FakeTextToSpeech(), lambda _: 0.9, FakeEmotionDetector(*emotions))
    running = asyncio.create_task(call.run(engines))
    call.speaker.play_limit = 0.3
    call.say(0)
    await call.until(lambda: call.speaker.added_seconds >= 0.3)
    call.say(1)
    call.say(2)
    await call.until(lambda: call.count(TurnFinished) == 1)
    call.microphone.lost = True
    await call.until(lambda: any(isinstance(event, Notice) and "disconnected" in event.text for event in call.events))
    call.microphone.lost = False
    await call.until(lambda: any(isinstance(event, Notice) and "is back" in event.text for event in call.events))
    call.speaker.play_limit = float("inf")
    call.say(3)
    await call.until(lambda: any(event == Notice("Out of luck.") for event in call.events))
    call.say(4)
    await call.until(lambda: call.count(TurnFinished) == 2)
    call.microphone.audio.put_nowait(None)
    await running
    lines = check_lines(call.log)
    assert {line["event"] for line in lines} == documented_fields().keys() - {"", "lost"}
    assert [line["event"] for line in (lines[0], lines[-1])] == ["begin", "end"]
    begin = lines[0]
    assert begin["system"] == "Be brief."
    assert (begin["voice"], begin["microphone"], begin["recording"]) == ("auto", "a microphone", "call.wav")
    assert {"parley", "python"} <= begin["versions"].keys()
    assert lines[-1]["reason"] == "ended"


@pytest.mark.parametrize(("message", "reason"), [("SIGTERM", "SIGTERM"), ("SIGHUP", "SIGHUP"), (None, "stopped")])
async def test_a_call_that_is_stopped_says_why_and_keeps_the_turn(
    message: str | None, reason: str, tmp_path: Path
) -> None:
    call = Call(tmp_path, "One two three four five. Six.", transcripts=("Count.",))
    call.speaker.play_limit = 0.25
    running = asyncio.create_task(call.run())
    call.say(0)
    await call.until(lambda: call.speaker.added_seconds >= 0.25)
    running.cancel(message)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert call.lines("end")[0]["reason"] == reason
    (reply,) = call.lines("reply")
    assert (reply["kept"], reply["interrupted"]) == ("One two", True)
    assert [message.text for message in call.session.messages] == ["Count.", "One two"]
    with wave.open(str(call.audio / reply["audio"])) as file:
        assert file.getnframes() == round(0.25 * file.getframerate()), "what was heard"


async def test_a_call_that_fails_says_what_failed(tmp_path: Path) -> None:
    call = Call(tmp_path, RuntimeError("out of luck"), transcripts=("Hello you.",))
    call.say(0)
    with pytest.raises(RuntimeError, match="out of luck"):
        await call.run()
    (end,) = call.lines("end")
    assert (end["reason"], end["failure"]) == ("failed", "out of luck")


async def test_devices_that_cannot_be_opened_are_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise VoiceError("The microphone is in use.")

    call = Call(tmp_path, transcripts=())
    monkeypatch.setattr(call.microphone, "open", fail)
    with pytest.raises(VoiceError):
        await call.run()
    assert [line["event"] for line in check_lines(call.log)] == ["begin", "end"]
    assert call.lines("end")[0]["failure"] == "The microphone is in use."


async def test_empty_reply_is_told_and_the_call_goes_on(tmp_path: Path) -> None:
    call = Call(tmp_path, "", " \n\u200b", "Fine.", transcripts=("Hello you.", "Anybody there?", "How are you?"))
    running = asyncio.create_task(call.run())
    for number in range(2):
        call.say(number)
        await call.notices(number + 1)
    call.say(2)
    await call.until(lambda: call.count(TurnFinished))
    call.microphone.audio.put_nowait(None)
    await running
    tts = cast("FakeTextToSpeech", call.engines.tts)
    assert tts.sentences == ["Fine."]
    assert [message.text for message in call.session.messages] == ["How are you?", "Fine."]
    replies = call.lines("reply")
    assert [bool(reply["failure"]) for reply in replies] == [True, True, False]
    assert [reply["audio"] is None for reply in replies] == [True, True, False]


async def test_nothing_that_cannot_be_written_ends_the_call(tmp_path: Path) -> None:
    call = Call(tmp_path, "Fine.", transcripts=("How are you?",))
    (tmp_path / "file").write_text("")
    call.log, call.audio, call.record = (tmp_path / "file" / name for name in ("log", "audio", "call.wav"))
    running = asyncio.create_task(call.run())
    call.say(0)
    await call.until(lambda: call.count(TurnFinished))
    call.microphone.audio.put_nowait(None)
    await running
    notices = [event.text for event in call.events if isinstance(event, Notice)]
    assert len(notices) == 3
    assert all("the conversation goes on" in notice for notice in notices)
    assert call.session.messages[-1].text == "Fine."


def check_permissions(call: Call) -> None:
    files = [call.log, call.record, *call.audio.iterdir()]
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (call.log.parent, call.audio)} == {0o700}


async def test_files_of_a_call_belong_to_their_owner_alone(tmp_path: Path) -> None:
    call = Call(tmp_path, "Fine.", transcripts=("How are you?",))
    running = asyncio.create_task(call.run())
    call.say(0)
    await call.until(lambda: call.count(TurnFinished))
    call.microphone.audio.put_nowait(None)
    await running
    check_permissions(call)
    with wave.open(str(call.record)) as file:
        assert file.getnchannels() == 2
        assert file.getnframes() == 90 * 512
    assert json.loads(call.log.read_text().splitlines()[0])["call"][-6:].isalnum()
