"""`parley history`, and conversations that are continued."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from assistant.errors import VoiceError
from assistant.progress import Progress, no_progress
from assistant.settings import Settings
from tests.fakes.command_line import last_messages, run, saved_conversations
from voice.voice_session import VoiceSession

pytestmark = pytest.mark.usefixtures("scripted_machine")


def test_continue_resumes_the_latest_conversation() -> None:
    run("ask", "My name is Ada.")
    run("ask", "What is my name?", "--continue")
    [conversation] = saved_conversations()
    assert conversation["turns"] == 2
    assert [message["text"] for message in last_messages()] == [
        "My name is Ada.",
        "You said: My name is Ada.",
        "What is my name?",
        "You said: What is my name?",
    ]


def test_a_conversation_is_found_by_a_prefix_of_its_id(photo: Path) -> None:
    run("ask", "What is this?", "-i", str(photo))
    first = saved_conversations()[0]["id"]
    run("ask", "Something else")
    result = run("ask", "And this?", "--conversation", first[:-2], "--json")
    assert json.loads(result.stdout)["prompt_tokens"] == 16 + 3 + 8 + 2
    assert {conversation["id"]: conversation["turns"] for conversation in saved_conversations()}[first] == 2


@pytest.mark.parametrize("command", ["voice", "app"])
def test_names_in_resumed_instructions_are_told_to_speech_recognition(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str | None] = []

    def build_voice_session(settings: Settings, progress: Progress) -> VoiceSession:
        told.append(settings.system)
        raise VoiceError("There is no microphone here.")

    class App:
        """Turns voice on and ends."""

        exit_notices: tuple[str, ...] = ()
        unsent_text, return_code = "", 0

        def __init__(self, *_: object, build_voice_session: Callable[[Progress], VoiceSession], **__: object) -> None:
            self.turn_voice_on = build_voice_session

        def run(self) -> None:
            with pytest.raises(VoiceError):
                self.turn_voice_on(no_progress)

    monkeypatch.setattr("parley.factory.voice.build_voice_session", build_voice_session)
    monkeypatch.setattr("parley.cli.main.is_terminal", lambda *_: True)
    monkeypatch.setattr("parley.cli.main.ensure_terminal_size", lambda: None)
    monkeypatch.setattr("parley.cli.main.reserve_stderr", nullcontext)
    monkeypatch.setattr("tui.app.ParleyApp", App)
    monkeypatch.setenv("TERM", "xterm")
    run("ask", "Hi", "--system", "You are Klara of Hottie.")
    run("--continue", *(["voice"] if command == "voice" else []))
    assert told == ["You are Klara of Hottie."]
    run("--system", "You are Ada.", "--continue", *(["voice"] if command == "voice" else []))
    assert told[1:] == ["You are Ada."]


def test_instructions_are_resumed_with_the_conversation() -> None:
    run("ask", "Hi", "--system", "Be so very brief")
    result = run("ask", "Hi", "--continue", "--json")
    assert json.loads(result.stdout)["prompt_tokens"] == 4 + 1 + 3 + 1


def test_continue_without_a_conversation_is_an_error() -> None:
    result = run("ask", "?", "-c")
    assert result.exit_code == 1
    assert result.stderr.startswith("parley: There is no conversation to continue yet")


@pytest.mark.parametrize("arguments", [["ask", "?", "--conversation", "zzz"], ["history", "show", "zzz"]])
def test_an_unknown_conversation_is_an_error(arguments: list[str]) -> None:
    run("ask", "Hello")
    result = run(*arguments)
    assert result.exit_code == 1
    assert "There is no conversation zzz" in result.stderr


def test_no_history_saves_nothing() -> None:
    run("ask", "Hello", "--no-history")
    assert saved_conversations() == []


def test_list_show_and_search_print_text(photo: Path) -> None:
    run("ask", "What is the dog doing?", "-i", str(photo))
    run("ask", "Tell me about Lisbon")
    listed = run("history", "list").stdout.splitlines()
    assert len(listed) == 2
    assert "Tell me about Lisbon" in listed[0], "the latest comes first"
    assert "scripted" in listed[1]
    found, where = run("history", "search", "dog").stdout.splitlines()
    assert found == listed[1]
    assert where == "    You said: What is the dog doing? (and showed dog.png)"
    shown = run("history", "show", found.split()[0]).stdout
    assert "You:\n[dog.png, 40 × 30]\nWhat is the dog doing?\n" in shown
    assert "Parley:\nYou said: What is the dog doing? (and showed dog.png)\n" in shown


def test_delete_removes_all_or_none() -> None:
    run("ask", "one")
    run("ask", "two")
    latest, earlier = (conversation["id"] for conversation in saved_conversations())
    assert run("history", "delete", latest, "zzz").exit_code == 1
    assert len(saved_conversations()) == 2
    result = run("history", "delete", latest)
    assert (result.exit_code, result.stdout) == (0, f"Deleted {latest}\n")
    assert [conversation["id"] for conversation in saved_conversations()] == [earlier]


def test_an_empty_history_is_a_notice_and_an_empty_json_list() -> None:
    result = run("history", "list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "parley: No conversations.\n")
    assert run("history", "list", "--json").stdout == "[]\n"


def test_an_unwritable_history_fails_after_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path / "file" / "below"))
    result = run("ask", "Hello")
    assert result.stdout == "You said: Hello\n"
    assert result.stderr.count("\n") == 1
    assert "is not saved" in result.stderr
    assert result.exit_code == 1
    assert run("ask", "Hello", "--no-history").exit_code == 0


def test_a_corrupt_history_is_quarantined_and_named(tmp_path: Path) -> None:
    run("ask", "Hello")
    [database] = (tmp_path / "data").rglob("*.sqlite3")
    database.write_bytes(b"not a database" * 1000)
    result = run("ask", "Hello again")
    assert result.stdout == "You said: Hello again\n"
    assert "it is kept as history.corrupt-" in result.stderr
    assert len(saved_conversations()) == 1


def test_history_alone_lists() -> None:
    run("ask", "one")
    assert run("history").stdout == run("history", "list").stdout != ""
    assert json.loads(run("history", "--json").stdout) == saved_conversations()


@pytest.mark.parametrize("arguments", [["history", "show"], ["history", "delete"], ["ask", "?", "--conversation"]])
def test_a_long_argument_is_cut_in_the_error(arguments: list[str]) -> None:
    result = run(*arguments, "x" * 5000)
    assert result.exit_code == 1
    assert len(result.stderr) < 300


class TestUnreadable:
    """A history that cannot be read is an error, and never called empty."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        run("ask", "Hello")
        return tmp_path / "data" / "parley" / "history.sqlite3"

    def test_odd_conversations_are_named(self, file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("UPDATE conversations SET created = 'x'")
            connection.commit()
        for arguments in (["history"], ["history", "list"], ["history", "search", "Hello"]):
            result = run(*arguments)
            assert result.exit_code == 0
            assert result.stdout == ""
            assert result.stderr.startswith(
                f"parley: One of the conversations in {file} cannot be read and is left out"
            )
            assert "No conversations" not in result.stderr

    def test_a_damaged_file_is_named(self, file: Path) -> None:
        file.write_bytes(b"damaged" * 1000)
        result = run("history")
        assert "could not be read: it is kept as history.corrupt-" in result.stderr
        assert "No conversations" not in result.stderr

    def test_a_file_in_the_place_of_the_folder_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path / "file"))
        for arguments in (["history"], ["ask", "Hi", "--continue"], ["history", "search", "x"]):
            result = run(*arguments)
            assert result.exit_code == 1
            assert "cannot be read (not a directory)" in result.stderr
            assert "No conversation" not in result.stderr
