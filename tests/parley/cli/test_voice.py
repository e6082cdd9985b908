"""`parley voice` with everything real but the room: spoken to, answering, interrupted, and hearing itself."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistant.progress import no_progress
from assistant.settings import load
from parley.factory.voice import build_end_of_turn_model, build_stt, build_tts
from tests.fakes.audio import Floats
from tests.fakes.audio_server import MISSING, REASON, AudioServer, audio_server, read_samples
from voice.audio.decode import open_audio
from voice.stt.base import SpeechToText
from voice.stt.long_form import transcribe
from voice.tts.base import TextToSpeech, speak

pytestmark = [
    pytest.mark.slow,
    pytest.mark.live,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(MISSING), reason=REASON),
]

ROOT = Path(__file__).parents[3]
STORY = (
    "Please tell me a long story about a little grey cat that lives in a big house near the river, "
    "and never sleeps at night, but sits at the window and counts the boats."
)


@pytest.fixture(scope="module", autouse=True)
def end_of_turn_model_downloaded() -> None:
    """Download the model first: `parley voice` would report that on standard error."""
    build_end_of_turn_model(load().settings)


@pytest.fixture(scope="module")
def tts() -> TextToSpeech:
    return build_tts(load().settings)


@pytest.fixture(scope="module")
def stt() -> SpeechToText:
    return build_stt(load().settings)


class Talk:
    """A running `parley voice` with the model that repeats what it is told, and what it has written so far."""

    def __init__(self, server: AudioServer, folder: Path, tts: TextToSpeech, *options: str) -> None:
        self.server = server
        self._tts = tts
        self._log = folder / "events.jsonl"
        data = {"PYTHONPATH": str(ROOT), "PARLEY_DATA_DIR": str(folder / "data")}
        self._environment = os.environ | server.environment | data
        self._lines: list[str] = []
        command = [sys.executable, "-u", "-m", "parley", "voice", "--model", "scripted:0.02"]
        self.process = subprocess.Popen(
            [*command, "--log", str(self._log), *options],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self._lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self._errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.until("begin")
        # The first samples come a moment after the microphone is opened, and nothing tells.
        time.sleep(2)

    def _read(self, stream: Iterator[str], lines: list[str]) -> None:
        lines.extend(iter(stream.readline, ""))  # type: ignore[attr-defined]

    def log(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log about such events."""
        lines = self._log.read_text().splitlines(keepends=True) if self._log.exists() else []
        # The last one may still be on its way.
        found: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("\n")]
        return [line for line in found if line["event"] == event]

    def until(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait until that has happened so many times; the last of them."""
        deadline = time.monotonic() + 120
        while len(self.log(event)) < count:
            assert self.process.poll() is None, self._errors
            assert time.monotonic() < deadline, (event, self._log.read_text(), self._errors)
            time.sleep(0.05)
        return self.log(event)[count - 1]

    def sound(self, text: str) -> Floats:
        return np.concatenate(list(speak([text], self._tts)))

    def say(self, text: str) -> None:
        self.server.say(self.sound(text), self._tts.sample_rate)

    def end(self) -> tuple[list[str], list[str]]:
        """Press Ctrl-C; what it wrote to standard output and error."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) == 130, self._errors
        self.join()
        return self._lines, self._errors

    def join(self) -> None:
        """Wait until all it wrote has been read."""
        for reader in self._readers:
            reader.join()

    def history(self) -> list[dict[str, object]]:
        """The messages that were kept."""

        def parley(*arguments: str) -> str:
            command = [sys.executable, "-m", "parley", "history", *arguments, "--json"]
            return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True).stdout

        listed = json.loads(parley("list"))
        messages: list[dict[str, object]] = json.loads(parley("show", listed[0]["id"]))["messages"]
        return messages


@pytest.fixture
def talk(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, tts: TextToSpeech
) -> Iterator[Talk]:
    with audio_server(tmp_path_factory.mktemp("pulse")) as server:
        talk = Talk(server, tmp_path, tts, *getattr(request, "param", ()))
        with talk.process:
            try:
                yield talk
            finally:
                talk.process.kill()
                talk.join()


def words_in(path: Path, stt: SpeechToText) -> str:
    with open_audio(path) as audio:
        return " ".join(each.text for each in transcribe(stt, audio, no_progress, "en")).lower()


def test_a_question_and_a_follow_up_are_answered(talk: Talk, stt: SpeechToText) -> None:
    noise = 0.02 * np.random.default_rng(0).standard_normal(3 * 16_000)
    talk.server.say(noise, 16_000)
    with talk.server.record() as path:
        talk.say("What is the capital of France?")
        talk.until("reply")
    assert "capital of france" in words_in(path, stt)
    talk.say("Is the river in that city very long?")
    second = talk.until("reply", 2)
    lines, errors = talk.end()
    assert lines[0] == "You: What is the capital of France?\n"
    assert lines[1] == "Parley: You said: What is the capital of France?\n"
    assert "river in that city" in lines[2]
    assert len(lines) == 4, "noise is no turn"
    assert errors == ["parley: Listening to default. Ctrl-C ends the conversation.\n"], "no chatter of sound libraries"
    heard = talk.log("heard")[-1]
    assert heard["decision"] == "turn"
    assert 0.3 < heard["words_seconds"] < second["first_token_seconds"] < second["first_audio_seconds"]
    assert second["spoken"]
    assert second["kept"] == second["text"]
    print({name: second[name] for name in ("first_token_seconds", "first_audio_seconds")}, heard["words_seconds"])


