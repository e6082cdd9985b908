"""Help, version and completion."""

import os
import subprocess
import sys

import pytest

from assistant import __version__
from parley.cli.main import root
from tests.fakes.command_line import finish, run, saved_conversations

pytestmark = pytest.mark.usefixtures("scripted_machine")


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from parley.cli.main import root\n"
        "try:\n"
        "    root(['--help'])\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "heavy = 'torch textual pydantic transformers numpy PIL sqlite3 asyncio'.split()\n"
        "print('loaded:', [name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    for name in ("ask", "history", "pull", "completion"):
        assert f"\n  {name} " in done.stdout
    assert done.stdout.endswith("loaded: []\n")


def test_the_package_imports_nothing_heavy() -> None:
    program = "import sys, assistant; print([n for n in ('torch', 'click', 'pydantic') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_version_is_printed() -> None:
    assert run("--version").output == f"parley {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_PARLEY_COMPLETE={shell}_complete" in result.stdout


def test_commands_and_conversations_are_completed() -> None:
    run("ask", "Hello there")
    [conversation] = saved_conversations()
    for line, expected in (("parley hi", "history"), ("parley history show ", conversation["id"])):
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        done = finish([], env={**os.environ, "_PARLEY_COMPLETE": "bash_complete", **words})
        assert f"plain,{expected}" in done.stdout


def test_commands_are_grouped_in_order_of_use() -> None:
    sections: dict[str, list[str]] = {}
    title = ""
    for line in run("--help").stdout.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            title = line.removesuffix(":")
        # Commands are indented by two spaces, continued lines by more.
        elif line.startswith("  ") and line[2] not in " -":
            sections.setdefault(title, []).append(line.split()[0])
    del sections[""]
    assert sections == {
        "Chat": ["ask"],
        "Voice": ["voice", "transcribe", "speak", "devices"],
        "Skills": ["caption", "emotion", "read", "vqa", "skills", "evaluate"],
        "Models": ["models", "pull"],
        "History": ["history"],
        "Settings": ["config", "doctor", "completion", "licences"],
    }


def test_every_command_is_listed_once() -> None:
    help_text = run("--help").stdout
    for name in root.commands:
        assert help_text.count(f"\n  {name} ") == 1, name
