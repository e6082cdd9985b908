"""Configuration files and `parley config`."""

from pathlib import Path

import pytest

from tests.fakes.command_line import run

pytestmark = pytest.mark.usefixtures("scripted_machine")


@pytest.mark.parametrize("arguments", [["ask", "?"], [], ["history", "list"], ["config"]])
def test_an_invalid_file_is_an_error_in_one_sentence(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("max_tokens = 'x'")
    result = run("--config", "bad.toml", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("parley: max_tokens in bad.toml is 'x'")
    assert result.stderr.count("\n") == 1


def test_config_prints_the_origin_of_each_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text("seed = 7")
    monkeypatch.setenv("PARLEY_CONFIG", "mine.toml")
    lines = {line.split()[0]: line.split()[1:] for line in run("--max-tokens", "9", "config").stdout.splitlines()[:11]}
    assert lines["seed"] == ["7", "mine.toml"]
    assert lines["max_tokens"] == ["9", "command", "line"]
    assert lines["model"] == ["scripted", "environment"]
    assert lines["device"] == ["auto", "default"]
