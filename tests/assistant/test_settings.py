"""Settings: which source wins, and what a person is told about a value that makes no sense."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from assistant.config_file import default_config_file
from assistant.errors import ConfigError
from assistant.settings import Settings, load


@pytest.fixture(autouse=True)
def _nobodys_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PARLEY_{name.upper()}", raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "my config.toml"


def test_defaults_stand_where_nothing_else_is_said(tmp_path: Path) -> None:
    settings, origins = load()
    assert settings.model == "auto"
    assert settings.max_tokens == 512
    assert settings.data_dir == tmp_path / "data" / "parley"
    assert settings.cache_dir == tmp_path / "cache" / "parley"
    assert set(origins.values()) == {"default"}


def test_command_line_beats_environment_beats_file_beats_default(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('model = "file"\nmax_tokens = 1\ntemperature = 0.1\n')
    monkeypatch.setenv("PARLEY_MODEL", "environment")
    monkeypatch.setenv("PARLEY_MAX_TOKENS", "2")
    settings, origins = load({"model": "line", "seed": None}, config)
    assert (settings.model, settings.max_tokens, settings.temperature, settings.seed) == ("line", 2, 0.1, None)
    assert origins["model"] == "command line"
    assert origins["max_tokens"] == "environment"
    assert origins["temperature"] == str(config)
    assert origins["seed"] == "default"


def test_the_usual_file_is_read_without_being_named() -> None:
    default_config_file().parent.mkdir(parents=True)
    default_config_file().write_text('system = "Be brief."')
    assert load().settings.system == "Be brief."


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_SEED", "")
    assert load().settings.seed is None


def test_home_is_expanded_in_folders_and_models(config: Path) -> None:
    config.write_text('model = "~/models/mine"\ncache_dir = "~/cache"')
    settings = load(config_file=config).settings
    assert settings.model == str(Path.home() / "models/mine")
    assert settings.cache_dir == Path.home() / "cache"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_tokens = 'many'", "max_tokens in {} is 'many', but it should be a whole number from 1 up to 2147483647."),
        ("max_tokens = 0", "max_tokens in {} is 0, but it should be a whole number from 1 up to 2147483647."),
        ("max_tokens = true", "max_tokens in {} is True, but it should be a whole number from 1 up to 2147483647."),
        ("temperature = false", "temperature in {} is False, but it should be a number from 0 to 2."),
        ("temperature = nan", "temperature in {} is nan, but it should be a number from 0 to 2."),
        ("top_p = 0", "top_p in {} is 0, but it should be a number above 0 and up to 1."),
        ("top_p = 7", "top_p in {} is 7, but it should be a number above 0 and up to 1."),
        ("top_k = -3", "top_k in {} is -3, but it should be a whole number from 0 up to 1000000."),
        ("top_k = 1_000_000_000_000", "top_k in {} is 1000000000000, but it should be a whole number from 0"),
        ("top_k = 2.5", "top_k in {} is 2.5, but it should be a whole number from 0 up to 1000000."),
        ("min_p = inf", "min_p in {} is inf, but it should be a number from 0 to 1."),
        ("repetition_penalty = 0", "repetition_penalty in {} is 0, but it should be a number from 0.1 to 2."),
        ("presence_penalty = -nan", "presence_penalty in {} is nan, but it should be a number from -2 to 2."),
        ("seed = 9223372036854775808", "seed in {} is 9223372036854775808, but it should be a whole number from 0"),
        ("stop = ''", "stop in {} is '', but it should be up to 16 texts of 1 to 200 characters, as a list or"),
        ("stop = [1]", "stop in {} is [1], but it should be up to 16 texts of 1 to 200 characters, as a list or"),
        (
            "device = 'tpu'",
            """device in {} is 'tpu', but it should be "auto", "cpu", "mps", "xpu", "cuda" or "cuda:1".""",
        ),
        (
            "quantize = 'int3'",
            """quantize in {} is 'int3', but it should be "auto", "none", "int8", "nf4",""",
        ),
        ("model = ' '", """model in {} is ' ', but it should be "auto", "pocket", "pocket-small", a"""),
        ("allow_urls = 7", "allow_urls in {} is 7, but it should be true or false."),
        ("max_image_megapixels = 101", "max_image_megapixels in {} is 101, but it should be a number above 0 and up"),
        ("[system]\nname = 'x'", "system in {} is {{'name': 'x'}}, but it should be text."),
        ("base_url = 'ftp://host'", "base_url in {} should be the address of a server without user name or password"),
        ("backend = 'cloud'", """backend in {} is 'cloud', but it should be "auto", "local" or "remote"."""),
        ("modle = 'x'", "The configuration file {} sets modle, which is no setting: did you mean model?"),
        ("max_tokens =", "The configuration file {} is not valid TOML: Invalid value (at"),
    ],
)
def test_a_wrong_file_is_one_sentence_that_names_file_and_key(config: Path, text: str, said: str) -> None:
    config.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(config_file=config)
    assert said.format(config) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_has_words_for_what_it_should_be(name: str, config: Path) -> None:
    config.write_text(f"[{name}]\nno = 'setting is a table'")
    with pytest.raises(ConfigError, match=f"{name} in .* should be "):
        load(config_file=config)


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ("###", ("###",)),
        ('["a\\n", " b"]', ("a\n", " b")),
        ("[INST]", ("[INST]",)),
        ('["a", "a"]', ("a",)),
        ("[]", ()),
        (" ", (" ",)),
    ],
)
def test_stop_strings_come_as_one_text_or_as_a_list(
    text: str, stop: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_STOP", text)
    assert load().settings.stop == stop
    assert load({"stop": list(stop)}).settings.stop == stop


@pytest.mark.parametrize("stop", [("",), ("x" * 201,), tuple(map(str, range(1000))), ("a\0b",)])
def test_empty_long_and_many_stop_strings_are_refused(stop: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"--stop is .* but it should be up to 16 texts of 1 to 200 characters"):
        load({"stop": stop})


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_TEMPERATURE", "hot")
    with pytest.raises(ConfigError, match=r"PARLEY_TEMPERATURE in the environment is 'hot'"):
        load()


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(ConfigError, match=r"--max-tokens is -1"):
        load({"max_tokens": -1})


def test_a_named_file_has_to_exist(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no configuration file .*my config\.toml"):
        load(config_file=config)


def test_a_folder_or_bytes_in_place_of_the_file_are_named(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(config_file=tmp_path)
    config.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not text in UTF-8"):
        load(config_file=config)


def test_settings_do_not_change_and_have_a_description_each() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.model = "other"  # type: ignore[misc]
    assert all(field.description for field in Settings.model_fields.values())


def test_settings_made_by_hand_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_MAX_TOKENS", "3")
    assert Settings(model="scripted").max_tokens == 512


@pytest.mark.parametrize("name", ["model", "data_dir", "cache_dir"])
def test_a_home_that_is_not_there_is_a_wrong_value(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"--{name.replace('_', '-')} is .*~nosuchuser/x"):
        load({name: "~nosuchuser/x"})


def test_a_configuration_file_in_a_home_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="configuration file ~nosuchuser/x cannot be read"):
        load(config_file=Path("~nosuchuser/x"))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("localhost:11434", "http://localhost:11434/v1"),
        (" https://gpu.example ", "https://gpu.example/v1"),
        ("https://gpu.example/openai/v1/chat/completions", "https://gpu.example/openai/v1"),
        ("http://[::1]:8080", "http://[::1]:8080/v1"),
    ],
)
def test_the_address_of_a_server_is_completed(given: str, kept: str) -> None:
    assert load({"base_url": given}).settings.base_url == kept


@pytest.mark.parametrize(
    "address",
    ["", "http://", "ftp://host/v1", "http://me:secret@host/v1", "http://host/v1?key=secret", "http://a b/", "x:99999"],
)
def test_an_address_that_is_none_or_holds_a_secret_is_not_repeated(address: str) -> None:
    with pytest.raises(ConfigError, match=r"--base-url should be the address of a server .* like http://") as raised:
        load({"base_url": address})
    assert "secret" not in str(raised.value)


def test_an_invalid_log_file_is_reported_by_the_name_of_its_option() -> None:
    with pytest.raises(ConfigError, match="--log is '~nobody-of-this-name/log'"):
        load({"call_log": "~nobody-of-this-name/log"})
