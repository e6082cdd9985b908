"""Text from outside: no control character reaches the terminal, and JSON keeps every character."""

import json
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

from assistant.text_cleaning import to_json
from parley.cli.table import format_table
from tests.fakes.command_line import command, parse_records, run

pytestmark = pytest.mark.usefixtures("scripted_machine")

HOSTILE = "a\x1b]52;c;AAAA\x07b\x9b2Jc\u202ed\u2066e\x7ff"
CLEANED = "a]52;c;AAAAb2Jcdef"
HARMLESS = "👨‍👩‍👧 e\u0301 שלום ﷺ 日本語"


def is_clean(text: str) -> bool:
    """Return True if `text` has nothing that a terminal obeys."""
    return not any(each in text for each in "\x1b\x07\x9b\x7f\u202e\u2066")


def test_a_reply_is_cleaned_and_keeps_all_else() -> None:
    assert run("ask", f"{HOSTILE} {HARMLESS}").stdout == f"You said: {CLEANED} {HARMLESS}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [HOSTILE],
        [f"--{HOSTILE}"],
        ["ask", "?", HOSTILE],
        ["ask", "?", "-i", HOSTILE],
        ["ask", "?", "--device", HOSTILE],
        ["ask", "?", "--quantize", HOSTILE],
        ["ask", "?", "--model", HOSTILE],
        ["ask", "?", "--conversation", HOSTILE],
        ["history", HOSTILE],
        ["history", "show", HOSTILE],
        ["caption", HOSTILE],
        ["caption", f"{HOSTILE}*.png"],
        ["caption", HOSTILE, "--style", HOSTILE],
        ["models", "use", HOSTILE],
        ["pull", HOSTILE],
        ["speak", "?", "-o", HOSTILE],
        ["speak", "?", "-o", "a.wav", "--voice", HOSTILE],
        ["transcribe", HOSTILE],
        ["--config", HOSTILE, "ask", "?"],
        ["evaluate", "caption", HOSTILE, HOSTILE],
    ],
    ids=lambda arguments: " ".join(arguments).replace(HOSTILE, "x"),
)
def test_arguments_are_quoted_cleaned_and_cut(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert is_clean(result.stderr)
    longer = run(*(each.replace(HOSTILE, "x" * 5000) for each in arguments))
    assert len(longer.stderr) < 1500
    assert longer.stderr.count("\n") <= 3


def test_a_file_name_cannot_end_its_line() -> None:
    name = f"{HOSTILE}\nb.png: A fake"
    for path in (f"{name}.png", "other.png"):
        PIL.Image.new("RGB", (9, 9)).save(path)
    result = run("caption", f"{name}.png", "other.png", "gone\n.png")
    assert is_clean(result.stdout + result.stderr)
    assert result.stdout.count("\n") == 2
    assert all(line.startswith("parley: ") for line in result.stderr.splitlines())


def test_json_escapes_what_a_terminal_obeys_and_gives_it_back() -> None:
    answer = run("ask", f"{HOSTILE}{HARMLESS}", "--json")
    assert is_clean(answer.stdout)
    assert HARMLESS in answer.stdout
    assert json.loads(answer.stdout)["answer"] == f"You said: {HOSTILE}{HARMLESS}"
    PIL.Image.new("RGB", (9, 9)).save(f"{HOSTILE}.png")
    result = run("caption", f"{HOSTILE}.png", "--json")
    assert is_clean(result.stdout)
    assert parse_records(result.stdout)[0]["photo"] == f"{HOSTILE}.png"


def test_json_is_exact() -> None:
    value = {"text": "".join(map(chr, range(0x2100))), "lone": "\udcff", "many": ["\x7f", "\x85", 1.5, None]}
    for indent in (None, 2):
        text = to_json(value, indent)
        assert json.loads(text) == value
        assert is_clean(text)
        assert text.encode()


def test_cells_of_a_table_stay_in_their_row() -> None:
    assert format_table([["a\nb", f"{HOSTILE}\n1", "x"], ["c", "d", "y"]]) == [
        f"a b  {CLEANED} 1  x",
        f"c    d{' ' * 20} y",
    ]


def test_the_traceback_of_a_fault_is_cleaned() -> None:
    program = (
        "from parley.cli import main\n"
        "from parley.cli.main import root\n"
        f"def fail(*_, **__): raise RuntimeError({HOSTILE!r})\n"
        "root.invoke = fail\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"RuntimeError: {CLEANED}" in done.stderr
    assert is_clean(done.stderr)


def test_a_title_is_cleaned_in_completions(monkeypatch: pytest.MonkeyPatch) -> None:
    run("ask", HOSTILE)
    monkeypatch.setenv("_PARLEY_COMPLETE", "zsh_complete")
    monkeypatch.setenv("COMP_WORDS", "parley history show ")
    monkeypatch.setenv("COMP_CWORD", "3")
    done = subprocess.run(command(), check=False, capture_output=True, text=True, timeout=60)
    assert CLEANED in done.stdout
    assert is_clean(done.stdout)


def test_arguments_and_input_that_are_not_utf8_are_accepted_everywhere(tmp_path: Path) -> None:
    odd = b"\xff\xe9"
    for arguments in (
        [b"ask", odd],
        [b"ask", b"?", b"-i", odd],
        [b"ask", b"?", b"--model", odd],
        [b"ask", b"?", b"--conversation", odd],
        [b"ask", b"?", b"--base-url", odd],
        [b"--config", odd, b"config"],
        [odd],
        [b"caption", odd],
        [b"vqa", b"a.png", odd],
        [b"history", b"show", odd],
        [b"history", b"search", odd],
        [b"history", b"delete", odd],
        [b"models", b"use", odd],
        [b"speak", odd, b"-o", odd],
        [b"transcribe", odd],
        [b"evaluate", b"caption", odd, odd],
        [b"emotion", b"--text", odd, b"--face", odd],
    ):
        done = subprocess.run(command(*arguments), check=False, capture_output=True, input=b"", timeout=60)
        assert done.returncode in (0, 1, 2), arguments
        assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
        done.stderr.decode()


def test_what_another_package_says_about_its_skill_is_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "odd_pack-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: odd-pack{HOSTILE}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[parley.skills]\nodd = odd_pack:odd\nworse = odd_pack:worse\n")
    (tmp_path / "site" / "odd_pack.py").write_text(
        "from typing import Annotated\nfrom pydantic import BaseModel\nfrom skills import skill\n"
        "class Said(BaseModel):\n    said: str\n"
        f"@skill\ndef odd(text: str, *, more: Annotated[str, {HOSTILE!r}] = {HOSTILE!r}) -> Said:\n"
        f"    {HOSTILE!r}\n"
        f"    if text == 'bad': raise KeyError({HOSTILE!r})\n"
        "    return Said(said=text + more)\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for arguments in (["--help"], ["odd", "--help"], ["skills"], ["odd", "x"], ["odd", "bad"], ["worse"], ["odd"]):
        result = run(*arguments)
        assert is_clean(result.output), arguments
    result = run("odd", "x", "--json")
    assert is_clean(result.stdout)
    assert json.loads(result.stdout) == {"said": f"x{HOSTILE}"}
    assert is_clean(run("skills", "--json").stdout)
    result = run(stdin="/help\n/help odd\n/odd bad\n")
    assert is_clean(result.output)


def test_a_long_name_in_a_notice_is_cut_and_the_advice_stays() -> None:
    result = run("caption", f"{'x' * 5000}.png")
    assert "…" in result.stderr
    assert len(result.stderr) < 1000
    assert result.stderr.startswith("parley: xxx")


def test_a_long_address_in_a_notice_is_cut_in_its_middle() -> None:
    result = run("ask", "Hi", "--model", f"scripted-{'x' * 5000}-end")
    assert len(result.stderr) < 400
    assert "scripted-x" in result.stderr
    assert "x-end" in result.stderr
    assert "choose one that `parley models` lists" in result.stderr
