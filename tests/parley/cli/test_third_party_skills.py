"""Skills that other packages declare."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fakes.command_line import run

pytestmark = pytest.mark.usefixtures("scripted_machine")

CODE = (
    "from pydantic import BaseModel\nfrom skills import Image, skill\n"
    "class Joined(BaseModel):\n    joined: str\n"
    "@skill\ndef join_up(first: str, *, face: Image | None = None, twice: bool = False, times: int = 1,\n"
    "    word: tuple[str, ...] = ()) -> Joined:\n"
    "    '''Join words.'''\n"
    "    if first == 'bad': raise KeyError(first)\n"
    "    return Joined(joined=' '.join([first, *word, str(twice), str(times), face.name if face else '-']))\n"
)


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    for name, code in (
        ("join-up", CODE),
        ("worse", "1/0"),
        ("history", CODE.replace("join_up", "history")),
    ):
        module = name.replace("-", "_")
        info = site / f"{module}_pack-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-pack\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[parley.skills]\n{name} = {module}_cli_pack:{module}\n")
        (site / f"{module}_cli_pack.py").write_text(code)
    monkeypatch.syspath_prepend(str(site))


def test_a_skill_without_images_is_a_command(photos: Sequence[str]) -> None:
    arguments = ("join-up", "hello", "--word", "a", "--word", "b", "--twice", "--times", "3", "--face", photos[0])
    assert run(*arguments).stdout == "joined: hello a b True 3 a.png\n"
    assert json.loads(run("join-up", "hello", "--json").stdout) == {"joined": "hello False 1 -"}


def test_an_error_in_a_skill_is_one_line() -> None:
    result = run("join-up", "bad")
    assert (result.exit_code, result.stderr) == (1, "parley: The skill join-up failed on this: KeyError: 'bad'\n")
    result = run("join-up", "hello", "--times", "many")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "--times of the skill join-up is 'many'" in result.stderr


def test_a_skill_that_cannot_be_imported_is_one_notice(photos: Sequence[str]) -> None:
    assert "ZeroDivisionError" in run("worse").stderr
    listed = run("skills")
    assert listed.exit_code == 0
    assert listed.stderr.count("ZeroDivisionError") == 1
    assert "join-up FIRST [--face PATH] [--twice] [--times N] [--word TEXT]…" in listed.stdout
    assert run("caption", photos[0]).exit_code == 0
    assert "From the package worse-pack." in run("--help").stdout


def test_a_command_keeps_its_name() -> None:
    assert "conversations" in run("history", "--help").stdout
    assert "The skill history cannot be a command" in run("skills").stderr
