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
    lines = {line.split()[0]: line.split()[1:] for line in run("--max-tokens", "9", "config").stdout.splitlines()[:18]}
    assert lines["seed"] == ["7", "mine.toml"]
    assert lines["max_tokens"] == ["9", "command", "line"]
    assert lines["model"] == ["scripted", "environment"]
    assert lines["device"] == ["auto", "default"]
    assert lines["top_p"] == ["as", "the", "model's", "makers", "set", "it", "default"]


@pytest.mark.parametrize(("model", "told"), [("pocket", True), ("auto", True), ("pocket-small", False)])
def test_config_tells_what_the_bundled_model_takes_with_images(model: str, told: bool) -> None:
    lines = run("--model", model, "config").stdout.splitlines()
    [temperature] = [line for line in lines if line.startswith("temperature ")]
    assert ("as the model's makers set it (pocket takes 0 while there is an image)" in temperature) is told
    [chosen] = [line for line in run("--temperature", "1", "config").stdout.splitlines() if line.startswith("temperat")]
    assert chosen.split()[1:] == ["1.0", "command", "line"]


@pytest.mark.parametrize(
    "arguments",
    [["config"], ["ask", "?", "--json"], ["history", "list"], ["history"], ["models"], ["caption", "x.png"]],
)
def test_the_file_may_be_named_after_the_command(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("max_tokens = 'x'")
    result = run(*arguments, "--config", "bad.toml")
    assert result.exit_code == 2
    assert result.stderr.startswith("parley: max_tokens in bad.toml is 'x'")


def test_a_file_named_after_the_command_wins(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text("seed = 1")
    (tmp_path / "two.toml").write_text("seed = 2")
    lines = run("--config", "one.toml", "config", "--config", "two.toml").stdout.splitlines()
    assert next(line.split() for line in lines if line.startswith("seed")) == ["seed", "2", "two.toml"]
    assert lines[-1] == "The file is two.toml"


def test_a_mistyped_variable_is_one_line_on_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_TEMPRATURE", "1")
    result = run("ask", "Hi")
    assert result.exit_code == 0
    assert result.stdout == "You said: Hi\n"
    assert result.stderr.splitlines() == [
        "parley: PARLEY_TEMPRATURE in the environment is no setting and is ignored: did you mean PARLEY_TEMPERATURE?"
    ]


def test_long_instructions_are_cut_in_the_list(tmp_path: Path) -> None:
    (tmp_path / "persona.txt").write_text("Be kind.\n" * 1000)
    lines = run("--system", "@persona.txt", "config").stdout.splitlines()
    assert max(map(len, lines)) < 400
