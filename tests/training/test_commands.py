"""Every stage has a command that explains itself."""

import importlib
import sys

import pytest

COMMANDS = (
    *("prepare", "features", "words", "replay_data", "connector", "ablations", "export", "evaluate"),
    *("faces", "face_figures", "voices", "emotion_states", "emotion_text", "fusion", "confidence"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_how_to_call_the_command(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"training.{command}")
    monkeypatch.setattr(sys, "argv", [command, "--help"])
    with pytest.raises(SystemExit) as exit_status:
        module.main()
    assert exit_status.value.code == 0
    assert f"python -m training.{command} --" in capsys.readouterr().out
