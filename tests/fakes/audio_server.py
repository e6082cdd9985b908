"""A microphone and a speaker in software: a PulseAudio server that belongs to the tests.

person ─▶ sink "micfeed" ─▶ source "mic" ─▶ Parley ─▶ sink "spk" ─▶ its monitor, which the tests record
"""

import os
import shutil
import subprocess
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.fakes.audio import Floats, wave_bytes

PROGRAMS = ("pulseaudio", "pactl", "paplay", "parecord")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
REASON = f"needs {', '.join(MISSING)} (apt install libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins)"

RECORDING_RATE = 48_000
# Generous: a busy machine may hold a program up for seconds.
DEADLINE_SECONDS = 60
_CONFIGURATION = """
load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
load-module module-null-sink sink_name=spk rate=48000
load-module module-null-sink sink_name=micfeed rate=48000
load-module module-remap-source master=micfeed.monitor source_name=mic
set-default-sink spk
set-default-source mic
"""


class AudioServer:
    """The server, and what a person at its microphone and speaker can do.

    Attributes:
        environment: Variables with which a program finds the server.
    """

    def __init__(self, folder: Path, socket: Path) -> None:
        self._folder = folder
        self._socket = socket
        self._process: subprocess.Popen[bytes] | None = None
        self.environment = {"PULSE_SERVER": f"unix:{socket}", "PULSE_COOKIE": str(folder / "cookie")}

    def start(self) -> None:
        """Start the server, also again after `stop`."""
        home = str(self._folder)
        command = ["pulseaudio", "-n", "-F", str(self._folder / "pulse.pa"), "--daemonize=no"]
        self._process = subprocess.Popen(
            [*command, "--exit-idle-time=-1", "--use-pid-file=no"],
            env=os.environ | {"HOME": home, "XDG_RUNTIME_DIR": home, "PULSE_RUNTIME_PATH": home},
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._socket.exists)
        self.run("pactl", "info")

    def stop(self) -> None:
        """Stop the server; all its devices are lost."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(DEADLINE_SECONDS)
            self._socket.unlink(missing_ok=True)

    def run(self, *command: str) -> str:
        """Run a program on this server and return its output."""
        return subprocess.run(
            command,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE_SECONDS,
        ).stdout

    def is_playing(self) -> bool:
        """Tell whether a program has a stream open to the speaker."""
        return bool(self.run("pactl", "list", "short", "sink-inputs").strip())

    def is_recording(self) -> bool:
        """Tell whether a program listens to the microphone."""
        return "Corked: no" in self.run("pactl", "list", "source-outputs")

    def say(self, samples: Floats, rate: int) -> None:
        """Speak into the microphone; return when everything has been said."""
        path = self._folder / "said.wav"
        path.write_bytes(wave_bytes(samples, rate))
        self.run("paplay", "--device=micfeed", str(path))

    @contextmanager
    def record(self, source: str = "spk.monitor", tail: float = 1.0) -> Iterator[Path]:
        """Record a source inside the block, at `RECORDING_RATE`, mono. The file is complete after the block.

        Args:
            source: What to record; the speaker by default.
            tail: Seconds to go on after the block, for what is still in the server's buffers.
        """
        path = self._folder / f"{source}.wav"
        path.unlink(missing_ok=True)
        format_ = ["--channels=1", f"--rate={RECORDING_RATE}", "--file-format=wav", "--latency-msec=20"]
        command = ["parecord", f"--device={source}", *format_, str(path)]
        with subprocess.Popen(command, env=os.environ | self.environment, stderr=subprocess.DEVNULL) as process:
            try:
                # The file has a header before it has audio.
                wait_until(lambda: path.exists() and path.stat().st_size > 10_000)
                yield path
                time.sleep(tail)
            finally:
                process.terminate()


@contextmanager
def audio_server(folder: Path) -> Iterator[AudioServer]:
    """Start a server, and stop it at the end of the block."""
    # In a short folder: the path of a socket may have about a hundred characters.
    socket = folder / "s"
    configuration = folder / "pulse.pa"
    configuration.write_text(_CONFIGURATION.format(socket=socket))
    server = AudioServer(folder, socket)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def read_samples(path: Path) -> Floats:
    """Read a recording; its rate is `RECORDING_RATE`."""
    with wave.open(str(path)) as file:
        assert file.getframerate() == RECORDING_RATE
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for `condition` up to `DEADLINE_SECONDS`."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the audio server did not get there in time"
        time.sleep(0.05)
