"""KILL, TERM and HUP at random points of the running app: nothing finished is lost, the terminal is restored.

The environment variable KILLS says how often each signal is sent.
"""

import os
import random
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from assistant.history.store import History
from tests.fakes.scripts import ROOT
from tests.fakes.terminal import TerminalProcess

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

KILLS = int(os.environ.get("KILLS", "5"))
MAX_TURNS = 4
MAX_SECS = 1.5
"""Latest time of the signal after the last turn that was waited for."""

SLOW_APP = """
import parley.factory.session
from assistant.models.scripted import ScriptedModel
from parley.cli import main
parley.factory.session.build_model = lambda *_: ScriptedModel(token_seconds=0.01)
main()
"""
"""The command itself, with a model that takes a second for a reply."""

WORDS = " ".join(f"word{number}" for number in range(60))


def run_and_kill(number: signal.Signals, rng: random.Random, folder: Path) -> tuple[int, int, bytes]:
    """Talk to the app and send it a signal at a random point.

    Returns:
        The turns whose reply was complete, the exit code, and all output.
    """
    import termios

    env = {**os.environ, "PYTHONPATH": str(ROOT), "PARLEY_DATA_DIR": str(folder)}
    finished = 0
    with TerminalProcess([sys.executable, "-c", SLOW_APP], env) as terminal:
        if rng.random() < 0.1:  # while it starts
            time.sleep(rng.uniform(0, 2))
        else:
            terminal.wait_for("ready")
            for turn in range(rng.randint(0, MAX_TURNS)):
                ready = terminal.output.count(b"ready")
                terminal.send(f"turn {turn} {WORDS}\r")
                terminal.wait_for(f"You said: turn {turn}")
                terminal.wait_until(lambda ready=ready: terminal.output.count(b"ready") > ready, "the turn went on")  # type: ignore[misc]
                finished += 1
            terminal.send(f"turn {finished} {WORDS}\r")
            time.sleep(rng.uniform(0, MAX_SECS))
        if terminal.process.poll() is None:
            terminal.process.send_signal(number)
        code = terminal.wait()
        restored = termios.tcgetattr(terminal.leader)[:4] == terminal.attributes[:4]
        if number is not signal.SIGKILL:
            assert restored, "the terminal is not as it was"
        return finished, code, bytes(terminal.output)


@pytest.mark.slow
@pytest.mark.usefixtures("unset")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_signal_at_a_random_point_loses_nothing(number: signal.Signals, tmp_path: Path) -> None:
    running = saved_partly = 0
    for attempt in range(KILLS):
        rng = random.Random(f"{number} {attempt}")
        folder = tmp_path / str(attempt)
        finished, code, output = run_and_kill(number, rng, folder)
        messages = saved_messages(folder)
        replies = [message for message in messages if message.startswith("You said: turn")]
        assert len(replies) >= finished, (attempt, finished, messages)
        for turn in range(finished):
            assert messages[2 * turn] == f"turn {turn} {WORDS}"
            assert messages[2 * turn + 1] == f"You said: turn {turn} {WORDS}"
        if number is signal.SIGKILL:
            assert code == -signal.SIGKILL
            continue
        # Python itself starts without a handler. Until the app is there, nothing can be lost.
        is_starting = b"\x1b[?1049h" not in output
        assert code == 128 + number or (code == -number and is_starting), (attempt, code, output[-500:])
        assert b"Traceback" not in output, (attempt, output[-2000:])
        if not is_starting:
            assert output.rindex(b"\x1b[?1049l") > output.rindex(b"\x1b[?1049h")
            assert output.rindex(b"\x1b[?25h") > output.rindex(b"\x1b[?25l")
        if was_answering(output, finished):
            running += 1
            # Either the reply so far is saved, or the message is a draft.
            draft = folder / "draft.txt"
            saved_partly += len(messages) > 2 * finished
            kept = len(messages) > 2 * finished or (draft.exists() and f"turn {finished}" in draft.read_text("utf-8"))
            assert kept, (attempt, messages[2 * finished :])
    print(f"\n{number.name}: {KILLS} kills, {running} during a reply, {saved_partly} replies kept so far, 0 lost")


def saved_messages(folder: Path) -> list[str]:
    if not (folder / "history.sqlite3").exists():
        return []
    history = History(folder / "history.sqlite3")
    return [message.text for summary in history.list() for message in history.load(summary.id)[1]]


def was_answering(output: bytes, turn: int) -> bool:
    """Return True if the message of `turn` was shown as sent, which is before its reply begins."""
    return re.search(rb"thinking|writing", output.rpartition(b"ready")[2]) is not None and b"turn %d" % turn in output
