"""Progress on a terminal and elsewhere."""

import os
import subprocess
import sys

import pytest

from parley.cli.progress import ProgressLine, RunProgress, format_elapsed
from tests.fakes.terminal import Screen


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_on_a_terminal_is_a_bar() -> None:
    import pty

    program = (
        "from parley.cli.progress import ProgressLine\n"
        "with ProgressLine() as progress:\n"
        "    progress('decoder', 0, 98_000_000)\n"
        "    progress('decoder', 98_000_000, 98_000_000)\n"
        "    progress('assembling', 0, 0)\n"
    )
    leader, follower = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", program], stderr=follower) as process:
        os.close(follower)
        drawn = Screen(leader).read_all()
        assert process.wait(30) == 0
    first, second, _ = drawn.split("\r\n")
    assert first.startswith("\r\x1b[Kdecoder  ────")
    assert first.endswith("━━━━  100 %  of 98.0 MB")
    assert "assembling" in second


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_without_a_total_moves_while_nothing_is_reported() -> None:
    import pty

    program = (
        "import time\n"
        "from parley.cli.progress import ProgressLine\n"
        "with ProgressLine() as progress:\n"
        "    progress('loading pocket', 0, 0)\n"
        "    time.sleep(2.1)\n"
        "    progress('loading pocket', 0, 0)\n"
        "print('done')\n"
    )
    leader, follower = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", program], stderr=follower, stdout=subprocess.DEVNULL) as process:
        os.close(follower)
        drawn = Screen(leader).read_all()
        assert process.wait(30) == 0
    states = drawn.removesuffix("\r\n").split("\r\x1b[K")[1:]
    assert states[0] == "loading pocket …"
    assert states[-1].endswith(" s")
    assert "%" not in drawn


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_elsewhere_is_a_line_for_each_label(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine() as progress:
        for done in range(0, 50_000_001, 1_000_000):
            progress("fetching the decoder", done, 50_000_000)
        progress("assembling", 0, 0)
    assert capsys.readouterr().err == "parley: fetching the decoder (50.0 MB)\nparley: assembling\n"


def test_a_run_shows_count_speed_time_left_and_failures() -> None:
    progress = RunProgress("caption", 2000, already_done=500)
    for number in range(150):
        progress.step(failed=number % 50 == 0)
    assert progress.text(100) == "caption 650 of 2,000 · 1.5/s · 15 min left · 3 failed"
    assert progress.text(1500) == "caption 650 of 2,000 · 10.0 s each · 3 h 45 min left · 3 failed"


def test_times_are_formatted_as_people_say_them() -> None:
    assert [format_elapsed(seconds) for seconds in (0.4, 59, 61, 3599, 7500)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h 0 min",
        "2 h 5 min",
    ]