@pytest.mark.parametrize("talk", [("--empathy",)], indirect=True)
def test_empathy_tells_the_model_of_distress(talk: Talk) -> None:
    talk.say("I am so angry, this is outrageous and I hate it!")
    talk.until("reply")
    for number, words in enumerate(("What is the capital of France?", "Is it a very large city?"), 2):
        talk.say(words)
        talk.until("reply", number)
    _, errors = talk.end()
    upset, calm, known = talk.log("mood")
    assert upset["label"] == "anger"
    assert upset["instructions"] == "The user sounds angry. Be kind and calm."
    assert calm["instructions"] is None
    assert set(upset["parts"]) == set(calm["parts"]) == {"text"}
    assert known["utterance"] == 3
    assert "parley: You sound angry: the model is told.\n" in errors


INTERRUPTIONS = (
    "Wait, I would rather hear about the old dog that lives in the garden behind the church, and never comes home.",
    "No, I have changed my mind, and I want to know about the boats that wait on the river near the harbour.",
    "Stop talking please, what time is it now?",
)


# This room's microphone cannot hear its speaker, which is what headphones are.
@pytest.mark.parametrize("talk", [("--headphones",)], indirect=True)
def test_speaking_over_the_reply_stops_it(talk: Talk) -> None:
    talk.say(STORY)
    delays: list[float] = []
    for number, interruption in enumerate(INTERRUPTIONS, 1):
        talk.until("speaking", number)
        with talk.server.record("spk.monitor", 0) as reply, talk.server.record("micfeed.monitor", 0) as person:
            # The recorders begin while it speaks.
            time.sleep(2)
            talk.say(interruption)
            talk.until("heard", number + 1)
        delays += silent_after(read_samples(reply), read_samples(person))
    print(f"silent {', '.join(f'{1000 * delay:.0f}' for delay in delays)} ms after the onset of speech")
    # 150 ms are aimed at; a busy machine is slower.
    assert delays
    assert np.median(delays) < 0.3
    talk.until("reply", len(INTERRUPTIONS) + 1)
    talk.end()
    replies = [message for message in talk.history() if message["role"] == "assistant"]
    assert [reply["interrupted"] for reply in replies] == [True, True, True, False]
    assert str(replies[0]["text"]).startswith("You said: Please tell me")
    assert not str(replies[0]["text"]).endswith("boats.")


def silent_after(spoken: Floats, heard: Floats) -> list[float]:
    """Seconds from the onset of what the person said until Parley was silent; both recordings ended together.

    Empty if the onset fell into a breath of Parley's, which tells nothing.
    """
    length = min(spoken.size, heard.size)
    onset = int(np.flatnonzero(np.abs(heard[-length:]) > 0.02)[0])
    loud = np.abs(spoken[-length:]) > 0.01
    assert loud[max(0, onset - 48_000) : onset].any(), "it was being spoken to while it spoke"
    if not loud[onset : onset + 2_400].any():
        return []
    return [(int(np.flatnonzero(loud[: onset + 48_000])[-1]) - onset) / 48_000]


def test_it_does_not_answer_its_own_voice(talk: Talk) -> None:
    talk.server.run("pactl", "load-module", "module-loopback", "source=spk.monitor", "sink=micfeed", "latency_msec=60")
    talk.say("The grey cat sits at the window and counts the boats on the river.")
    talk.until("speaking")
    with talk.server.record("micfeed.monitor", 0) as path:
        talk.until("reply")
        # What would be its own last words take a moment to be understood.
        time.sleep(4)
    assert np.abs(read_samples(path)).max() > 0.1, "the microphone heard what it said"
    lines, _ = talk.end()
    assert [line.split(":")[0] for line in lines] == ["You", "Parley"], lines


@pytest.mark.parametrize("talk", [("--headphones",)], indirect=True)
def test_devices_that_come_back_are_used_again(talk: Talk, stt: SpeechToText) -> None:
    talk.say(STORY)
    talk.until("speaking")
    time.sleep(1)
    talk.server.stop()
    reply = talk.until("reply")
    assert reply["kept"] == reply["text"]
    assert reply["text"].endswith("counts the boats.")
    assert not reply["interrupted"]
    talk.until("device", 2)
    talk.server.start()
    talk.until("device", 4)
    time.sleep(2)
    with talk.server.record() as path:
        talk.say("What is the capital of France?")
        assert talk.until("reply", 2)["spoken"]
    assert "capital of france" in words_in(path, stt)
    lines, errors = talk.end()
    assert [line.split(":")[0] for line in lines] == ["You", "Parley"] * 2
    told = [line.removeprefix("parley: ").split(":")[0] for line in errors[1:]]
    assert sorted(told) == [
        "The microphone 'default' has gone", "The microphone is back", "The speaker 'default' has gone",
        "The speaker is back",
    ]  # fmt: skip
