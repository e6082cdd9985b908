"""SIGTERM and SIGHUP: what was shown is kept, the exit code names the signal, and nothing is printed about it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from tests.fakes.command_line import command, image_names, last_messages, run, start

pytestmark = [
    pytest.mark.usefixtures("scripted_machine"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX"),
]

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
LONG = "word " * 500
SLOW = "scripted:0.05"


def stream(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def errors_of(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stderr is not None
    return process.stderr.read()


def stop_in_the_middle(process: "subprocess.Popen[bytes]", number: int) -> str:
    """Send a signal after the first character of the output, check how the process ends, and return its output."""
    first = stream(process).read(1)
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert errors_of(process) == b""
    return (first + stream(process).read()).decode()


@BOTH
def test_a_signal_during_the_answer_saves_the_partial_reply(number: int) -> None:
    with start("ask", LONG, "--model", SLOW) as process:
        output = stop_in_the_middle(process, number)
    reply = last_messages()[1]
    assert reply["interrupted"]
    assert output == reply["text"] + "\n"


def test_a_background_job_that_ignores_ctrl_c_is_stopped_by_sigterm() -> None:
    # Shells let the jobs of a script ignore SIGINT, and asyncio then handles no signal.
    with start("ask", LONG, "--model", SLOW, preexec_fn=ignore(signal.SIGINT)) as process:
        output = stop_in_the_middle(process, signal.SIGTERM)
    assert output == last_messages()[1]["text"] + "\n"


def ignore(number: int) -> Callable[[], object]:
    """Return what makes a new process ignore a signal."""
    return lambda: signal.signal(number, signal.SIG_IGN)


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    with start("ask", "one two three", "--model", SLOW, preexec_fn=ignore(signal.SIGHUP)) as process:
        first = stream(process).read(1)
        process.send_signal(signal.SIGHUP)
        assert process.wait(30) == 0
        assert first + stream(process).read() == b"You said: one two three\n"


def test_the_same_signal_twice_at_once_counts_once() -> None:
    # `timeout` sends it to the process and then to its group.
    with start("ask", LONG, "--model", SLOW) as process:
        first = stream(process).read(1)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
        assert (first + stream(process).read()).decode() == last_messages()[1]["text"] + "\n"


def test_a_second_signal_ends_at_once() -> None:
    # The server never sends the end of the reply, and the script below does not end by itself either.
    script = (
        "import time\n"
        "from parley.cli.signals import handled\n"
        "with handled():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "    finally:\n"
        "        print('saving', flush=True)\n"
        "        time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert stream(process).readline() == b"ready\n"
        process.terminate()
        assert stream(process).readline() == b"saving\n"
        time.sleep(0.5)
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


@BOTH
def test_a_signal_between_two_lines_ends_line_mode(number: int) -> None:
    with start(stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"Hello\n")
        process.stdin.flush()
        assert stream(process).readline() == b"You said: Hello\n"
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert errors_of(process) == b""
    assert [message["text"] for message in last_messages()] == ["Hello", "You said: Hello"]


@BOTH
def test_a_signal_during_a_reply_of_line_mode_saves_it(number: int) -> None:
    with start("--model", SLOW, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(f"Hello\n{LONG}\n".encode())
        process.stdin.flush()
        assert stream(process).readline() == b"You said: Hello\n"
        output = stop_in_the_middle(process, number)
    messages = last_messages()
    assert [message["interrupted"] for message in messages] == [False, False, False, True]
    assert output == messages[3]["text"] + "\n"


def test_a_closed_terminal_saves_the_reply_of_line_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty

    monkeypatch.setenv("TERM", "dumb")
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command("--model", SLOW), stdin=follower, stdout=follower, stderr=follower, start_new_session=True
    )
    os.close(follower)
    os.write(leader, f"{LONG}\n".encode())
    shown = b""
    while b"You said" not in shown:
        shown += os.read(leader, 1000)
    os.close(leader)
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 128 + signal.SIGHUP
    reply = last_messages()[1]
    assert reply["interrupted"]
    assert reply["text"].startswith("You said")


@BOTH
def test_a_signal_during_a_run_over_files_leaves_one_to_resume(number: int, photos: list[str]) -> None:
    with start("caption", *photos * 40, "--out", "out.jsonl", "--model", SLOW) as process:
        deadline = time.monotonic() + 30
        while not (Path("out.jsonl").exists() and Path("out.jsonl").read_bytes()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert errors_of(process).count(b"\n") <= 1
    finished = Path("out.jsonl").read_text()
    assert finished.endswith("\n")
    assert 0 < len(image_names(finished)) < 120
    assert run("caption", *photos * 40, "--out", "out.jsonl", "--resume").exit_code == 0
    assert Path("out.jsonl").read_text().startswith(finished)
    assert image_names(Path("out.jsonl").read_text()) == photos * 40


def test_ctrl_c_does_not_wait_for_threads_that_still_compute() -> None:
    program = (
        "import sys, threading\n"
        "from parley.cli import main\n"
        "import parley.cli.main\n"
        "def root(**_):\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
        "    sys.stdout.write('shown')\n"
        "    raise KeyboardInterrupt\n"
        "sys.modules['parley.cli.main'].root = root\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"shown", b"")
