"""`parley ask`: what goes to which stream, exit codes, Ctrl-C, closed pipes and full disks."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import PIL.Image
import pytest

from assistant.events import Event, Usage
from assistant.messages import Message
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from parley.cli.transcript_printer import TranscriptPrinter
from tests.fakes.command_line import command, finish, last_messages, run, saved_conversations, start

pytestmark = pytest.mark.usefixtures("scripted_machine")


LONG = " ".join(f"word{number}" for number in range(500))


def test_the_answer_is_all_of_the_output() -> None:
    result = run("ask", "What is it?")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "You said: What is it?\n", "")


@pytest.mark.parametrize("named", ["~nosuchuser/x.jpg", "x" * 300 + ".jpg"])
def test_a_word_that_looks_like_an_impossible_path_is_a_word(named: str) -> None:
    result = run("ask", f"look at {named}")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"You said: look at {named}\n", "")


def test_several_images_are_attached_in_order(photo: Path, tmp_path: Path) -> None:
    PIL.Image.new("L", (9, 9)).save(tmp_path / "cat.jpg")
    result = run("ask", "And?", "-i", str(photo), "-i", str(tmp_path / "cat.jpg"))
    assert result.stdout == "You said: And? (and showed dog.png, cat.jpg)\n"


def test_the_prompt_is_read_from_standard_input() -> None:
    assert run("ask", "-", stdin="From a pipe\n").stdout == "You said: From a pipe\n"


def test_an_image_is_read_from_standard_input(photo: Path) -> None:
    result = run("ask", "What?", "-i", "-", stdin=photo.read_bytes())
    assert result.stdout == "You said: What? (and showed standard input)\n"


def test_standard_input_cannot_be_both_prompt_and_image() -> None:
    result = run("ask", "-", "-i", "-", stdin="?")
    assert result.exit_code == 2
    assert "give - once" in result.stderr


@pytest.mark.parametrize(("prompt", "stdin"), [("", None), ("  \n", None), ("-", " \n")])
def test_an_empty_prompt_is_a_usage_error(prompt: str, stdin: str | None) -> None:
    result = run("ask", prompt, stdin=stdin)
    assert result.exit_code == 2
    assert "The prompt is empty" in result.stderr


def test_changing_the_model_in_a_single_question_is_a_usage_error() -> None:
    result = run("ask", "/model pocket")
    assert result.exit_code == 2
    assert "--model" in result.stderr


def test_json_is_one_object(photo: Path) -> None:
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
        "reasoning_tokens": 0,
        "interrupted": False,
        "notices": [],
    }


def test_notices_go_to_standard_error_or_into_the_json_object(tmp_path: Path) -> None:
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "cat.gif", save_all=True, append_images=frames[1:])
    plain, as_json = run("ask", "?", "-i", "cat.gif"), run("ask", "?", "-i", "cat.gif", "--json")
    assert plain.stderr.startswith("parley: cat.gif is animated")
    assert plain.stdout == "You said: ? (and showed cat.gif)\n"
    assert as_json.stderr == ""
    assert "cat.gif is animated" in json.loads(as_json.stdout)["notices"][0]


def test_options_are_accepted_before_and_after_the_command() -> None:
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
        ["--seed", str(2**63)],
        ["--top-p", "0"],
        ["--top-k", "1000000000000"],
        ["--min-p", "inf"],
        ["--repetition-penalty", "0"],
        ["--presence-penalty", "-2.5"],
        ["--device", "tpu"],
        ["--quantize", "int3"],
        ["--continue", "--conversation", "x"],
        ["extra"],
    ],
)
def test_invalid_options_exit_with_two(options: list[str]) -> None:
    result = run("ask", "?", *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert options[0] in result.stderr


@pytest.mark.parametrize("option", ["--temperature", "--top-p", "--min-p", "--repetition-penalty"])
def test_no_number_is_no_value_of_an_option(option: str) -> None:
    result = run("ask", "?", option, "nan")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"parley: {option} is 'nan', but it should be a number")


def test_an_empty_stop_string_is_refused() -> None:
    result = run("ask", "?", "--stop", "")
    assert result.exit_code == 2
    assert "--stop is '', but it should be up to 16 texts of 1 to 200 characters" in result.stderr


def test_a_reply_ends_before_the_first_stop_string() -> None:
    assert run("ask", "one two three four", "--stop", "four", "--stop", " three").stdout == "You said: one two\n"
    assert run("--stop", " two", "ask", "one two three").stdout == "You said: one\n"


def test_a_reply_that_repeats_itself_is_ended_with_a_notice() -> None:
    result = run("ask", "a gentle rain " * 60)
    assert result.exit_code == 0
    assert 5 < result.stdout.count("gentle") < 30
    assert "The reply repeated itself and was ended" in result.stderr


def test_a_question_without_the_command_is_answered_with_the_command() -> None:
    result = run("What is it?")
    assert result.exit_code == 2
    assert "parley ask 'What is it?'" in result.stderr


def test_a_missing_image_is_one_line_and_loads_no_model() -> None:
    result = run("ask", "?", "-i", "gone.jpg", "--model", "/no/such/model")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("parley: ")
    assert "gone.jpg" in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_image_named_in_the_prompt_causes_a_hint(photo: Path) -> None:
    result = run("ask", f"What is in {photo}?")
    assert result.exit_code == 0
    assert f"attach it with -i {photo}" in result.stderr
    assert f"What is in {photo}?" in result.stdout


def test_a_prompt_longer_than_the_context_is_an_error_with_its_length() -> None:
    result = run("ask", "word " * 5000)
    assert result.exit_code == 1
    assert "5000 tokens" in result.stderr
    assert saved_conversations() == []


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert run("ask", "\x1b]0;owned\x07Hi\x9b2J\tthere").stdout == "You said: ]0;ownedHi2J\tthere\n"


def test_text_that_is_not_utf8_gets_replacement_characters() -> None:
    assert run("ask", "-", stdin=b"caf\xe9").stdout == "You said: caf\N{REPLACEMENT CHARACTER}\n"
    done = finish([b"ask", b"caf\xe9", b"--system", b"\xe9"])
    assert (done.returncode, done.stdout) == (0, "You said: caf\N{REPLACEMENT CHARACTER}\n")


def test_an_image_whose_name_is_not_utf8_is_attached(photo: Path, tmp_path: Path) -> None:
    name = b"caf\xe9.png"
    try:
        photo.rename(tmp_path / os.fsdecode(name))
    except OSError:
        pytest.skip("needs a file system that allows any bytes in names")
    done = finish([b"ask", b"What is it?", b"-i", name])
    assert (done.returncode, done.stderr) == (0, "")
    assert [image["width"] for image in last_messages()[0]["images"]] == [40]


def test_ctrl_c_during_the_answer_saves_the_partial_reply() -> None:
    with start("ask", LONG, "--model", "scripted:0.05") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        output, errors = first + process.stdout.read(), process.stderr.read()
    assert errors.strip() == b""
    reply = last_messages()[1]
    assert reply["interrupted"]
    assert output.decode() == reply["text"] + "\n"


@pytest.fixture
def ctrl_c_after_the_first_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model say "A dog", press Ctrl-C once that has been printed, and wait to be stopped."""
    printed = threading.Event()
    print_event = TranscriptPrinter.__call__

    def print_and_signal(printer: TranscriptPrinter, event: Event) -> None:
        print_event(printer, event)
        printed.set()

    def stream(
        self: ScriptedModel, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        yield "A dog"
        assert printed.wait(30)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(30), "Ctrl-C stops the model"
        return Usage()

    monkeypatch.setattr(TranscriptPrinter, "__call__", print_and_signal)
    monkeypatch.setattr(ScriptedModel, "stream", stream)


@pytest.mark.usefixtures("ctrl_c_after_the_first_words")
def test_ctrl_c_with_json_prints_the_partial_reply() -> None:
    result = run("ask", "What is it?", "--json")
    assert result.exit_code == 130
    answer = json.loads(result.stdout)
    assert (answer["answer"], answer["interrupted"]) == ("A dog", True)


@pytest.mark.usefixtures("ctrl_c_after_the_first_words")
@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_reports_that_the_turn_is_not_saved(
    as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path / "file" / "below"))
    result = run("ask", "What is it?", *(["--json"] if as_json else []))
    assert result.exit_code == 130
    notices = json.loads(result.stdout)["notices"] if as_json else result.stderr.splitlines()
    assert len(notices) == 1
    assert "The last turns are not saved." in notices[0]


