"""What can be set, and where each value comes from: command line, else environment, else TOML file, else default."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from platformdirs import user_cache_path, user_config_path, user_data_path
from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from assistant.atomic_files import write_atomically
from assistant.errors import ConfigError
from assistant.languages import language_code

ENVIRONMENT_PREFIX = "PARLEY_"

# For people who mistyped a value: pydantic's own words speak of types and parsers.
_EXPECTED = {
    "model": '"auto", "pocket", a name that `parley models` lists, a folder or a hub id',
    "device": '"auto", "cpu", "mps", "cuda" or "cuda:1"',
    "quantize": '"auto", "none", "int8", "nf4", "bf16" or "fp16"',
    "compile": '"auto", "on" or "off"',
    "detail": '"auto", "low" or "high"',
    "system": "text",
    "max_tokens": "a whole number from 1 up",
    "temperature": "a number from 0 to 2",
    "seed": "a whole number from 0 up",
    "allow_urls": "true or false",
    "max_image_megapixels": "a number above 0 and up to 100",
    "data_dir": "a folder",
    "cache_dir": "a folder",
    "backend": '"auto", "local" or "remote"',
    "base_url": "the address of a server without user name or password, like http://localhost:8000/v1",
    "whisper": '"auto", "base", a folder, a hub id or another name of faster-whisper\'s',
    "voice": '"auto", "piper", "espeak" or "espeak:de", "coqui:FOLDER_OR_NAME", "xtts" or '
    '"xtts:SPEAKER_OR_WAV", or the .onnx file of a Piper voice',
    "xtts_licence_accepted": "true or false",
    "language": '"auto", a code like "en" or a name like "english"',
    "microphone": 'text: "default", a number, or a part of one name that `parley devices` lists',
    "speaker": 'text: "default", a number, or a part of one name that `parley devices` lists',
    "headphones": "true or false",
    "empathy": "true or false",
    "call_log": "a file",
    "keep_audio": "a folder",
}
# What is not repeated in messages when it makes no sense: an address may hold a password.
_UNSHOWN = frozenset({"base_url"})


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"there is no home directory for {path}") from error


FolderPath = Annotated[Path, AfterValidator(_at_home)]
FilePath = FolderPath


def _expand_home(model: str) -> str:
    return str(_at_home(Path(model))) if model.startswith("~") else model


def _as_base_url(address: str) -> str:
    """`address` with the scheme and the path that nearly all servers have, where it names none."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    more = parts.username is not None or parts.query or parts.fragment
    if not named or more or " " in address or not address.isprintable():
        raise ValueError("no address of a server")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/chat/completions') or '/v1'}"


class Settings(BaseSettings):
    """Every setting with its default. `Settings(...)` takes what it is given; `load` also asks file and environment."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True, use_attribute_docstrings=True
    )

    model: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_expand_home)] = "auto"
    """Which model answers: "auto" (what suits the machine), "pocket" (the bundled one), a name in the catalogue, a
    folder, or an id on the hub or on the server."""

    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """Where it runs: "auto", "cpu", "mps", "cuda" or "cuda:1"."""

    quantize: Literal["auto", "none", "int8", "nf4", "bf16", "fp16"] = "auto"
    """How its weights are held: "auto" (what suits device and model), "none" (not quantized), or one of the others."""

    compile: Literal["auto", "on", "off"] = "auto"
    """Whether replies are decoded by compiled code: "on", "off", or "auto" (on for CUDA)."""

    detail: Literal["auto", "low", "high"] = "auto"
    """How closely a model on this machine looks at pictures: "auto" (what there is memory for), "low" or "high"."""

    system: str | None = None
    """Instructions that stand before every conversation."""

    max_tokens: Annotated[int, Field(ge=1)] = 512
    """The longest reply, in tokens."""

    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.0
    """How freely words are chosen: 0 always takes the likeliest, 1 samples as the model was trained."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Makes sampling repeatable; no effect at temperature 0."""

    allow_urls: bool = False
    """Whether pictures may be fetched from http(s) addresses. Private addresses are refused either way."""

    max_image_megapixels: Annotated[float, Field(gt=0, le=100)] = 50.0
    """The largest picture that is opened, in millions of pixels, judged by its header before it is decoded."""

    data_dir: FolderPath = Field(default_factory=lambda: user_data_path("parley", appauthor=False))
    """Where conversations and their pictures are kept."""

    cache_dir: FolderPath = Field(default_factory=lambda: user_cache_path("parley", appauthor=False))
    """Where fetched and assembled models are kept; may be deleted at any time."""

    backend: Literal["auto", "local", "remote"] = "auto"
    """Who runs the model: "local" (this program), "remote" (a server), or "auto" (a server if `base_url` names one)."""

    base_url: (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_as_base_url)] | None
    ) = None
    """Where a server with OpenAI's chat completions is, like "http://localhost:8000/v1"."""

    whisper: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_expand_home)] = (
        "auto"
    )
    """Which Whisper listens: "auto" or "base" (the bundled one), a folder, a hub id, or a name like "small"."""

    voice: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_expand_home)] = "auto"
    """Who speaks: "auto", "piper" (the bundled voice) or its .onnx file, "espeak" or "espeak:de", "coqui:VOICE", or
    "xtts" and "xtts:VOICE"."""

    xtts_licence_accepted: bool = False
    """Whether you have accepted the licence of XTTS-v2, which allows no commercial use."""

    language: Annotated[
        str, StringConstraints(strip_whitespace=True, to_lower=True, min_length=1), AfterValidator(language_code)
    ] = "auto"
    """Which language is spoken: "auto" detects it from the first words, else a code like "en" or its English name."""

    microphone: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = "default"
    """Where to listen: "default", a number or a part of a name of `parley devices`."""

    speaker: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = "default"
    """Where to play: "default", a number or a part of a name of `parley devices`."""

    headphones: bool = False
    """Whether the microphone cannot hear the speaker, so that there is no echo to cancel."""

    empathy: bool = False
    """Whether the model is told when somebody sounds upset in a spoken conversation, by their words and their voice."""

    call_log: FilePath | None = None
    """The file to which spoken conversations are logged, a JSON object a line; none unless it is named."""

    keep_audio: FolderPath | None = None
    """The folder in which what is heard in spoken conversations is kept as WAV files; none unless it is named."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - all five are pydantic's to pass
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: `load` asks the other sources itself, so that it knows where each value came from."""
        return (init_settings,)


