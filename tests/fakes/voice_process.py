"""A running `parley voice` in front of the audio server."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from tests.fakes.audio import Floats
from tests.fakes.audio_server import AudioServer, wait_until
from voice.tts.base import TextToSpeech, speak

WAIT_SECS = 120
_ROOT = Path(__file__).parents[2]


class VoiceProcess:
    """`parley voice` with the scripted model, which repeats what is said to it, and a person who speaks to it."""

    def __init__(self, server: AudioServer, folder: Path, tts: TextToSpeech, *options: str) -> None:
        """Start the program and wait until it listens.

        Args:
            server: Microphone and speaker.
            folder: Folder for the call log and the history.
            tts: Voice of the person.
            options: Options of `parley voice`.
        """
        self.server = server
        self._tts = tts
        self._log = folder / "events.jsonl"
        data = {"PYTHONPATH": str(_ROOT), "PARLEY_DATA_DIR": str(folder / "data")}
        self._environment = os.environ | server.environment | data
        command = [sys.executable, "-u", "-m", "parley", "voice", "--model", "scripted:0.02"]
        self.process = subprocess.Popen(
            [*command, "--log", str(self._log), *options],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._errors: list[str] = []
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [_collect(self.process.stdout, self._lines), _collect(self.process.stderr, self._errors)]
        self.wait_for("begin")
        wait_until(server.is_recording)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the entries of the call log with this event name."""
        lines = self._log.read_text().splitlines(keepends=True) if self._log.exists() else []
        # The last line may be incomplete.
        entries: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("\n")]
        return [entry for entry in entries if entry["event"] == name]

    def wait_for(self, name: str, count: int = 1) -> dict[str, Any]:
        """Wait for the event `name` to be logged `count` times, and return the last of these entries."""
        deadline = time.monotonic() + WAIT_SECS
        while len(self.events(name)) < count:
            assert self.process.poll() is None, self._errors
            assert time.monotonic() < deadline, (name, self._log.read_text(), self._errors)
            time.sleep(0.05)
        return self.events(name)[count - 1]

    def say(self, text: str) -> None:
        """Speak into the microphone."""
        samples: Floats = np.concatenate(list(speak([text], self._tts)))
        self.server.say(samples, self._tts.sample_rate)

    def end_with(self, number: int) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(WAIT_SECS)
        self.join_readers()
        return code

    @property
    def log(self) -> Path:
        """The call log."""
        return self._log

    def press_ctrl_c(self) -> tuple[list[str], list[str]]:
        """End the conversation and return the lines of standard output and standard error."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(WAIT_SECS) == 130, self._errors
        self.join_readers()
        return self._lines, self._errors

    def kill(self) -> None:
        """End the program if it still runs."""
        self.process.kill()
        self.join_readers()

    def join_readers(self) -> None:
        """Wait until the output has been read completely."""
        for reader in self._readers:
            reader.join()

    def saved_messages(self) -> list[dict[str, Any]]:
        """Return the messages in the history."""
        [conversation] = self._history("list")
        messages: list[dict[str, Any]] = self._history("show", conversation["id"])["messages"]
        return messages

    def _history(self, *arguments: str) -> Any:
        command = [sys.executable, "-m", "parley", "history", *arguments, "--json"]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


def _collect(stream: IO[str], lines: list[str]) -> threading.Thread:
    thread = threading.Thread(target=lambda: lines.extend(iter(stream.readline, "")), daemon=True)
    thread.start()
    return thread