def test_ctrl_c_ends_the_wait_for_standard_input() -> None:
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


def test_a_closed_pipe_ends_quietly_and_saves_the_turn() -> None:
    with start("ask", LONG, "--model", "scripted:0.01") as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert last_messages()[1]["interrupted"]
    assert last_messages()[1]["text"].startswith("You said:")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["ask", "?"], ["ask", "?", "--json"], ["config"]])
def test_output_that_cannot_be_written_is_an_error_in_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*arguments), check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1
    assert done.stderr == "parley: The output cannot be written: No space left on device.\n"


def test_a_pipe_without_a_prompt_is_the_prompt() -> None:
    assert run("ask", stdin="From a pipe\n").stdout == "You said: From a pipe\n"


def test_a_pipe_beside_a_prompt_is_not_read_and_that_is_said() -> None:
    done = finish(["ask", "?"], input="not read")
    assert (done.returncode, done.stdout) == (0, "You said: ?\n")
    assert "Standard input is not read" in done.stderr
    assert finish(["ask", "?"], stdin=subprocess.DEVNULL).stderr == ""
    assert finish(["ask", "-"], input="read").stderr == ""


@pytest.mark.parametrize("arguments", [["ask", "-"], ["ask"], []])
def test_a_picture_on_standard_input_is_no_text(arguments: list[str], photo: Path) -> None:
    with photo.open("rb") as file:
        done = finish(arguments, stdin=file)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Standard input is a picture or other binary data, and no text" in done.stderr
    assert saved_conversations() == []


def test_a_text_that_is_longer_than_any_model_reads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.cli.terminal.MAX_INPUT_CHARACTERS", 100)
    result = run("ask", "-", stdin="x" * 401)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "longer than 100 characters" in result.stderr


def test_a_line_that_is_longer_than_any_model_reads_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.cli.terminal.MAX_INPUT_CHARACTERS", 100)
    monkeypatch.setattr("parley.cli.chat.MAX_INPUT_CHARACTERS", 100)
    result = run(stdin=f"one\n{'x' * 350}\nthree\n")
    assert (result.exit_code, result.stdout) == (1, "You said: one\nYou said: three\n")
    assert result.stderr == "parley: line 2: It is longer than 100 characters: shorten it.\n"