class LoadedSettings(NamedTuple):
    """Settings in force; `origins` says for each name where its value came from, in words."""

    settings: Settings
    origins: Mapping[str, str]


def default_config_file() -> Path:
    """Where the TOML file is looked for unless told otherwise."""
    return user_config_path("parley", appauthor=False) / "config.toml"


def load(
    overrides: Mapping[str, Any] | None = None,
    config_file: Path | None = None,
    *,
    overrides_origin: str = "command line",
) -> LoadedSettings:
    """Settings out of `overrides` (None means not given), environment, TOML file and defaults.

    `overrides_origin` names where the overrides come from: the command line unless told otherwise.

    Raises `ConfigError`, naming the file or variable and the key, for a value that makes no sense, for an unknown
    key, for a file that is no TOML, and for a `config_file` that does not exist (without one, the default may be
    missing).
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    for found, origin in (
        _from_file(config_file),
        _from_environment(),
        ({name: value for name, value in (overrides or {}).items() if value is not None}, overrides_origin),
    ):
        values |= found
        origins |= dict.fromkeys(found, origin)
    try:
        return LoadedSettings(Settings(**values), origins)
    except ValidationError as error:
        raise ConfigError(_sentence(error, origins)) from error


def save_setting(key: str, value: str, config_file: Path | None = None) -> Path:
    """Set `key` in the TOML file, made if it is not there, and return its path. All its other lines stay as they are.

    Raises `ConfigError` if the file cannot be read, understood or written.
    """
    path = _file(config_file).resolve()
    before = _from_file(path)[0] if path.exists() else {}
    lines = path.read_bytes().decode().splitlines(keepends=True) if path.exists() else []
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
    unusual = ConfigError(f"The configuration file {path} is written in an unusual way: set {line.strip()} by hand.")
    # Below the first table a line would belong to that.
    top = next((index for index, text in enumerate(lines) if text.lstrip().startswith("[")), len(lines))
    place = next((index for index in range(top) if re.match(rf"\s*{key}\s*=", lines[index])), None)
    lines[slice(0, 0) if place is None else slice(place, place + 1)] = [line]
    text = "".join(lines)
    try:
        if tomllib.loads(text) != before | {key: value}:
            raise unusual
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode(), temporary=path.with_name(f".{path.name}.unfinished"))
    except tomllib.TOMLDecodeError as error:
        raise unusual from error
    except OSError as error:
        raise ConfigError(f"The configuration file {path} cannot be written: {error.strerror}.") from error
    return path


def _file(config_file: Path | None) -> Path:
    path = config_file or default_config_file()
    try:
        return _at_home(path)
    except ValueError as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error}.") from error


def _from_file(config_file: Path | None) -> tuple[dict[str, Any], str]:
    path = _file(config_file)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if config_file is None:
            return {}, "default"
        raise ConfigError(f"There is no configuration file {path}: check the path.") from None
    except OSError as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The configuration file {path} is not text in UTF-8: save it as such.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The configuration file {path} is not valid TOML: {error}.") from error
    if unknown := next((key for key in values if key not in Settings.model_fields), None):
        names = ", ".join(Settings.model_fields)
        raise ConfigError(f"The configuration file {path} sets {unknown}, which is no setting; there are {names}.")
    return values, str(path)


def _from_environment() -> tuple[dict[str, Any], str]:
    return EnvSettingsSource(Settings)(), "environment"


def _sentence(error: ValidationError, origins: Mapping[str, str]) -> str:
    first = error.errors(include_url=False)[0]
    key = str(first["loc"][0])
    match origins[key]:
        case "command line":
            where = f"--{key.replace('_', '-')}"
        case "environment":
            where = f"{ENVIRONMENT_PREFIX}{key.upper()} in the environment"
        case file:
            where = f"{key} in {file}"
    if key in _UNSHOWN:
        return f"{where} should be {_EXPECTED[key]}."
    return f"{where} is {first['input']!r}, but it should be {_EXPECTED[key]}."
