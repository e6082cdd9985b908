"""Read what a process writes to a pseudo-terminal, and send it what a terminal sends."""

import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

DEADLINE_SECS = 60
"""Deadline of every wait of a `TerminalProcess`. A busy machine is slow."""


class Screen:
    """Output of a process on a pseudo-terminal, without interpretation."""

    def __init__(self, leader: int) -> None:
        self.leader = leader
        self.text = ""

    def wait_for(self, wanted: str) -> None:
        """Read until `wanted` appears."""
        # A deadline, because a blinking cursor never stops the output.
        deadline = time.monotonic() + 30
        while wanted not in self.text:
            assert self._read(), f"The process ended, and {wanted!r} never came: {self.text[-2000:]!r}"
            assert time.monotonic() < deadline, f"{wanted!r} never came: {self.text[-2000:]!r}"

    def read_all(self) -> str:
        """Read until the process closes the terminal, and return all output."""
        while self._read():
            pass
        os.close(self.leader)
        return self.text

    def _read(self) -> bool:
        if not select.select([self.leader], [], [], 30)[0]:
            return False
        try:
            data = os.read(self.leader, 65536)
        except OSError:  # Linux raises it when the other end is closed.
            return False
        self.text += data.decode(errors="replace")
        return bool(data)


class TerminalProcess:
    """A process that runs on a pseudo-terminal of its own. A thread reads all that it writes.

    Attributes:
        output: What it has written.
        attributes: Attributes of the terminal before the process started.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], *, rows: int = 30, columns: int = 100) -> None:
        import fcntl
        import pty
        import termios

        self.output = bytearray()
        self.leader, follower = pty.openpty()
        termios.tcsetwinsize(follower, (rows, columns))
        self.attributes = termios.tcgetattr(follower)

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={**env, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(rows)},
            start_new_session=True,
            preexec_fn=take_terminal,  # noqa: PLW1509 - the child becomes the leader of its terminal, as in a window
        )
        os.close(follower)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(DEADLINE_SECS)
        self.hang_up()

    def hang_up(self) -> None:
        """Close the terminal, as closing its window does."""
        leader, self.leader = self.leader, -1
        if leader >= 0:
            os.close(leader)

    def send(self, data: bytes | str) -> None:
        """Send `data` as the terminal would, whatever the process reads of it and when."""
        rest = data.encode() if isinstance(data, str) else data
        while rest:
            rest = rest[os.write(self.leader, rest[:1024]) :]

    def wait_for(self, wanted: bytes | str, after: int = 0) -> None:
        """Wait until `wanted` is in the output from position `after` on."""
        expected = wanted.encode() if isinstance(wanted, str) else wanted
        self.wait_until(lambda: self.output.find(expected, after) >= 0, f"{wanted!r} never came")

    def wait_until(self, condition: Callable[[], object], complaint: str) -> None:
        """Wait until `condition` holds."""
        deadline = time.monotonic() + DEADLINE_SECS
        while not condition():
            assert time.monotonic() < deadline, f"{complaint}: {self.output[-2000:]!r}"
            time.sleep(0.01)

    def wait(self) -> int:
        """Return the exit code once the process has ended and all its output is read."""
        code = self.process.wait(DEADLINE_SECS)
        self._reader.join(DEADLINE_SECS)
        return code

    def _read(self) -> None:
        leader = self.leader
        while True:
            try:
                data = os.read(leader, 65536)
            except OSError:  # Linux raises it when the other end is closed.
                return
            if not data:
                return
            self.output += data
