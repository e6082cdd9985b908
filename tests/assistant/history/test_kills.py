"""Histories whose writer is killed: every turn that was reported as saved is there, whole."""

import os
import signal
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assistant import messages
from assistant.history.store import History
from assistant.messages import Image
from tests.fakes.history import USAGE, in_process, load_texts
from tests.fakes.kills import KILLS, SIGNALS, killed_runs

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"), pytest.mark.timeout(0)]


def picture(number: int) -> Image:
    return Image(f"picture {number}".encode() * 1000, "image/png", 1, 1, f"{number}.png")


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: signal.Signals(number).name)
def test_a_writer_that_is_killed_loses_no_turn_that_it_reported(number: int, tmp_path: Path) -> None:
    notices: list[str] = []
    kept = 0
    for received in killed_runs(number, lambda send: write(tmp_path, send), longest_seconds=0.4):
        history = History(tmp_path / "history.sqlite3", notices.append)
        if not received:
            continue
        conversation, turns = str(received[0]), received[1:]
        said = history.load(conversation)[1] if turns else []
        texts = [message.text for message in said[::2]]
        reported = [str(turn) for turn in turns]
        assert texts[: len(reported)] == reported
        assert len(texts) <= len(reported) + 1, "more than the turn that was being saved"
        for message in said[::2]:
            assert message.images == (picture(int(message.text)),)
        assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in tmp_path.rglob("*"))
        kept += len(reported)
    assert notices == []
    print(f"\n{signal.Signals(number).name}: {KILLS} kills, {kept} turns reported as saved, 0 lost")


def write(folder: Path, send: Callable[[object], None]) -> None:
    conversation = History(folder / "history.sqlite3").create("scripted", None)
    send(conversation.id)
    for turn in range(100_000):
        conversation.append(messages.user(str(turn), picture(turn)), messages.assistant("Yes."), USAGE)
        send(turn)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: signal.Signals(number).name)
def test_a_deletion_that_is_killed_leaves_whole_conversations(number: int, tmp_path: Path) -> None:
    def delete_all(send: Callable[[object], None]) -> None:
        history = History(tmp_path / "history.sqlite3")
        for summary in history.list():
            history.delete(summary.id)
            send(summary.id)

    notices: list[str] = []
    deleted = 0
    history = History(tmp_path / "history.sqlite3", notices.append)
    for turn in range(4):
        history.create("scripted", None).append(messages.user("keep", picture(0)), messages.assistant("Yes."), USAGE)
        history.create("scripted", None).append(messages.user("x", picture(turn)), messages.assistant("Yes."), USAGE)
    for received in killed_runs(number, delete_all, longest_seconds=0.1):
        left = {summary.id for summary in history.list()}
        assert not left & set(received)
        for identifier in left:
            assert load_texts(history, identifier)[1] == "Yes."
        deleted += len(received)
        while len(history.list()) < 8:
            history.create("scripted", None).append(
                messages.user("again", picture(deleted)), messages.assistant("Yes."), USAGE
            )
    assert notices == []
    print(f"\n{signal.Signals(number).name}: {KILLS} kills, {deleted} conversations deleted, 0 damaged")


def test_two_processes_write_to_one_conversation(history: History, notices: list[str]) -> None:
    conversation = history.create("pocket", None)
    conversation.append(messages.user("first"), messages.assistant("Yes."), USAGE)
    code = f"""
other, _ = history.load({conversation.id!r})
for n in range(20):
    other.append(messages.user(f"theirs {{n}}"), messages.assistant("Yes."), Usage())
"""
    other = threading.Thread(target=in_process, args=(code, history))
    other.start()
    for turn in range(20):
        conversation.append(messages.user(f"mine {turn}"), messages.assistant("Yes."), USAGE)
    other.join()
    texts = load_texts(history, conversation.id)[::2]
    assert sorted(texts) == sorted(["first", *(f"{who} {turn}" for who in ("mine", "theirs") for turn in range(20))])
    assert notices == []


def test_a_clock_that_is_set_back_does_not_change_the_order(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    for year in (2030, 2020, 1970):
        monkeypatch.setattr("assistant.history.store._now", lambda year=year: datetime(year, 1, 1, tzinfo=UTC))
        history.create("pocket", None).append(messages.user(str(year)), messages.assistant("Yes."), USAGE)
    assert [summary.title for summary in history.list()] == ["1970", "2020", "2030"]
    latest = history.latest()
    assert latest is not None
    assert load_texts(history, latest)[0] == "1970"
