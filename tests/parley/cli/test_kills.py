"""kill -9, SIGTERM and SIGHUP at random points, full disks, and two processes: nothing that was shown as done is lost.

The environment variable KILLS sets how many commands of each kind are killed by each signal.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import PIL.Image
import pytest

from assistant.errors import HistoryError
from assistant.history.store import History
from assistant.messages import Message
from tests.fakes.command_line import image_names, start
from tests.fakes.warm_parley import Ended, Kill, WarmParley

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("scripted_machine"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs fork"),
]

KILLS = int(os.environ.get("KILLS", "5"))
MODEL = "scripted:0.002"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
EVERY_SIGNAL = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: signal.Signals(number).name)
PHOTOS = [f"photo{number}.png" for number in range(12)]


@pytest.fixture
def parley(tmp_path: Path) -> Iterator[WarmParley]:
    with WarmParley(tmp_path) as parley:
        # The first command imports what is still missing.
        parley.run("ask", "?", PARLEY_DATA_DIR="data")
        yield parley


def saved(data: str) -> list[Message]:
    """Return the messages of the only conversation, or none."""
    history = History(Path(data) / "history.sqlite3")
    latest = history.latest()
    return history.load(latest)[1] if latest is not None else []


def check_end(ended: Ended, number: signal.Signals) -> None:
    """Check the exit code, and that nothing is said about the signal."""
    # A signal may come before its handler is installed, or after the last word.
    expected = (0, -number, *(() if number == signal.SIGKILL else (128 + number,)))
    assert ended.code in expected, ended
    assert "Traceback" not in ended.errors, ended
    assert ended.errors.count("\n") <= 1, ended


@EVERY_SIGNAL
@pytest.mark.timeout(60 + KILLS * 5)
def test_kills_during_ask(parley: WarmParley, number: signal.Signals) -> None:
    rng = random.Random(f"ask {number}")
    counts: Counter[str] = Counter()
    for each in range(KILLS):
        # Different words: a reply that repeats itself is ended.
        prompt = f"{each} " + " ".join(f"word{index}" for index in range(60))
        kill = Kill(number, size=rng.choice((0, rng.randint(1, 320))), seconds=rng.uniform(0, 0.03))
        ended = parley.run("ask", prompt, "--model", MODEL, kill=kill, PARLEY_DATA_DIR=f"data{each}")
        check_end(ended, number)
        messages = saved(f"data{each}")
        counts["turns kept" if messages else "nothing shown" if not ended.output else "parts lost by kill -9"] += 1
        if ended.output.endswith("\n") or (ended.output and number != signal.SIGKILL):
            [user, reply] = messages
            assert user.text == prompt
            assert ended.output == f"{reply.text}\n"
            assert reply.interrupted == (ended.output.count("word") < 60)
        if ended.code == 0:
            assert ended.output.count("word") == 60
    print(f"\nask, {number.name}: {KILLS} kills, 0 finished turns lost ({_format(counts)})")


@EVERY_SIGNAL
@pytest.mark.timeout(60 + KILLS * 5)
def test_kills_during_line_mode(parley: WarmParley, number: signal.Signals) -> None:
    rng = random.Random(f"lines {number}")
    counts: Counter[str] = Counter()
    lines = [f"{each} " + "word " * 8 for each in range(10)]
    for each in range(KILLS):
        kill = Kill(number, size=rng.choice((0, rng.randint(1, 500))), seconds=rng.uniform(0, 0.03))
        ended = parley.run("--model", MODEL, stdin="\n".join(lines), kill=kill, PARLEY_DATA_DIR=f"data{each}")
        check_end(ended, number)
        replies = [message for message in saved(f"data{each}") if message.role == "assistant"]
        shown = ended.output.splitlines(keepends=True)
        for reply, line in zip(replies, shown, strict=False):
            assert f"{reply.text}\n".startswith(line)
        finished = [line for line in shown if line.endswith("\n")]
        assert len(replies) >= len(finished), "a reply that was shown complete is lost"
        if number != signal.SIGKILL:
            assert len(replies) >= len(shown), "a part of a reply is lost"
            assert "".join(f"{reply.text}\n" for reply in replies if reply.text) == ended.output
        counts[f"{len(finished)} replies"] += 1
    print(f"\nline mode, {number.name}: {KILLS} kills, 0 finished turns lost ({_format(counts)})")


@EVERY_SIGNAL
@pytest.mark.timeout(60 + KILLS * 10)
def test_kills_during_a_run_over_files(parley: WarmParley, number: signal.Signals) -> None:
    rng = random.Random(f"batch {number}")
    counts: Counter[str] = Counter()
    for name in PHOTOS:
        PIL.Image.new("RGB", (9, 9)).save(name)
    results = Path("out.jsonl")
    run = ("caption", *PHOTOS, "--out", "out.jsonl", "--model", MODEL, "--jobs", "2")
    for _ in range(KILLS):
        results.unlink(missing_ok=True)
        kill = Kill(number, "out.jsonl", rng.randint(0, 1500), rng.uniform(0, 0.03))
        ended = parley.run(*run, kill=kill)
        check_end(ended, number)
        before = results.read_bytes() if results.exists() else b""
        complete = before[: before.rfind(b"\n") + 1]
        if number != signal.SIGKILL:
            assert complete == before
        # Killed once more while it goes on, and then finished.
        size = len(before) + rng.randint(0, 500)
        parley.run(*run, "--resume", kill=Kill(number, "out.jsonl", size, rng.uniform(0, 0.03)))
        assert parley.run(*run, "--resume").code == 0
        assert results.read_bytes().startswith(complete)
        assert image_names(results.read_text()) == PHOTOS
        assert not results.with_name("out.jsonl.lock").exists()
        counts[f"{complete.count(bytes([10]))} of 12 done"] += 1
    print(f"\nfiles, {number.name}: {2 * KILLS} kills, 0 records lost or doubled ({_format(counts)})")


@pytest.mark.timeout(60 + KILLS * 5)
def test_a_disk_that_fills_up_loses_nothing_that_is_saved(parley: WarmParley) -> None:
    rng = random.Random("disk")
    counts: Counter[str] = Counter()
    for name in PHOTOS:
        PIL.Image.new("RGB", (9, 9)).save(name)
    assert parley.run("ask", "first", PARLEY_DATA_DIR="data-full").code == 0
    for each in range(KILLS):
        limit = rng.randint(0, 1_000_000) if each % 2 else rng.randint(0, 2000)
        prompt = f"{each} " + "x" * rng.randint(0, 100_000)
        ended = parley.run("ask", prompt, max_file_bytes=limit, PARLEY_DATA_DIR="data-full")
        counts[f"exit {ended.code}"] += 1
        assert ended.code in (0, 1), ended
        assert "Traceback" not in ended.errors
        conversations = History(Path("data-full") / "history.sqlite3").list()
        texts = [History(Path("data-full") / "history.sqlite3").load(each.id)[1][0].text for each in conversations]
        assert "first" in texts
        assert (prompt in texts) == (ended.code == 0), "success and saving go together"
        Path("out.jsonl").unlink(missing_ok=True)
        run = ("caption", *PHOTOS, "--out", "out.jsonl")
        if parley.run(*run, max_file_bytes=limit).code != 0:
            assert parley.run(*run, "--resume").code == 0
        assert image_names(Path("out.jsonl").read_text()) == PHOTOS
    print(f"\nfull disk: {2 * KILLS} runs, 0 records lost ({_format(counts)})")


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_folders_that_are_read_only_are_an_error(parley: WarmParley, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    PIL.Image.new("RGB", (9, 9)).save("a.png")
    ended = parley.run("ask", "?", PARLEY_DATA_DIR="closed")
    assert (ended.code, ended.output) == (1, "You said: ?\n")
    assert ended.errors.count("\n") == 1
    ended = parley.run("caption", "a.png", "--out", "closed/out.jsonl")
    assert (ended.code, ended.output) == (1, "")
    assert "cannot be written" in ended.errors


@pytest.mark.timeout(120)
def test_two_processes_save_all_their_turns() -> None:
    lines = "".join(f"line {number}\n" for number in range(30))
    processes = [start("--model", MODEL, stdin=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(lines.encode())
        process.stdin.close()
    for process in processes:
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.stdout is not None
        process.stdout.close()
    data = json.loads(start_and_read("history", "list", "--json"))
    assert [conversation["turns"] for conversation in data] == [30, 30, 30]


def start_and_read(*arguments: str) -> bytes:
    with start(*arguments) as process:
        return process.communicate()[0]


def _format(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))


def test_a_history_that_cannot_be_opened_is_an_error(parley: WarmParley, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = parley.run("ask", "?", PARLEY_DATA_DIR="file/below")
    assert (ended.code, ended.output) == (1, "You said: ?\n")
    with pytest.raises(HistoryError):
        History(tmp_path / "file" / "below" / "history.sqlite3").latest()
