"""`parley` without a command: the app on a terminal, line mode elsewhere."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.command_line import command, last_messages, run, saved_conversations, start
from tests.fakes.terminal import Screen

pytestmark = pytest.mark.usefixtures("scripted_machine")


def test_each_line_of_standard_input_is_answered(photo: Path) -> None:
    result = run(stdin=f"What is in this picture? {photo}\n\nAnd now?\n")
    assert result.exit_code == 0
    assert result.stdout == "You said: What is in this picture? (and showed dog.png)\nYou said: And now?\n"
    assert saved_conversations()[0]["turns"] == 2


def test_a_line_with_an_error_does_not_stop_the_next() -> None:
    result = run(stdin="/caption gone.jpg\nHello\n")
    assert result.exit_code == 1
    assert result.stdout == "You said: Hello\n"
    assert result.stderr.startswith("parley: line 1: ")


def test_empty_input_gives_empty_output() -> None:
    result = run(stdin="")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_line_mode_continues_a_conversation() -> None:
    run("ask", "one")
    run("--continue", stdin="two\nthree")
    assert saved_conversations()[0]["turns"] == 3


def test_a_closed_standard_input_is_empty() -> None:
    script = f"{sys.executable} -m parley <&-"
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_line_is_answered_before_the_next_is_read() -> None:
    with start(stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"Hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"You said: Hello\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_app_opens_on_a_terminal_answers_and_quits() -> None:
    import pty

    leader, follower = pty.openpty()
    process = subprocess.Popen(command(), stdin=follower, stdout=follower, stderr=follower)
    try:
        os.close(follower)
        screen = Screen(leader)
        screen.wait_for("scripted")
        os.write(leader, b"Hello")
        screen.wait_for("Hello")
        os.write(leader, b"\r")
        screen.wait_for("tokens/s")
        os.write(leader, b"\x11")
        screen.read_all()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert [message["text"] for message in last_messages()] == ["Hello", "You said: Hello"]
