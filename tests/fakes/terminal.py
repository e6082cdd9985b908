"""Read what a process writes to a pseudo-terminal."""

import os
import select
import time


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
