"""The call log: its lines, and that no conversation ends because it cannot be written."""

import json
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.spoken_conversation import ConversationHarness
from voice.call_log import CallLog


def test_lines_are_written_at_once_and_appended_to_those_of_earlier_calls(tmp_path: Path) -> None:
    path = tmp_path / "calls" / "events.jsonl"
    notices: list[str] = []
    for _ in range(2):
        before = time.monotonic()
        log = CallLog(path, None, notices.append)
        after = time.monotonic()
        log.write("heard", text="Grüße", words_seconds=0.123456, started_at=after + 1.5, over_reply=False)
        last = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        log.close()
        log.write("heard", text="too late")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[-1] == last
    assert len(lines) == 2
    assert last["event"] == "heard"
    assert (last["text"], last["words_seconds"], last["over_reply"]) == ("Grüße", 0.123, False)
    assert 1.499 <= last["started_at"] <= 1.501 + after - before, "seconds since the call began"
    assert last["time"].endswith("+00:00")
    assert lines[0]["call"] != last["call"]
    assert "Grüße" in path.read_text(encoding="utf-8"), "for people to read as well"
    assert notices == []


def test_audio_is_saved_only_if_asked(tmp_path: Path) -> None:
    samples = np.full(16_000, 0.5, np.float32)
    assert CallLog(None, None, print).save_audio(1, samples) is None
    log = CallLog(None, tmp_path / "audio", print)
    name = log.save_audio(7, samples)
    assert name is not None
    assert name.endswith("-0007.wav")
    with wave.open(str(tmp_path / "audio" / name)) as file:
        assert (file.getframerate(), file.getnframes()) == (16_000, 16_000)


def test_log_that_cannot_be_written_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    notices: list[str] = []
    log = CallLog(tmp_path / "file" / "events.jsonl", tmp_path / "file" / "audio", notices.append)
    for number in range(3):
        log.write("heard", utterance=number)
        assert log.save_audio(number, np.zeros(10, np.float32)) is None
    log.close()
    assert [notice.split(" cannot be")[0] for notice in notices] == [
        f"The log {tmp_path}/file/events.jsonl",
        "Audio",
    ]
    assert all("the conversation goes on" in notice for notice in notices)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_reported_once() -> None:
    notices: list[str] = []
    log = CallLog(Path("/dev/full"), None, notices.append)
    log.write("heard")
    log.write("heard")
    log.close()
    assert notices == [
        "The log /dev/full cannot be written (No space left on device): the conversation goes on without it."
    ]


async def test_lines_of_a_conversation_say_what_was_decided_and_how_long_it_took() -> None:
    transcripts = ("Count.", "Mm-hm.", "", "two three four five", "Stop it now.")
    harness = ConversationHarness("One two three four five. Six.", "Good.", transcripts=transcripts)
    harness.output.play_limit = 0.3
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        for number in range(1, 5):
            harness.say(number)
            await harness.classified(number + 1)
        harness.output.play_limit = float("inf")
        await harness.answer()
    heard = harness.log.of("heard")
    assert [line["decision"] for line in heard] == ["turn", "backchannel", "nothing", "echo", "turn"]
    assert [line["text"] for line in heard] == list(transcripts)
    assert [line["audio"] for line in heard] == [f"{number}.wav" for number in range(1, 6)]
    assert len(harness.log.of("paused")) == 4
    first, last = harness.log.of("reply")
    assert (first["text"], first["kept"], first["interrupted"]) == (
        "One two three four five. Six.", "One two three", True,
    )  # fmt: skip
    assert not last["interrupted"]
    # Audio comes faster than real time here: only the order of times is certain.
    assert heard[0]["words_seconds"] <= first["first_token_seconds"] <= first["first_audio_seconds"]


async def test_lines_of_utterances_say_how_long_the_pause_was_and_why() -> None:
    transcripts = ("I would like a table.", "Do you have a table?")
    harness = ConversationHarness("One.", "Two.", transcripts=transcripts, end_of_turn=lambda _: 0.3)
    async with harness.running():
        for number in range(2):
            harness.start_speaking(number)
            harness.be_silent(10)
            await harness.timeout_set(number + 1)
            harness.be_silent(60)
            await harness.answer(number + 1)
        # Ends without a pause.
        harness.start_speaking(0)
        harness.be_silent(10)
        await harness.timeout_set(3)
        harness.start_speaking(0)
    heard = harness.log.of("heard")
    assert [line["done"] for line in heard] == [0.3, 0.3, None]
    assert [line["patience_seconds"] for line in heard] == [0.8, 0.35, None]
    assert all(line["waited_seconds"] <= line["words_seconds"] for line in heard)
