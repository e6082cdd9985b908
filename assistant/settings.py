"""Settings and their sources: command line, then environment, then TOML file, then default."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from assistant.config_file import closest_name, expand_home, read_config
from assistant.errors import ConfigError, first_line
from assistant.generation_rules import ReasoningMode, wrong_value
from assistant.parsing import ParseError, decode_text, read_bounded
from assistant.setting_values import (
    EXPECTED,
    BaseUrl,
    Device,
    FilePath,
    Float,
    FolderPath,
    HotWords,
    Language,
    Line,
    MaxTokens,
    MinP,
    ModelName,
    PresencePenalty,
    RepetitionPenalty,
    Seed,
    Servers,
    StopStrings,
    Temperature,
    Text,
    TopK,
    TopP,
    describe_wrong_server,
)
from assistant.text_cleaning import clean_line

ENVIRONMENT_PREFIX = "PARLEY_"
# What is read from the environment beside the settings: see `parley.cli.options` and `assistant.models.remote.model`.
_OTHER_VARIABLES = frozenset({"PARLEY_CONFIG", "PARLEY_API_KEY"})

# Invalid values that messages do not repeat: an address may hold a password.
_SECRET = frozenset({"base_url", "servers"})

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty")
"""Settings that are None where what the makers of a model have set applies."""


class Settings(BaseSettings):
    """Every setting with its default. `Settings(...)` uses its arguments only; `load` reads all sources."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True, use_attribute_docstrings=True
    )

    model: ModelName = "auto"
    """Model: "auto" (chosen for the machine), "pocket" or "pocket-small" (the bundled ones), a name in the catalog, a
    folder, or an id on the hub or on the server."""

    device: Device = "auto"
    """Device of the model: "auto" (a GPU if there is one), "cpu", "mps", "xpu", "cuda" or "cuda:1"."""

    quantize: Literal["auto", "none", "int8", "nf4", "bf16", "fp16"] = "auto"
    """Format of the weights: "auto" (chosen for device and model), "none" (not quantized), or one of the others."""

    compile: Literal["auto", "on", "off"] = "auto"
    """Decode with compiled code: "on", "off", or "auto" (off until its speed has been measured on a GPU)."""

    detail: Literal["auto", "low", "high"] = "auto"
    """Image resolution for local models: "auto" (what fits into memory), "low" or "high"."""

    system: Text | None = None
    """System instructions of every conversation. `load` reads "@FILE" from that file; "@@" begins a text with "@"."""

    max_tokens: MaxTokens = 512
    """Longest reply, in tokens."""

    temperature: Temperature | None = None
    """Sampling temperature: 0 always takes the likeliest token, 1 samples from the model's distribution. None, here and
    in the options of sampling below, is what the makers of the model have set."""

    top_p: TopP | None = None
    """Sample from the likeliest tokens that together have this probability; 1 keeps all."""

    top_k: TopK | None = None
    """Sample from this many of the likeliest tokens; 0 keeps all."""

    min_p: MinP | None = None
    """Sample from tokens with at least this share of the likeliest token's probability; 0 keeps all."""

    repetition_penalty: RepetitionPenalty | None = None
    """Makes tokens of the conversation less likely; 1 is none."""

    presence_penalty: PresencePenalty | None = None
    """Makes tokens that the reply holds already less likely; 0 is none."""

    reasoning: ReasoningMode = "show"
    """What a model thinks before its reply: "show" it, "hide" it, or "off" to ask the model for none."""

    stop: StopStrings = ()
    """Texts that end a reply where one of them begins."""

    seed: Seed | None = None
    """Seed that makes sampling repeatable; no effect at temperature 0."""

    allow_urls: bool = False
    """Fetch images from http(s) URLs. Private addresses are refused in any case."""

    max_image_megapixels: Annotated[Float, Field(gt=0, le=100)] = 50.0
    """Largest image that is decoded, in millions of pixels, judged by its header."""

    data_dir: FolderPath = Field(default_factory=lambda: user_data_path("parley", appauthor=False))
    """Folder for conversations and their attachments."""

    cache_dir: FolderPath = Field(default_factory=lambda: user_cache_path("parley", appauthor=False))
    """Folder for downloaded and assembled models; may be deleted at any time."""

    backend: Literal["auto", "local", "remote"] = "auto"
    """Backend: "local" (this process), "remote" (a server), or "auto" (remote if a server is named)."""

    base_url: BaseUrl | None = None
    """Address of a server with OpenAI's chat completions, like "http://localhost:8000/v1"."""

    openai_env: bool = False
    """Use the server and the key that OPENAI_BASE_URL and OPENAI_API_KEY name, or OpenAI's own."""

    servers: Servers = {}
    """Servers by name: `model = "NAME/MODEL"` is a model on one of them, "NAME" the model that it names or has."""

    whisper: ModelName = "auto"
    """Whisper model: "auto" or "base" (the bundled one), a folder, a hub id, or a name like "small"."""

    voice: ModelName = "auto"
    """Voice: "auto", "hibari" (the bundled one), "piper" or a .onnx file of Piper, "espeak" or "espeak:de",
    "coqui:VOICE", "xtts" or "xtts:VOICE"."""

    xtts_licence_accepted: bool = False
    """You have accepted the license of XTTS-v2, which allows no commercial use."""

    language: Language = "auto"
    """Spoken language: "auto" (detected from the first words), a code like "en", or an English name."""

    hotwords: HotWords = ()
    """Names and unusual words that speech recognition is told of, the most important first."""

    microphone: Line = "default"
    """Input device: "default", or a number or part of a name in `parley devices`."""

    speaker: Line = "default"
    """Output device: "default", or a number or part of a name in `parley devices`."""

    headphones: bool = False
    """The microphone cannot pick up the speaker, so that no echo is cancelled."""

    empathy: bool = False
    """Tell the model when the words and the voice of a user sound upset."""

    call_log: FilePath | None = None
    """File for the log of spoken conversations, one JSON object a line; no log without it."""

    keep_audio: FolderPath | None = None
    """Folder for WAV files of what is said in spoken conversations, by the user and by Parley; none are saved without
    it."""

    record: FilePath | None = None
    """Stereo WAV file of a whole spoken conversation, or a folder for it; none is saved without it."""

    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @property
    def origins(self) -> Mapping[str, str]:
        """Origin of each setting that is not the default: "environment" for one. Empty if `load` did not make these."""
        return self._origins

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
    file_values, file = read_config(config_file, Settings.model_fields)
    for found, origin in (
        (file_values, file),
        _from_environment(),
        ({name: value for name, value in (overrides or {}).items() if value is not None}, overrides_origin),
    ):
        values |= found
        origins |= dict.fromkeys(found, origin)
    if isinstance(system := values.get("system"), str):
        folder = Path(file).parent if origins["system"] == file else Path()
        values["system"] = _instructions(system, folder)
    try:
        settings = Settings(**values)
        settings._origins = {name: origin for name, origin in origins.items() if origin != "default"}  # noqa: SLF001
        return LoadedSettings(settings, origins)
    except ValidationError as error:
        raise _wrong_setting(error, origins) from error


