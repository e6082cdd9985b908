"""Piper: a missing package, and files that are not a voice."""

import json
import sys
from pathlib import Path

import pytest

from assistant.errors import ConfigError, MissingExtraError, VoiceError
from voice.tts import piper

needs_piper = pytest.mark.skipif(not piper.is_installed(), reason="needs piper-tts")


def test_a_missing_package_is_an_error_that_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(MissingExtraError, match=r"parley-assistant\[piper\]"):
        piper.Piper.load(tmp_path / "x.onnx")


@needs_piper
def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file .*voice\.onnx"):
        piper.Piper.load(tmp_path / "voice.onnx")


@needs_piper
@pytest.mark.parametrize("config", ["no json", "{}", "[]", '{"audio": 3}'])
def test_files_that_are_no_voice_are_an_error(config: str, tmp_path: Path) -> None:
    model = tmp_path / "voice.onnx"
    model.write_bytes(b"no model")
    Path(f"{model}.json").write_text(config)
    with pytest.raises(VoiceError, match="is not a Piper voice"):
        piper.Piper.load(model)


@needs_piper
def test_a_model_of_another_kind_is_an_error(tmp_path: Path) -> None:
    """Silero's voice detector is an audio model, but not a voice."""
    import faster_whisper

    model = tmp_path / "voice.onnx"
    model.write_bytes(next((Path(faster_whisper.__file__).parent / "assets").glob("*.onnx")).read_bytes())
    config = {
        "audio": {"sample_rate": 22_050},
        "num_symbols": 1,
        "num_speakers": 1,
        "espeak": {"voice": "en-us"},
        "phoneme_type": "text",
        "phoneme_id_map": {each: [number] for number, each in enumerate("_^$ abcdefghijklmnopqrstuvwxyz.")},
    }
    Path(f"{model}.json").write_text(json.dumps(config))
    voice = piper.Piper.load(model)
    with pytest.raises(VoiceError, match="The Piper voice failed on 'hello'"):
        list(voice.synthesize("hello"))
