"""The command line as a person or a script meets it: what goes to which stream, and the exit code."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, Any

import PIL.Image
import pytest
from click.testing import CliRunner, Result

from assistant import __version__
from assistant.events import Usage
from assistant.messages import Message
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from parley.cli.main import root
from parley.cli.progress import ProgressLine

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _nobodys_machine(unset: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_MODEL", "scripted")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "dog.png"
    PIL.Image.new("RGB", (40, 30), "red").save(path)
    return path


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(root, arguments, input=stdin)


def command(*arguments: str | bytes) -> list[str | bytes]:
    return [sys.executable, "-m", "parley", *arguments]


def start(*arguments: str, stdin: int | IO[Any] = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command(*arguments), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(arguments: Sequence[str | bytes], **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*arguments), check=False, capture_output=True, text=True, timeout=60, **options)


def histories() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(run("history", "list", "--json").stdout)
    return listed


def last_messages() -> list[dict[str, Any]]:
    shown = json.loads(run("history", "show", histories()[0]["id"], "--json").stdout)
    messages: list[dict[str, Any]] = shown["messages"]
    return messages


class TestHelp:
    def test_names_the_commands_without_importing_anything_heavy(self) -> None:
        program = (
            "import sys\n"
            "from parley.cli.main import root\n"
            "root(['--help'], standalone_mode=False)\n"
            "heavy = 'torch textual pydantic transformers numpy PIL sqlite3 asyncio'.split()\n"
            "print('loaded:', [name for name in heavy if name in sys.modules])\n"
        )
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        for name in ("ask", "history", "pull", "completion"):
            assert f"\n  {name} " in done.stdout
        assert done.stdout.endswith("loaded: []\n")

    def test_the_package_itself_imports_nothing_heavy_either(self) -> None:
        program = "import sys, assistant; print([n for n in ('torch', 'click', 'pydantic') if n in sys.modules])"
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        assert done.stdout == "[]\n"

    def test_version(self) -> None:
        assert run("--version").output == f"parley {__version__}\n"

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion_prints_a_script_for_the_shell(self, shell: str) -> None:
        result = run("completion", shell)
        assert result.exit_code == 0
        assert f"_PARLEY_COMPLETE={shell}_complete" in result.stdout

    def test_completion_completes_commands_and_conversations(self) -> None:
        run("ask", "Hello there")
        [kept] = histories()
        for line, expected in (("parley hi", "history"), ("parley history show ", kept["id"])):
            words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
            done = finish([], env={**os.environ, "_PARLEY_COMPLETE": "bash_complete", **words})
            assert f"plain,{expected}" in done.stdout


class TestAsk:
    def test_prints_the_answer_and_nothing_else(self) -> None:
        result = run("ask", "What is it?")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "You said: What is it?\n", "")

    @pytest.mark.parametrize("named", ["~nosuchuser/x.jpg", "x" * 300 + ".jpg"])
    def test_a_word_that_can_be_no_file_does_not_fail_the_question(self, named: str) -> None:
        result = run("ask", f"look at {named}")
        assert (result.exit_code, result.stdout, result.stderr) == (0, f"You said: look at {named}\n", "")

    def test_shows_several_pictures_in_their_order(self, photo: Path, tmp_path: Path) -> None:
        PIL.Image.new("L", (9, 9)).save(tmp_path / "cat.jpg")
        result = run("ask", "And?", "-i", str(photo), "-i", str(tmp_path / "cat.jpg"))
        assert result.stdout == "You said: And? (and showed dog.png, cat.jpg)\n"

    def test_reads_the_prompt_from_standard_input(self) -> None:
        assert run("ask", "-", stdin="From a pipe\n").stdout == "You said: From a pipe\n"

    def test_reads_a_picture_from_standard_input(self, photo: Path) -> None:
        result = run("ask", "What?", "-i", "-", stdin=photo.read_bytes())
        assert result.stdout == "You said: What? (and showed standard input)\n"

    def test_standard_input_cannot_be_both(self) -> None:
        result = run("ask", "-", "-i", "-", stdin="?")
        assert result.exit_code == 2
        assert "give - once" in result.stderr

    @pytest.mark.parametrize(("prompt", "stdin"), [("", None), ("  \n", None), ("-", " \n")])
    def test_an_empty_prompt_is_a_matter_of_usage(self, prompt: str, stdin: str | None) -> None:
        result = run("ask", prompt, stdin=stdin)
        assert result.exit_code == 2
        assert "The prompt is empty" in result.stderr

    def test_json_is_one_object(self, photo: Path) -> None:
        result = run("ask", "What is it?", "-i", str(photo), "--json")
        answer = json.loads(result.stdout)
        assert answer.pop("tokens_per_second") >= 0
        assert answer.pop("seconds_to_first_token") >= 0
        assert answer == {
            "answer": "You said: What is it? (and showed dog.png)",
            "model": "scripted",
            "device": "cpu",
            "quantization": "none",
            "prompt_tokens": 19,
            "cached_tokens": 0,
            "reply_tokens": 8,
            "interrupted": False,
            "notices": [],
        }

    def test_notices_go_to_standard_error_or_into_the_object(self, tmp_path: Path) -> None:
        frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
        frames[0].save(tmp_path / "cat.gif", save_all=True, append_images=frames[1:])
        plain, as_json = run("ask", "?", "-i", "cat.gif"), run("ask", "?", "-i", "cat.gif", "--json")
        assert plain.stderr.startswith("parley: cat.gif is animated")
        assert plain.stdout == "You said: ? (and showed cat.gif)\n"
        assert as_json.stderr == ""
        assert "cat.gif is animated" in json.loads(as_json.stdout)["notices"][0]

    def test_options_reach_the_model_before_or_after_the_command(self) -> None:
        assert run("ask", "one two three", "--max-tokens", "3").stdout == "You said: one\n"
        assert run("--max-tokens", "3", "ask", "one two three").stdout == "You said: one\n"
        assert run("--max-tokens", "3", "ask", "one two three", "--max-tokens", "2").stdout == "You said:\n"
        assert run("ask", "?", "--system", "Be so very brief", "--json").stdout.count('"prompt_tokens": 5') == 1

    @pytest.mark.parametrize(
        "options",
        [
            ["--max-tokens", "0"],
            ["--temperature", "3"],
            ["--seed", "-1"],
            ["--device", "tpu"],
            ["--quantize", "int3"],
            ["--continue", "--conversation", "x"],
            ["extra"],
        ],
    )
    def test_wrong_usage_exits_with_two(self, options: list[str]) -> None:
        result = run("ask", "?", *options)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert "Error: " in result.stderr

    def test_a_question_without_the_command_is_shown_the_way(self) -> None:
        result = run("What is it?")
        assert result.exit_code == 2
        assert "parley ask 'What is it?'" in result.stderr

    def test_a_missing_picture_is_one_line_and_loads_no_model(self) -> None:
        result = run("ask", "?", "-i", "gone.jpg", "--model", "/no/such/model")
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.startswith("parley: ")
        assert "gone.jpg" in result.stderr
        assert result.stderr.count("\n") == 1

    def test_a_picture_named_in_the_prompt_is_hinted_at(self, photo: Path) -> None:
        result = run("ask", f"What is in {photo}?")
        assert result.exit_code == 0
        assert f"attach it with -i {photo}" in result.stderr
        assert f"What is in {photo}?" in result.stdout

    def test_a_prompt_longer_than_the_context_says_how_long(self) -> None:
        result = run("ask", "word " * 5000)
        assert result.exit_code == 1
        assert "5000 tokens" in result.stderr
        assert histories() == []

    def test_control_characters_in_an_answer_do_not_reach_the_terminal(self) -> None:
        assert run("ask", "\x1b]0;owned\x07Hi\x9b2J\tthere").stdout == "You said: ]0;ownedHi2J\tthere\n"

    def test_text_that_is_no_utf8_is_answered_as_far_as_it_is_legible(self) -> None:
        assert run("ask", "-", stdin=b"caf\xe9").stdout == "You said: caf\N{REPLACEMENT CHARACTER}\n"
        done = finish([b"ask", b"caf\xe9", b"--system", b"\xe9"])
        assert (done.returncode, done.stdout) == (0, "You said: caf\N{REPLACEMENT CHARACTER}\n")

    def test_a_picture_whose_name_is_no_utf8_is_shown(self, photo: Path, tmp_path: Path) -> None:
        name = b"caf\xe9.png"
        try:
            photo.rename(tmp_path / os.fsdecode(name))
        except OSError:
            pytest.skip("the file system takes no such names")
        done = finish([b"ask", b"What is it?", b"-i", name])
        assert (done.returncode, done.stderr) == (0, "")
        assert [image["width"] for image in last_messages()[0]["images"]] == [40]


class TestConversations:
    def test_continue_goes_on_with_the_latest(self) -> None:
        run("ask", "My name is Ada.")
        run("ask", "What is my name?", "--continue")
        [kept] = histories()
        assert kept["turns"] == 2
        assert [message["text"] for message in last_messages()] == [
            "My name is Ada.",
            "You said: My name is Ada.",
            "What is my name?",
            "You said: What is my name?",
        ]

    def test_conversation_is_found_by_the_beginning_of_its_id(self, photo: Path) -> None:
        run("ask", "What is this?", "-i", str(photo))
        first = histories()[0]["id"]
        run("ask", "Something else")
        result = run("ask", "And this?", "--conversation", first[:-2], "--json")
        assert json.loads(result.stdout)["prompt_tokens"] == 16 + 3 + 8 + 2
        assert {kept["id"]: kept["turns"] for kept in histories()}[first] == 2

    def test_instructions_are_resumed_with_the_conversation(self) -> None:
        run("ask", "Hi", "--system", "Be so very brief")
        result = run("ask", "Hi", "--continue", "--json")
        assert json.loads(result.stdout)["prompt_tokens"] == 4 + 1 + 3 + 1

    def test_nothing_to_continue_is_said(self) -> None:
        result = run("ask", "?", "-c")
        assert result.exit_code == 1
        assert result.stderr.startswith("parley: There is no conversation to continue yet")

    @pytest.mark.parametrize("arguments", [["ask", "?", "--conversation", "zzz"], ["history", "show", "zzz"]])
    def test_an_unknown_conversation_is_said(self, arguments: list[str]) -> None:
        run("ask", "Hello")
        result = run(*arguments)
        assert result.exit_code == 1
        assert "There is no conversation zzz" in result.stderr

    def test_no_history_leaves_no_trace(self) -> None:
        run("ask", "Hello", "--no-history")
        assert histories() == []

    def test_list_show_and_search_are_readable(self, photo: Path) -> None:
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

    def test_delete_takes_all_or_none(self) -> None:
        run("ask", "one")
        run("ask", "two")
        latest, earlier = (kept["id"] for kept in histories())
        assert run("history", "delete", latest, "zzz").exit_code == 1
        assert len(histories()) == 2
        result = run("history", "delete", latest)
        assert (result.exit_code, result.stdout) == (0, f"Deleted {latest}\n")
        assert [kept["id"] for kept in histories()] == [earlier]

    def test_an_empty_history_says_so_and_json_stays_json(self) -> None:
        result = run("history", "list")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "parley: No conversations.\n")
        assert run("history", "list", "--json").stdout == "[]\n"

    def test_a_history_that_cannot_be_written_still_answers_and_then_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path / "file" / "below"))
        result = run("ask", "Hello")
        assert result.stdout == "You said: Hello\n"
        assert result.stderr.count("\n") == 1
        assert "is not saved" in result.stderr
        assert result.exit_code == 1
        assert run("ask", "Hello", "--no-history").exit_code == 0

    def test_a_corrupt_history_is_set_aside_and_named(self, tmp_path: Path) -> None:
        run("ask", "Hello")
        [database] = (tmp_path / "data").rglob("*.sqlite3")
        database.write_bytes(b"not a database" * 1000)
        result = run("ask", "Hello again")
        assert result.stdout == "You said: Hello again\n"
        assert "it is kept as history.corrupt-" in result.stderr
        assert len(histories()) == 1


class TestLineMode:
    def test_answers_each_line_of_standard_input(self, photo: Path) -> None:
        result = run(stdin=f"What is in this picture? {photo}\n\nAnd now?\n")
        assert result.exit_code == 0
        assert result.stdout == "You said: What is in this picture? (and showed dog.png)\nYou said: And now?\n"
        assert histories()[0]["turns"] == 2

    def test_a_bad_line_is_told_and_the_next_goes_on(self) -> None:
        result = run(stdin="look at gone.jpg\nHello\n")
        assert result.exit_code == 1
        assert result.stdout == "You said: Hello\n"
        assert result.stderr.startswith("parley: line 1: ")

    def test_nothing_said_is_nothing_answered(self) -> None:
        result = run(stdin="")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")

    def test_continues(self) -> None:
        run("ask", "one")
        run("--continue", stdin="two\nthree")
        assert histories()[0]["turns"] == 3

    def test_a_closed_standard_input_is_an_empty_one(self) -> None:
        script = f"{sys.executable} -m parley <&-"
        done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_answers_come_while_the_next_line_is_still_to_be_typed(self) -> None:
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
class TestOnATerminal:
    def test_opens_the_app_answers_in_it_and_leaves_it(self) -> None:
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
            screen.drain()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
        assert [message["text"] for message in last_messages()] == ["Hello", "You said: Hello"]

    def test_progress_is_a_bar_that_ends_with_its_line(self) -> None:
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
            drawn = Screen(leader).drain()
            assert process.wait(30) == 0
        first, second, _ = drawn.split("\r\n")
        assert first.startswith("\r\x1b[Kdecoder  ────")
        assert first.endswith("━━━━  100 %  of 98.0 MB")
        assert "assembling" in second

    def test_progress_elsewhere_is_a_line_for_each_thing(self, capsys: pytest.CaptureFixture[str]) -> None:
        with ProgressLine() as progress:
            for done in range(0, 50_000_001, 1_000_000):
                progress("fetching the decoder", done, 50_000_000)
            progress("assembling", 0, 0)
        assert capsys.readouterr().err == "parley: fetching the decoder (50.0 MB)\nparley: assembling\n"


class Screen:
    """What a process writes to its terminal."""

    def __init__(self, leader: int) -> None:
        self.leader = leader
        self.text = ""

    def wait_for(self, wanted: str) -> None:
        # The cursor blinks for ever: that something still comes does not mean that it is what is waited for.
        deadline = time.monotonic() + 30
        while wanted not in self.text:
            assert self.read(), f"The process ended, and {wanted!r} never came: {self.text[-2000:]!r}"
            assert time.monotonic() < deadline, f"{wanted!r} never came: {self.text[-2000:]!r}"

    def drain(self) -> str:
        while self.read():
            pass
        os.close(self.leader)
        return self.text

    def read(self) -> bool:
        if not select.select([self.leader], [], [], 30)[0]:
            return False
        try:
            read = os.read(self.leader, 65536)
        except OSError:  # Linux says so when the other end has closed
            return False
        self.text += read.decode(errors="replace")
        return bool(read)


class TestConfiguration:
    @pytest.mark.parametrize("arguments", [["ask", "?"], [], ["history", "list"], ["config"]])
    def test_a_bad_file_is_one_sentence(self, arguments: list[str], tmp_path: Path) -> None:
        (tmp_path / "bad.toml").write_text("max_tokens = 'x'")
        result = run("--config", "bad.toml", *arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("parley: max_tokens in bad.toml is 'x'")
        assert result.stderr.count("\n") == 1

    def test_config_says_where_each_value_came_from(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mine.toml").write_text("seed = 7")
        monkeypatch.setenv("PARLEY_CONFIG", "mine.toml")
        lines = {
            line.split()[0]: line.split()[1:] for line in run("--max-tokens", "9", "config").stdout.splitlines()[:11]
        }
        assert lines["seed"] == ["7", "mine.toml"]
        assert lines["max_tokens"] == ["9", "command", "line"]
        assert lines["model"] == ["scripted", "environment"]
        assert lines["device"] == ["auto", "default"]


class TestEndings:
    """Ctrl-C, closed pipes and full disks, in real processes."""

    def test_ctrl_c_while_the_answer_comes_keeps_what_was_said(self) -> None:
        with start("ask", "word " * 500, "--model", "scripted:0.05") as process:
            assert process.stdout is not None
            assert process.stderr is not None
            first = process.stdout.read(1)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
            said, told = first + process.stdout.read(), process.stderr.read()
        assert told.strip() == b""
        kept = last_messages()[1]
        assert kept["interrupted"]
        assert said.decode() == kept["text"] + "\n"

    def test_ctrl_c_with_json_prints_what_was_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def stream(
            self: ScriptedModel, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
        ) -> Generator[str, None, Usage]:
            yield "A dog"
            time.sleep(0.3)  # until it was taken from the thread's queue
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.wait(10), "Ctrl-C stops the model"
            return Usage()

        monkeypatch.setattr(ScriptedModel, "stream", stream)
        result = run("ask", "What is it?", "--json")
        assert result.exit_code == 130
        answer = json.loads(result.stdout)
        assert (answer["answer"], answer["interrupted"]) == ("A dog", True)

    @pytest.mark.parametrize("as_json", [False, True])
    def test_ctrl_c_while_nothing_can_be_saved_says_so(
        self, as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stream(
            self: ScriptedModel, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
        ) -> Generator[str, None, Usage]:
            yield "A dog"
            time.sleep(0.3)  # until it was taken from the thread's queue
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.wait(10), "Ctrl-C stops the model"
            return Usage()

        (tmp_path / "file").touch()
        monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path / "file" / "below"))
        monkeypatch.setattr(ScriptedModel, "stream", stream)
        result = run("ask", "What is it?", *(["--json"] if as_json else []))
        assert result.exit_code == 130
        told = json.loads(result.stdout)["notices"] if as_json else result.stderr.splitlines()
        assert len(told) == 1
        assert "The last turns are not saved." in told[0]

    def test_ctrl_c_while_standard_input_is_awaited(self) -> None:
        with start("ask", "-", stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            # More than a pipe holds: once this is through, the command is reading, and a moment later it waits.
            process.stdin.write(b"x" * 200_000)
            process.stdin.flush()
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
            assert b"Traceback" not in process.stderr.read()

    def test_a_closed_pipe_ends_quietly_and_keeps_the_turn(self) -> None:
        with start("ask", "word " * 500, "--model", "scripted:0.01") as process:
            assert process.stdout is not None
            process.stdout.read(1)
            process.stdout.close()
            assert process.wait(30) == 141
            assert process.stderr is not None
            assert process.stderr.read() == b""
        assert last_messages()[1]["interrupted"]
        assert last_messages()[1]["text"].startswith("You said:")

    @pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs a full device")
    @pytest.mark.parametrize("arguments", [["ask", "?"], ["ask", "?", "--json"], ["config"]])
    def test_an_answer_that_cannot_be_written_fails_in_one_line(self, arguments: list[str]) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                command(*arguments), check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
            )
        assert done.returncode == 1
        assert done.stderr == "parley: The output cannot be written: No space left on device.\n"
