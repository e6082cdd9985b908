"""Standard streams that are closed or full: one sentence and exit code 1, and never a success with lost output."""

import subprocess
from pathlib import Path

import pytest

from tests.fakes.command_line import command, saved_conversations

pytestmark = pytest.mark.usefixtures("scripted_machine")

WITH_OUTPUT = (
    ["--help"],
    ["--version"],
    ["ask", "?"],
    ["ask", "?", "--json"],
    ["caption", "dog.png"],
    ["caption", "dog.png", "--json"],
    ["caption", "--help"],
    ["config"],
    ["completion", "bash"],
    ["history", "list", "--json"],
    ["models"],
    ["skills"],
)


def run_with(redirections: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a shell that redirects or closes its streams."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", *map(str, command(*arguments))],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.usefixtures("photo")
@pytest.mark.parametrize("arguments", WITH_OUTPUT, ids=" ".join)
def test_a_closed_output_is_an_error_in_one_sentence(arguments: list[str]) -> None:
    done = run_with(">&-", *arguments)
    assert (done.returncode, done.stderr) == (1, "parley: The output cannot be written: it is closed.\n")


def test_output_that_is_lost_is_an_error_whatever_else_is_closed() -> None:
    for redirections in ("<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"):
        done = run_with(redirections, "config")
        assert done.returncode == 1, redirections
        assert "Traceback" not in done.stderr


def test_closed_input_and_error_streams_do_no_harm() -> None:
    for redirections in ("<&-", "2>&-", "<&- 2>&-"):
        done = run_with(redirections, "ask", "?")
        assert (done.returncode, done.stdout, done.stderr) == (0, "You said: ?\n", ""), redirections
    assert len(saved_conversations()) == 3


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_full_streams_do_not_change_the_exit_code() -> None:
    assert run_with("2>/dev/full", "ask", "?").returncode == 0
    assert run_with("2>/dev/full", "nonsense").returncode == 2
    assert run_with("2>/dev/full", "history", "show", "gone").returncode == 1
    assert run_with(">/dev/full 2>/dev/full", "config").returncode == 1


def test_a_usage_error_with_a_closed_error_stream_keeps_its_exit_code() -> None:
    assert run_with("2>&-", "nonsense").returncode == 2


def test_a_closed_stream_is_never_a_file_that_is_opened_later(tmp_path: Path) -> None:
    # The history or a results file would get the number of standard error, and the notices in it.
    (tmp_path / "a.png").write_text("no picture")
    (tmp_path / "b.png").write_text("no picture")
    run_with("<&- >&- 2>&-", "caption", "a.png", "b.png", "--out", "out.jsonl")
    lines = Path("out.jsonl").read_text().splitlines()
    assert [line[:9] for line in lines] == ['{"photo":'] * 2


@pytest.mark.parametrize("arguments", [["--help"], ["config"]])
def test_a_closed_pipe_ends_quietly(arguments: list[str]) -> None:
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""
