"""Settings and their sources: command line, then environment, then TOML file, then default."""

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

from assistant.atomic_files import make_private_folder, write_atomically
from assistant.errors import ConfigError
from assistant.languages import language_code

ENVIRONMENT_PREFIX = "PARLEY_"

# For error messages: those of pydantic are about types and parsers.
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
# Invalid values that messages do not repeat: an address may hold a password.
_SECRET = frozenset({"base_url"})


def _expand_path(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"there is no home directory for {path}") from error


FolderPath = Annotated[Path, AfterValidator(_expand_path)]
FilePath = FolderPath


def _expand_home(model: str) -> str:
    return str(_expand_path(Path(model))) if model.startswith("~") else model


def _normalize_base_url(address: str) -> str:
    """Return `address` with "http://" and "/v1" where it has no scheme or path."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    is_http = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    has_extras = parts.username is not None or parts.query or parts.fragment
    if not is_http or has_extras or " " in address or not address.isprintable():
        raise ValueError("no address of a server")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/chat/completions') or '/v1'}"


class Settings(BaseSettings):
    """Every setting with its default. `Settings(...)` uses its arguments only; `load` reads all sources."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True, use_attribute_docstrings=True
    )

    model: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_expand_home)] = "auto"
    """Model: "auto" (chosen for the machine), "pocket" (the bundled one), a name in the catalog, a folder, or an id on
    the hub or on the server."""

    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """Device of the model: "auto", "cpu", "mps", "cuda" or "cuda:1"."""

    quantize: Literal["auto", "none", "int8", "nf4", "bf16", "fp16"] = "auto"
    """Format of the weights: "auto" (chosen for device and model), "none" (not quantized), or one of the others."""

    compile: Literal["auto", "on", "off"] = "auto"
    """Decode with compiled code: "on", "off", or "auto" (on for CUDA)."""

    detail: Literal["auto", "low", "high"] = "auto"
    """Image resolution for local models: "auto" (what fits into memory), "low" or "high"."""

    system: str | None = None
    """System instructions of every conversation."""

    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Longest reply, in tokens."""

    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.0
    """Sampling temperature: 0 always takes the likeliest token, 1 samples from the model's distribution."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Seed that makes sampling repeatable; no effect at temperature 0."""

    allow_urls: bool = False
    """Fetch images from http(s) URLs. Private addresses are refused in any case."""

    max_image_megapixels: Annotated[float, Field(gt=0, le=100)] = 50.0
    """Largest image that is decoded, in millions of pixels, judged by its header."""

    data_dir: FolderPath = Field(default_factory=lambda: user_data_path("parley", appauthor=False))
    """Folder for conversations and their attachments."""

    cache_dir: FolderPath = Field(default_factory=lambda: user_cache_path("parley", appauthor=False))
    """Folder for downloaded and assembled models; may be deleted at any time."""

    backend: Literal["auto", "local", "remote"] = "auto"
    """Backend: "local" (this process), "remote" (a server), or "auto" (remote if `base_url` is set)."""

    base_url: (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_normalize_base_url)]
        | None
    ) = None
    """Address of a server with OpenAI's chat completions, like "http://localhost:8000/v1"."""

    whisper: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_expand_home)] = (
        "auto"
    )
    """Whisper model: "auto" or "base" (the bundled one), a folder, a hub id, or a name like "small"."""

    voice: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_expand_home)] = "auto"
    """Voice: "auto", "piper" (the bundled one), a .onnx file of Piper, "espeak" or "espeak:de", "coqui:VOICE", "xtts"
    or "xtts:VOICE"."""

    xtts_licence_accepted: bool = False
    """You have accepted the license of XTTS-v2, which allows no commercial use."""

    language: Annotated[
        str, StringConstraints(strip_whitespace=True, to_lower=True, min_length=1), AfterValidator(language_code)
    ] = "auto"
    """Spoken language: "auto" (detected from the first words), a code like "en", or an English name."""

    microphone: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = "default"
    """Input device: "default", or a number or part of a name in `parley devices`."""

    speaker: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = "default"
    """Output device: "default", or a number or part of a name in `parley devices`."""

    headphones: bool = False
    """The microphone cannot pick up the speaker, so that no echo is cancelled."""

    empathy: bool = False
    """Tell the model when the words and the voice of a user sound upset."""

    call_log: FilePath | None = None
    """File for the log of spoken conversations, one JSON object a line; no log without it."""

    keep_audio: FolderPath | None = None
    """Folder for WAV files of the user's speech in spoken conversations; none are saved without it."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - all five are pydantic's to pass
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use arguments only: `load` reads the other sources itself, to know the origin of each value."""
        return (init_settings,)


class LoadedSettings(NamedTuple):
    """Settings, and the origin of each value for messages."""

    settings: Settings
    origins: Mapping[str, str]


def default_config_file() -> Path:
    """Return the path of the TOML file that is read by default."""
    return user_config_path("parley", appauthor=False) / "config.toml"


def load(
    overrides: Mapping[str, Any] | None = None,
    config_file: Path | None = None,
    *,
    overrides_origin: str = "command line",
) -> LoadedSettings:
    """Load the settings from all sources.

    Args:
        overrides: Values of the command line; None means not given.
        config_file: TOML file, which must exist; without it, the default file is read if it exists.
        overrides_origin: Origin of the overrides, for messages.

    Raises:
        ConfigError: A value is invalid, a key is unknown, or the file is missing or no TOML. The message names the
            file or variable and the key.
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
        raise ConfigError(_message(error, origins)) from error


def save_setting(key: str, value: str, config_file: Path | None = None) -> Path:
    """Set `key` in the TOML file, creating it if needed, and return its path. All other lines stay unchanged.

    Raises:
        ConfigError: The file cannot be read, parsed or written.
    """
    path = _config_path(config_file).resolve()
    before = _from_file(path)[0] if path.exists() else {}
    lines = path.read_bytes().decode().splitlines(keepends=True) if path.exists() else []
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
    unusual = ConfigError(f"The configuration file {path} is written in an unusual way: set {line.strip()} by hand.")
    # Below the header of a table, the line would belong to that table.
    top = next((index for index, text in enumerate(lines) if text.lstrip().startswith("[")), len(lines))
    position = next((index for index in range(top) if re.match(rf"\s*{key}\s*=", lines[index])), None)
    lines[slice(0, 0) if position is None else slice(position, position + 1)] = [line]
    text = "".join(lines)
    try:
        if tomllib.loads(text) != before | {key: value}:
            raise unusual
        make_private_folder(path.parent)
        write_atomically(path, text.encode())
    except tomllib.TOMLDecodeError as error:
        raise unusual from error
    except OSError as error:
        raise ConfigError(f"The configuration file {path} cannot be written: {error.strerror}.") from error
    return path


def _config_path(config_file: Path | None) -> Path:
    path = config_file or default_config_file()
    try:
        return _expand_path(path)
    except ValueError as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error}.") from error


def _from_file(config_file: Path | None) -> tuple[dict[str, Any], str]:
    path = _config_path(config_file)
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


def _message(error: ValidationError, origins: Mapping[str, str]) -> str:
    first = error.errors(include_url=False)[0]
    key = str(first["loc"][0])
    match origins[key]:
        case "command line":
            where = "--log" if key == "call_log" else f"--{key.replace('_', '-')}"
        case "environment":
            where = f"{ENVIRONMENT_PREFIX}{key.upper()} in the environment"
        case file:
            where = f"{key} in {file}"
    if key in _SECRET:
        return f"{where} should be {_EXPECTED[key]}."
    return f"{where} is {first['input']!r}, but it should be {_EXPECTED[key]}."