def parse_value(name: str, value: object, where: str) -> Any:
    """Return the value of the setting `name` that `value` stands for; `where` begins the message of the error.

    Raises:
        ConfigError: It is none.
    """
    try:
        values: dict[str, Any] = {name: value}
        return getattr(Settings(**values), name)
    except ValidationError as error:
        raise wrong_value(where, value, EXPECTED[name]) from error


def unknown_variables() -> list[str]:
    """Return a sentence about each environment variable that looks like a setting and is none."""
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.model_fields} | _OTHER_VARIABLES
    sentences = []
    for name in sorted(os.environ):
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name.upper() not in known:
            close = closest_name(name, known)
            advice = f": did you mean {close.upper()}?" if close else "."
            sentences.append(f"{clean_line(name, 60)} in the environment is no setting and is ignored{advice}")
    return sentences


def _from_environment() -> tuple[dict[str, Any], str]:
    return EnvSettingsSource(Settings)(), "environment"


def _instructions(text: str, folder: Path) -> str:
    """Return `text`, or the content of the file that "@FILE" names, relative to `folder`. "@@" stands for "@".

    Raises:
        ConfigError: The file cannot be read, or is no text.
    """
    if not text.startswith("@"):
        return text
    if text.startswith("@@"):
        return text[1:]
    name = clean_line(text[1:]) or "a file without a name"
    advice = "check the path, or write @@ for a text that begins with @"
    try:
        return decode_text(read_bounded(folder / expand_home(Path(text[1:])))).strip()
    except OSError as error:
        reason = first_line(error).lower()
        raise ConfigError(f"The instructions cannot be read from {name} ({reason}): {advice}.") from error
    except ParseError as error:
        raise ConfigError(f"The instructions cannot be read because {name} {error}: {advice}.") from error
    except ValueError as error:
        raise ConfigError(f"The instructions cannot be read from {name} ({error}): {advice}.") from error


def _wrong_setting(error: ValidationError, origins: Mapping[str, str]) -> ConfigError:
    first = error.errors(include_url=False)[0]
    key = str(first["loc"][0])
    match origins[key]:
        case "command line":
            where = "--log" if key == "call_log" else f"--{key.replace('_', '-')}"
        case "environment":
            where = f"{ENVIRONMENT_PREFIX}{key.upper()} in the environment"
        case file:
            where = f"{key} in {file}"
    if len(first["loc"]) > 2:
        return ConfigError(describe_wrong_server(first["loc"], origins[key]))
    if key in _SECRET:
        return ConfigError(f"{where} should be {EXPECTED[key]}.")
    value = first["input"]
    if isinstance(value, tuple) and len(value) == 1:
        # An option that may be repeated was given once.
        [value] = value
    return wrong_value(where, value, EXPECTED[key])
