"""Voice names: what each selects, which voice "auto" is, and licenses that have to be accepted first."""

from pathlib import Path

import pytest

from assistant.errors import ConfigError, VoiceError
from assistant.settings import Settings, load
from voice.tts import coqui, espeak, hibari, piper, xtts
from voice.tts.base import TextToSpeech
from voice.tts.engine import VoiceEngine
from voice.tts.registry import load_voice, parse_voice_name


def settings(**overrides: str) -> Settings:
    return load(overrides).settings


@pytest.mark.parametrize(
    ("name", "engine", "argument"),
    [
        ("hibari", hibari.ENGINE, ""),
        ("piper", piper.ENGINE, ""),
        ("/voices/amy.onnx", piper.ENGINE, "/voices/amy.onnx"),
        ("espeak", espeak.ENGINE, ""),
        ("espeak:de", espeak.ENGINE, "de"),
        ("coqui:tts_models/en/vctk/vits", coqui.ENGINE, "tts_models/en/vctk/vits"),
        ("xtts", xtts.ENGINE, ""),
        ("xtts:Ada", xtts.ENGINE, "Ada"),
        ("xtts:C:/me.wav", xtts.ENGINE, "C:/me.wav"),
    ],
)
def test_a_name_selects_an_engine_and_its_argument(name: str, engine: VoiceEngine, argument: str) -> None:
    assert parse_voice_name(name) == (engine, argument)


@pytest.mark.parametrize("name", ["robot", "coqui", "coqui:", "piper:amy", "hibari:emma", "auto:de", "Piper"])
def test_an_unknown_name_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_voice(settings(voice=name))
    assert str(error.value) == (
        f"There is no voice {name}: choose auto, hibari (the bundled one), piper, the .onnx file of a Piper voice, "
        "espeak, espeak:de, coqui:FOLDER_OR_NAME, xtts, xtts:SPEAKER or xtts:RECORDING.wav."
    )


def test_auto_is_coqui_on_a_gpu_and_another_voice_if_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coqui, "is_installed", lambda: True)
    monkeypatch.setattr(coqui, "is_on_gpu", lambda _: True)
    monkeypatch.setattr(hibari, "is_installed", lambda: False)
    monkeypatch.setattr(espeak.Espeak, "load", lambda voice: f"espeak {voice}")
    requested: list[str] = []

    def fail(name: str, **_: str) -> TextToSpeech:
        requested.append(name)
        raise VoiceError("It cannot be downloaded.")

    monkeypatch.setattr(coqui.Coqui, "load", fail)
    notices: list[str] = []
    loaded: object = load_voice(settings(voice="auto"), on_notice=notices.append)
    assert (loaded, requested) == ("espeak en-us", [coqui.FAST_VOICE])
    assert notices == ["It cannot be downloaded. Until then another voice speaks."]
    # Coqui's fast voice speaks no German.
    german: object = load_voice(settings(voice="auto", language="de"))
    assert (german, len(requested)) == ("espeak de", 1)


def test_xtts_needs_its_license_accepted_by_an_answer_or_a_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("COQUI_TOS_AGREED", raising=False)
    monkeypatch.setattr(xtts.Xtts, "load", lambda **options: options["voice"])
    monkeypatch.setattr(coqui, "import_library", lambda: None)
    with pytest.raises(ConfigError, match=r"non-commercial use only: https://.* say yes"):
        load_voice(settings(voice="xtts:Ada"))
    xtts.LICENSE.accept(tmp_path / "data")
    by_answer: object = load_voice(settings(voice="xtts:Ada"))
    assert by_answer == "Ada"
    (tmp_path / "data" / "xtts-licence-accepted").unlink()
    monkeypatch.setenv("PARLEY_XTTS_LICENCE_ACCEPTED", "true")
    by_setting: object = load_voice(settings(voice="xtts:Ada"))
    assert by_setting == "Ada"


def test_a_missing_recording_is_reported_before_a_package_or_a_license() -> None:
    with pytest.raises(ConfigError, match=r"There is no recording gone\.wav"):
        load_voice(settings(voice="xtts:gone.wav"))
