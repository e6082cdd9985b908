"""The log of a call: a line for each thing that happens, and no conversation that ends because of it."""

import json
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from voice.call_log import CallLog


def test_lines_are_there_at_once_and_are_added_to_those_of_earlier_calls(tmp_path: Path) -> None:
    path = tmp_path / "calls" / "events.jsonl"
    told: list[str] = []
    for _ in range(2):
        log = CallLog(path, None, told.append)
        began = time.monotonic()
        log("heard", text="Grüße", words_seconds=0.123456, started_at=began + 1.5, over_reply=False)
        last = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        log.close()
        log("heard", text="too late")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[-1] == last
    assert len(lines) == 2
    assert last["event"] == "heard"
    assert (last["text"], last["words_seconds"], last["over_reply"]) == ("Grüße", 0.123, False)
    assert last["started_at"] == pytest.approx(1.5, abs=0.1), "seconds since the call began"
    assert last["time"].endswith("+00:00")
    assert lines[0]["call"] != last["call"]
    assert "Grüße" in path.read_text(encoding="utf-8"), "for people to read as well"
    assert told == []


def test_sound_is_kept_only_if_asked(tmp_path: Path) -> None:
    samples = np.full(16_000, 0.5, np.float32)
    assert CallLog(None, None, print).keep(1, samples) is None
    log = CallLog(None, tmp_path / "sounds", print)
    name = log.keep(7, samples)
    assert name is not None
    assert name.endswith("-0007.wav")
    with wave.open(str(tmp_path / "sounds" / name)) as file:
        assert (file.getframerate(), file.getnframes()) == (16_000, 16_000)


def test_a_log_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told: list[str] = []
    log = CallLog(tmp_path / "file" / "events.jsonl", tmp_path / "file" / "sounds", told.append)
    for number in range(3):
        log("heard", utterance=number)
        assert log.keep(number, np.zeros(10, np.float32)) is None
    log.close()
    assert [sentence.split(" cannot be")[0] for sentence in told] == [
        f"The log {tmp_path}/file/events.jsonl",
        "What is heard",
    ]
    assert all("the conversation goes on" in sentence for sentence in told)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_disk_that_fills_up_is_told_once() -> None:
    told: list[str] = []
    log = CallLog(Path("/dev/full"), None, told.append)
    log("heard")
    log("heard")
    log.close()
    assert told == [
        "The log /dev/full cannot be written (No space left on device): the conversation goes on without it."
    ]
