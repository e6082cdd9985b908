"""A process that has imported `parley` and forks a copy for each command, so that hundreds of commands take seconds."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]

_SERVER = """
import asyncio, json, os, resource, sqlite3, sys
# First: the module of that name takes the place of the function.
from parley.cli import main as run_command
import PIL.Image, pydantic
import assistant.attachments.images, assistant.history.store, assistant.models.scripted
import parley.cli.main, parley.cli.ask, parley.cli.chat, parley.cli.batch, parley.factory.session, parley.factory.models
import skills.captioning, skills.batch, skills.jsonl_results, skills.slash_commands

for line in iter(sys.stdin.readline, ""):
    request = json.loads(line)
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        continue
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY | os.O_CREAT), (2, os.O_WRONLY | os.O_CREAT)):
        descriptor = os.open(request["streams"][number], flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8")
    if request["max_file_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["max_file_bytes"],) * 2)
    sys.argv = ["parley", *request["arguments"]]
    run_command()
"""


@dataclass(frozen=True)
class Ended:
    """Outcome of a command.

    Attributes:
        code: Exit code; the negative number of a signal that has ended it at once.
        output: Standard output.
        errors: Standard error.
    """

    code: int
    output: str
    errors: str


@dataclass(frozen=True)
class Kill:
    """A signal in the middle of a command.

    Attributes:
        number: The signal.
        watched: File that the command writes, from its folder.
        size: Bytes in that file after which the signal is sent.
        seconds: Time that passes after that.
    """

    number: signal.Signals
    watched: str = "stdout"
    size: int = 0
    seconds: float = 0.0


class WarmParley:
    """Run commands in a folder. Used in a `with` block."""

    def __init__(self, folder: Path) -> None:
        """Start the process. Commands run in `folder`."""
        self._folder = folder
        self._streams = [folder / name for name in ("stdin", "stdout", "stderr")]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Unbuffered, so that nothing read is out of sight of `select`.
            bufsize=0,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def run(
        self,
        *arguments: str,
        stdin: str = "",
        kill: Kill | None = None,
        max_file_bytes: int | None = None,
        **environment: str,
    ) -> Ended:
        """Run a command to its end.

        Args:
            arguments: Its arguments.
            stdin: What is piped in.
            kill: A signal to be sent.
            max_file_bytes: Size at which files are full, as on a full disk.
            environment: Variables.
        """
        for stream in self._streams:
            stream.write_text(stdin if stream.name == "stdin" else "", "utf-8")
        request: dict[str, Any] = {
            "arguments": arguments,
            "environment": environment,
            "folder": str(self._folder),
            "streams": [str(stream) for stream in self._streams],
            "max_file_bytes": max_file_bytes,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        pid = int(self._process.stdout.readline())
        if kill is not None:
            watched = self._folder / kill.watched
            while not (watched.exists() and watched.stat().st_size >= kill.size) and not self._has_ended():
                pass
            time.sleep(kill.seconds)
            # It may have ended by now.
            with suppress(ProcessLookupError):
                os.kill(pid, kill.number)
        code = int(self._process.stdout.readline())
        return Ended(code, *(stream.read_text("utf-8") for stream in self._streams[1:]))

    def _has_ended(self) -> bool:
        """Return True if the exit code can be read. Waits for a millisecond."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0.001)[0])
