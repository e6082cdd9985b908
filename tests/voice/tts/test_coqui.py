"""Coqui: a missing package, and names and folders that are not a voice."""

import sys
from pathlib import Path

import pytest

from assistant.errors import ConfigError, MissingExtraError, VoiceError
from tests.fakes.coqui_voices import NEEDS_COQUI
from voice.tts import coqui, xtts


def test_a_missing_package_is_an_error_that_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "TTS.api", None)
    with pytest.raises(MissingExtraError, match=r"parley-assistant\[coqui\]"):
        coqui.Coqui.load(str(tmp_path))


class TestWithThePackage:
    pytestmark = NEEDS_COQUI

    def test_a_folder_that_is_no_voice_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(VoiceError, match=r"no config\.json"):
            coqui.Coqui.load(str(tmp_path))
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(VoiceError, match="no checkpoint"):
            coqui.Coqui.load(str(tmp_path))
        (tmp_path / "model.pth").write_bytes(b"no weights")
        with pytest.raises(VoiceError, match="cannot be loaded"):
            coqui.Coqui.load(str(tmp_path))

    @pytest.mark.parametrize("name", ["nobody", "tts_models/en/nobody/vits", xtts.NAME])
    def test_a_name_that_is_no_voice_is_an_error(self, name: str) -> None:
        with pytest.raises(ConfigError):
            coqui.Coqui.load(name)

    def test_a_mistyped_name_is_an_error_that_names_a_similar_one(self) -> None:
        with pytest.raises(ConfigError, match="like tts_models/en/ljspeech/vits"):
            coqui.download("tts_models/en/ljspeech/vitss")

    @pytest.mark.parametrize("name", [coqui.FAST_VOICE, xtts.NAME])
    def test_a_download_without_a_network_is_an_error(
        self, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("TTS_HOME", str(tmp_path))
        # Nothing listens on the discard port.
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("COQUI_TOS_AGREED", "1")
        with pytest.raises(VoiceError, match="connect to the network for its first use"):
            coqui.download(name)
