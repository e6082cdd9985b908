"""`parley doctor` tells what there is and what is missing, also where everything is broken."""

import json
import threading
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import VoiceError
from assistant.hardware import Cpu, Gpu
from assistant.models.hub import answers
from parley import doctor
from tests.fakes.chat_server import ChatServer
from tests.fakes.command_line import run
from tests.fakes.http_server import running

SECTIONS = "parley processor memory gpu folders audio programs hub servers packages uses missing".split()

pytestmark = pytest.mark.usefixtures("nobodys_machine", "away_from_the_net")


@pytest.fixture
def away_from_the_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server answers, unless a test lets it."""
    monkeypatch.setattr("parley.doctor.answers", lambda _: False)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with running(ChatServer()) as server:
        yield server


def report(*options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*options, "doctor", "--json").stdout)
    return found


def missing(found: dict[str, Any], words: str) -> dict[str, Any]:
    [each] = [each for each in found["missing"] if words in each["what"]]
    return dict(each)


def test_it_tells_machine_choices_and_what_is_missing() -> None:
    result = run("--model", "scripted", "doctor")
    assert result.exit_code == 0
    for words in ("parley  ", "processor  ", "Parley will use", ": chosen by command line", "Missing"):
        assert words in result.stdout
    found = report("--model", "scripted")
    assert list(found) == SECTIONS
    assert found["packages"]["torch"]["version"]
    assert found["memory"]["free"] > 0


def test_the_bundled_model_is_chosen_by_memory_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.choices.best_catalog_entry", lambda _: None)
    for free, name in ((20, "pocket"), (2, "pocket-small")):
        monkeypatch.setattr("assistant.models.memory.free_memory", lambda found=free: found * 10**9)
        uses = report()["uses"]
        assert (uses["model"], uses["downloaded"]) == (name, False)
        assert f"{free}.0 GB of memory are free" in uses["why"]
    assert missing(report(), "not downloaded yet")["remedy"] == "parley pull pocket-small"


def test_what_a_chat_needs_decides_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "xllamacpp":
            raise metadata.PackageNotFoundError(name)
        return "9.9.9" if name == "torch" else real(name)

    gone = {"xllamacpp", "faster_whisper"}
    monkeypatch.setattr("importlib.metadata.version", version)
    monkeypatch.setattr("parley.doctor.find_spec", lambda name: None if name in gone else find_spec(name))
    result = run("--model", "scripted", "doctor", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert missing(found, "xllamacpp is missing (chat)")["needed"]
    assert missing(found, "xllamacpp")["remedy"].startswith("pip install xllamacpp")
    assert not missing(found, "faster-whisper is missing (voice)")["needed"]
    gone.clear()
    monkeypatch.setattr("importlib.metadata.version", real)
    assert run("--model", "scripted", "doctor").exit_code == 0


def test_invalid_settings_are_named_and_all_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("max_tokens = 'x'")
    result = run("--config", "bad.toml", "doctor", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert list(found) == SECTIONS
    assert found["parley"]["settings_error"].startswith("max_tokens in bad.toml is 'x'")
    assert missing(found, "max_tokens")["needed"]


def test_a_file_in_the_place_of_the_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    found = report("--model", "scripted")
    named = missing(found, "the folder of models cannot be written to")
    assert named["needed"]
    assert named["remedy"].endswith("PARLEY_CACHE_DIR")


def test_a_server_that_does_not_answer_is_missing_and_its_password_is_not_told(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley.doctor.answers", answers)
    monkeypatch.setenv("PARLEY_API_KEY", "secret-key")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = run("--base-url", server.url, "doctor", "--json")
    found = json.loads(result.stdout)
    assert found["servers"] == {
        "configured": [{"address": server.url, "reachable": True, "in_use": True}],
        "has_key": True,
    }
    assert found["hub"]["has_token"] is True
    assert found["uses"]["server"] is True
    assert "secret" not in result.stdout
    assert doctor._without_secrets("http://me:secret@box:80/v1?key=secret") == "http://box:80/v1"
    nobody = run("--base-url", "http://127.0.0.1:1/v1", "doctor")
    assert nobody.exit_code == 1
    assert "! the server at http://127.0.0.1:1/v1 does not answer" in nobody.stdout


def test_each_probe_fails_alone_and_none_is_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> doctor.Facts:
        raise VoiceError("The microphones and speakers of this machine cannot be listed: try again.")

    def crash() -> doctor.Facts:
        raise ZeroDivisionError("division by zero")

    hangs = threading.Event()
    monkeypatch.setattr("parley.doctor._PROBE_SECONDS", 0.3)
    monkeypatch.setattr("parley.doctor._audio", fail)
    monkeypatch.setattr("parley.doctor._gpu", crash)
    monkeypatch.setattr("parley.doctor._processor", lambda: {"waited": hangs.wait(60)})
    try:
        result = run("--model", "scripted", "doctor")
        found = report("--model", "scripted")
    finally:
        hangs.set()
    assert found["audio"]["error"] == "The microphones and speakers of this machine cannot be listed: try again"
    assert found["gpu"]["error"] == "ZeroDivisionError: division by zero"
    assert found["processor"]["error"] == "no answer in 0.3 seconds"
    assert result.exit_code == 0
    assert "gpu           cannot be told: ZeroDivisionError" in result.stdout


def test_a_gpu_that_torch_was_not_built_for_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant.hardware.find_gpus", lambda: [Gpu("NVIDIA", "RTX 4090", 24 << 30, "580.1")])
    monkeypatch.setattr("assistant.hardware.torch_build", lambda: "cpu")
    monkeypatch.setattr("assistant.hardware.gpu_backend", lambda: None)
    monkeypatch.setattr("assistant.hardware.find_cpu", lambda: Cpu("a processor", 4, 8, ("avx2",)))
    result = run("--model", "scripted", "doctor")
    assert result.exit_code == 0
    assert "gpu           NVIDIA RTX 4090, 25.8 GB, driver 580.1 (torch: cpu)" in result.stdout
    assert "processor     a processor, 4 cores, 8 threads; avx2" in result.stdout
    assert "- torch cannot use the GPU: it is built for cpu: pip install --force-reinstall torch" in result.stdout


def test_voice_and_recognizer_are_told() -> None:
    assert "espeak: the bundled voice speaks English, and the language is de" in told_voice("language = 'de'")
    assert "piper: chosen by the settings" in told_voice("voice = 'piper'")
    assert "Whisper small" in told_voice("whisper = 'small'")
    assert "no model can be chosen: There is no voice x" in told_voice("voice = 'x'")


def told_voice(settings: str) -> str:
    Path("voice.toml").write_text(f"model = 'scripted'\n{settings}")
    return run("--config", "voice.toml", "doctor").stdout


def test_a_model_that_has_to_be_downloaded_needs_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    away = report("--model", "qwen3-vl-2b", "--device", "cpu")
    named = missing(away, "qwen3-vl-2b is not downloaded yet")
    assert (named["needed"], named["remedy"]) == (True, "parley models pull qwen3-vl-2b")
    monkeypatch.setattr("parley.doctor.answers", lambda _: True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert not missing(report("--model", "qwen3-vl-2b", "--device", "cpu"), "not downloaded yet")["needed"]
    assert away["uses"]["quantization"] == "int8"
