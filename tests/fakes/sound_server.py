"""A microphone and a speaker that exist in software only: a PulseAudio server of the tests' own.

user's recording ─▶ sink "micfeed" ─▶ source "mic" ─▶ Parley ─▶ sink "spk" ─▶ monitor, which is recorded here
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
REASON = f"{', '.join(MISSING)} missing: apt install libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins"

_RATE = 48_000
_CONFIGURATION = """
load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
load-module module-null-sink sink_name=spk rate=48000
load-module module-null-sink sink_name=micfeed rate=48000
load-module module-remap-source master=micfeed.monitor source_name=mic
set-default-sink spk
set-default-source mic
"""


class SoundServer:
    """The server's address in `environment`, and what a person at its microphone and speaker can do."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self._folder = folder
        self._socket = socket
        self._process: subprocess.Popen[bytes] | None = None
        self.environment = {"PULSE_SERVER": f"unix:{socket}", "PULSE_COOKIE": str(folder / "cookie")}

    def start(self) -> None:
        """Begin, or begin anew after `stop`."""
        home = str(self._folder)
        command = ["pulseaudio", "-n", "-F", str(self._folder / "pulse.pa"), "--daemonize=no"]
        self._process = subprocess.Popen(
            [*command, "--exit-idle-time=-1", "--use-pid-file=no"],
            env=os.environ | {"HOME": home, "XDG_RUNTIME_DIR": home, "PULSE_RUNTIME_PATH": home},
            stderr=subprocess.DEVNULL,
        )
        _wait_until(self._socket.exists)
        self.run("pactl", "info")

    def stop(self) -> None:
        """Be gone, and all devices with it."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(20)
            self._socket.unlink(missing_ok=True)

    def run(self, *command: str) -> str:
        return subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def say(self, samples: Floats, rate: int) -> None:
        """Speak into the microphone; returns when all has been said."""
        path = self._folder / "said.wav"
        path.write_bytes(wave_bytes(samples, rate))
        self.run("paplay", "--device=micfeed", str(path))

    @contextmanager
    def recorded(self, source: str = "spk.monitor", tail: float = 1.0) -> Iterator[Path]:
        """The file, whole at the end of the block, into which that sound goes meanwhile: 48 kHz mono."""
        path = self._folder / f"{source}.wav"
        path.unlink(missing_ok=True)
        form = ["--channels=1", f"--rate={_RATE}", "--file-format=wav", "--latency-msec=20"]
        command = ["parecord", f"--device={source}", *form, str(path)]
        with subprocess.Popen(command, env=os.environ | self.environment, stderr=subprocess.DEVNULL) as process:
            try:
                # The header is there before anything is heard.
                _wait_until(lambda: path.exists() and path.stat().st_size > 10_000)
                yield path
                # What was played last is on its way through the server's buffers.
                time.sleep(tail)
            finally:
                process.terminate()


@contextmanager
def sound_server(folder: Path) -> Iterator[SoundServer]:
    """Start a server, and stop it at the end of the block."""
    # The path of a socket may have a hundred characters.
    socket = folder / "s"
    configuration = folder / "pulse.pa"
    configuration.write_text(_CONFIGURATION.format(socket=socket))
    server = SoundServer(folder, socket)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def samples_of(path: Path) -> Floats:
    """What was recorded, at 48 kHz."""
    with wave.open(str(path)) as file:
        assert file.getframerate() == _RATE
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "the sound server did not come up"
        time.sleep(0.05)
