"""The call log: its lines, and that no conversation ends because it cannot be written."""

import json
import os
import socket
import stat
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from assistant.messages import Image
from assistant.text_cleaning import clean_text
from tests.fakes.files import limited_file_size
from tests.fakes.speech import FakeAudioOutput
from tests.fakes.spoken_conversation import ConversationHarness
from voice.audio_folder import AudioFolder
from voice.call_log import CallLog, new_call_id
from voice.recordings import RecordingOutput


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_lines_are_written_at_once_and_appended_to_those_of_earlier_calls(tmp_path: Path) -> None:
    path = tmp_path / "calls" / "events.jsonl"
    notices: list[str] = []
    for _ in range(2):
        before = time.monotonic()
        log = CallLog(path, notices.append)
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


def test_audio_is_saved_under_new_names_for_the_owner_alone(tmp_path: Path) -> None:
    output = RecordingOutput(FakeAudioOutput(), 1000)
    folder = AudioFolder(tmp_path / "audio", "call", output, 1000, print)
    name = folder.save_utterance(7, np.full(16_000, 0.5, np.float32))
    output.add(np.full(300, 0.25, np.float32))
    output.clear()
    reply = folder.save_reply(7)
    assert (name, reply) == ("call-0007.wav", "call-0007-reply.wav")
    assert folder.save_reply(8) is None, "nothing was heard of it"
    with wave.open(str(tmp_path / "audio" / "call-0007.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (16_000, 16_000)
    with wave.open(str(tmp_path / "audio" / "call-0007-reply.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (1000, 300)
    assert mode(tmp_path / "audio") == 0o700
    assert {mode(path) for path in (tmp_path / "audio").iterdir()} == {0o600}


def test_ids_of_calls_cannot_be_foreseen() -> None:
    assert len({new_call_id()[-6:] for _ in range(20)}) > 15


def test_log_and_audio_that_cannot_be_written_are_reported_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    notices: list[str] = []
    output = RecordingOutput(FakeAudioOutput(), 1000)
    audio = AudioFolder(tmp_path / "file" / "audio", "call", output, 1000, notices.append)
    log = CallLog(tmp_path / "file" / "events.jsonl", notices.append)
    for number in range(3):
        log.write("heard", utterance=number)
        assert audio.save_utterance(number, np.zeros(10, np.float32)) is None
    log.close()
    assert [notice.split(" cannot be")[0] for notice in notices] == [
        f"The log {tmp_path}/file/events.jsonl",
        "Audio",
    ]
    assert all("the conversation goes on" in notice for notice in notices)


def test_new_log_is_private_and_an_existing_one_keeps_its_permissions(tmp_path: Path) -> None:
    CallLog(tmp_path / "calls" / "2026" / "new.jsonl", print).close()
    assert mode(tmp_path / "calls" / "2026" / "new.jsonl") == 0o600
    assert mode(tmp_path / "calls") == mode(tmp_path / "calls" / "2026") == 0o700
    for permissions in (0o640, 0o400):
        existing = tmp_path / f"{permissions}.jsonl"
        existing.write_text("earlier\n")
        existing.chmod(permissions)
        CallLog(existing, print).close()
        assert mode(existing) == permissions


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "socket"])
def test_log_that_is_no_regular_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            # Opening one that nobody reads would wait for ever.
            os.mkfifo(path)
        case "device":
            path = Path(os.devnull)
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
    notices: list[str] = []
    log = CallLog(path, notices.append)
    log.write("heard")
    log.close()
    assert notices == [
        f"The log {path} cannot be written (it is no regular file): the conversation goes on without it."
    ]


@pytest.mark.parametrize("name", ["a\0b", "a" * 300, "missing\0/log"])
def test_names_that_no_file_can_have_are_reported(name: str, tmp_path: Path) -> None:
    notices: list[str] = []
    log = CallLog(tmp_path / name, notices.append)
    log.write("heard")
    log.close()
    assert len(notices) == 1


def test_full_disk_is_reported_once_and_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    notices: list[str] = []
    log = CallLog(path, notices.append)
    log.write("heard", text="before")
    with limited_file_size(path.stat().st_size + 60):
        log.write("heard", text="a" * 100)
        log.write("heard", text="b" * 100)
    log.write("heard", text="after")
    log.close()
    assert notices == [f"The log {path} cannot be written (the disk is full): the conversation goes on without it."]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("text", line.get("lines")) for line in lines] == ["before", 2, "after"]
    assert lines[1]["event"] == "lost"


def test_half_a_line_of_a_killed_process_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "heard"}\n{"event": "re')
    log = CallLog(path, print)
    log.write("begin")
    log.close()
    lines = path.read_text().splitlines()
    assert lines[1] == '{"event": "re', "nothing is deleted"
    assert json.loads(lines[2])["event"] == "begin"


def test_odd_text_and_numbers_are_valid_json_of_one_line_without_controls(tmp_path: Path) -> None:
    text = "a\nb\x1b[31m\x85\u2028\u202e \udcff 👩‍👩‍👧 שלום"
    log = CallLog(tmp_path / "log.jsonl", print)
    log.write("heard", text=text, done=float("nan"), parts={"x\ud800": [text]})
    log.close()
    written = (tmp_path / "log.jsonl").read_text()
    (line,) = written.splitlines()
    assert clean_text(line) == line
    cleaned = text.replace("\udcff", "\ufffd")
    assert json.loads(line)["text"] == cleaned
    assert json.loads(line)["parts"] == {"x\ufffd": [cleaned]}
    assert json.loads(line)["done"] is None
    assert "👩‍👩‍👧 שלום" in line, "for people to read as well"


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
    assert [line["audio"] for line in (first, last)] == ["1-reply.wav", "5-reply.wav"]
    assert harness.log.audio.reply_seconds == [pytest.approx(0.3), pytest.approx(0.1)], "what was heard of them"
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


async def test_pictures_are_logged_with_the_question_they_were_shown_with() -> None:
    harness = ConversationHarness("A cat.", "Grey.", transcripts=("What is it?", "Which colour?"))
    cat = Image(b"never decoded", "image/png", 4, 3, "cat.png")
    harness.images = [cat]
    async with harness.running():
        harness.say(0)
        await harness.answer()
        harness.say(1)
        await harness.answer(2)
    assert harness.log.of("pictures shown") == [
        {
            "utterance": 1,
            "pictures": [
                {
                    "name": "cat.png",
                    "sha256": cat.digest,
                    "media_type": "image/png",
                    "width": 4,
                    "height": 3,
                    "bytes": len(cat.data),
                }
            ],
        }
    ]
