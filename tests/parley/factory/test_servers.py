"""Servers that the settings choose: by name, by address, or as OpenAI's own clients are told."""

from pathlib import Path

import pytest

from assistant.errors import ConfigError
from assistant.settings import Settings, load
from parley.factory.models import is_remote, selects_bundled_model
from parley.factory.servers import ChosenServer, batch_model, chosen_server

pytestmark = pytest.mark.usefixtures("unset")

FILE = """
[servers.gpu-box]
base_url = "gpu-box:8000"
key_env = "GPU_BOX_KEY"

[servers.cloud]
base_url = "https://api.example/v1/"
model = "qwen/qwen3-vl"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "servers.toml"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpu-box/Qwen/Qwen3-VL", ChosenServer("http://gpu-box:8000/v1", "Qwen/Qwen3-VL", "GPU_BOX_KEY", "gpu-box")),
        ("gpu-box", ChosenServer("http://gpu-box:8000/v1", None, "GPU_BOX_KEY", "gpu-box")),
        ("cloud", ChosenServer("https://api.example/v1", "qwen/qwen3-vl", "", "cloud")),
        ("cloud/other", ChosenServer("https://api.example/v1", "other", "", "cloud")),
        ("Qwen/Qwen3-VL", None),
        ("auto", None),
    ],
)
def test_a_model_on_a_named_server_is_chosen_by_name(file: Path, model: str, expected: ChosenServer | None) -> None:
    settings = load({"model": model}, file).settings
    assert chosen_server(settings) == expected
    assert is_remote(settings) == (expected is not None)
    assert not (is_remote(settings) and selects_bundled_model(settings))
    assert chosen_server(load({"model": model, "backend": "local"}, file).settings) is None


def test_a_named_server_comes_before_an_address(file: Path) -> None:
    overrides = {"base_url": "http://localhost:1", "model": "gpu-box/m"}
    chosen = chosen_server(load(overrides, file).settings)
    assert chosen is not None
    assert chosen.base_url == "http://gpu-box:8000/v1"
    chosen = chosen_server(load({**overrides, "model": "m"}, file).settings)
    assert chosen == ChosenServer("http://localhost:1/v1", "m", "PARLEY_API_KEY")


def test_the_key_of_a_named_server_is_its_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_API_KEY", "of-another")
    monkeypatch.setenv("GPU_BOX_KEY", "of-the-box")
    for model, key in (("gpu-box", "of-the-box"), ("cloud", None)):
        chosen = chosen_server(load({"model": model}, file).settings)
        assert chosen is not None
        assert chosen.key() == key
    monkeypatch.delenv("GPU_BOX_KEY")
    chosen = chosen_server(load({"model": "gpu-box"}, file).settings)
    assert chosen is not None
    with pytest.raises(ConfigError, match="server gpu-box has its key in GPU_BOX_KEY, which is not set"):
        chosen.key()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[servers.x]\nbase_url = 'ftp://h'", "servers.x.base_url in {} should be the address of a server"),
        ("[servers.x]\nmodel = 'm'", "servers.x.base_url in {} should be the address of a server"),
        (
            "[servers.x]\nbase_url = 'h'\napi_key = 'sk-1'",
            "servers.x.api_key in {} is no setting of a server: there",
        ),
        (
            "[servers.x]\nbase_url = 'h'\nkey_env = 'sk-1 2'",
            "servers.x.key_env in {} should be the name of the env",
        ),
        ("[servers.x]\nbase_url = 'h'\nmodel = ''", "servers.x.model in {} should be the name of a model"),
        ("[servers.pocket]\nbase_url = 'h'", "servers in {} should be tables like [servers.NAME]"),
        ('[servers."a/b"]\nbase_url = "h"', "servers in {} should be tables like [servers.NAME]"),
        ("servers = ['http://h']", "servers in {} should be tables like [servers.NAME]"),
    ],
)
def test_a_wrong_server_is_one_sentence_without_its_secrets(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(config_file=path)
    assert said.format(path) in str(raised.value)
    assert "sk-1" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_environment_has_no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_SERVERS", '{"x": {"base_url": "h"}}')
    with pytest.raises(ConfigError, match="PARLEY_SERVERS in the environment should be tables"):
        load()


def test_the_variables_of_openai_count_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere:9/v1/")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    assert chosen_server(load().settings) is None
    chosen = chosen_server(load({"openai_env": True, "model": "gpt"}).settings)
    assert chosen == ChosenServer("http://elsewhere:9/v1", "gpt", "OPENAI_API_KEY")
    assert chosen.key() == "sk-openai"
    monkeypatch.delenv("OPENAI_BASE_URL")
    chosen = chosen_server(load({"openai_env": True}).settings)
    assert chosen == ChosenServer("https://api.openai.com/v1", None, "OPENAI_API_KEY")


def test_the_key_of_openai_is_never_sent_to_an_address_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    path = tmp_path / "both.toml"
    path.write_text('base_url = "http://mine:1"\nopenai_env = true\n')

    def chosen(**overrides: object) -> ChosenServer | None:
        return chosen_server(load(overrides, path).settings)

    openai = ChosenServer("https://api.openai.com/v1", None, "OPENAI_API_KEY")
    assert chosen() == openai
    assert chosen(openai_env=True) == openai
    assert chosen(base_url="http://other:2") == ChosenServer("http://other:2/v1", None, "PARLEY_API_KEY")
    assert chosen(openai_env=False) == ChosenServer("http://mine:1/v1", None, "PARLEY_API_KEY")
    with pytest.raises(ConfigError, match="--openai-env and --base-url name two servers: give one of them"):
        chosen(base_url="http://other:2", openai_env=True)


def test_a_wrong_address_of_openai_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:secret@host/v1")
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL in the environment should be the address") as raised:
        chosen_server(Settings(openai_env=True))
    assert "secret" not in str(raised.value)


def test_a_batch_api_gets_the_name_that_the_server_knows(file: Path) -> None:
    for model, name in (("gpu-box/Qwen/Qwen3-VL", "Qwen/Qwen3-VL"), ("cloud", "qwen/qwen3-vl"), ("a/b", "a/b")):
        assert batch_model(load({"model": model}, file).settings) == name
    with pytest.raises(ConfigError, match="needs the name of the model"):
        batch_model(load({"model": "gpu-box"}, file).settings)


def test_a_model_of_this_machine_is_not_asked_of_a_server() -> None:
    for model in ("pocket", "file.gguf", "hub:owner/name:Q4_K_M"):
        chosen = chosen_server(load({"base_url": "http://localhost:8000/v1", "model": model}).settings)
        assert chosen is not None
        assert chosen.model is None
