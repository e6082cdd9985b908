"""Types of the values of settings: what each accepts, and words for it in error messages."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints
from pydantic_settings import NoDecode

from assistant.config_file import expand_home
from assistant.generation_rules import RANGES, STOP_STRINGS, stop_strings
from assistant.languages import language_code
from assistant.parsing import ParseError, parse_json
from assistant.text_cleaning import clean_line, valid_unicode

EXPECTED = {
    "model": '"auto", "pocket", "pocket-small", a name that `parley models` lists, a folder or a hub id',
    "device": '"auto", "cpu", "mps", "xpu", "cuda" or "cuda:1"',
    "quantize": '"auto", "none", "int8", "nf4", "bf16" or "fp16"',
    "compile": '"auto", "on" or "off"',
    "detail": '"auto", "low" or "high"',
    "system": "text",
    **{name: str(numbers) for name, numbers in RANGES.items()},
    "reasoning": '"show", "hide" or "off"',
    "stop": STOP_STRINGS,
    "allow_urls": "true or false",
    "max_image_megapixels": "a number above 0 and up to 100",
    "data_dir": "a folder",
    "cache_dir": "a folder",
    "backend": '"auto", "local" or "remote"',
    "base_url": "the address of a server without user name or password, like http://localhost:8000/v1",
    "openai_env": "true or false",
    "servers": "tables like [servers.NAME] in the settings file, with base_url and, where needed, key_env and model. A "
    "NAME has up to 40 letters, digits, dots, hyphens and underscores, and is none of a model that Parley brings along",
    "whisper": '"auto", "base", a folder, a hub id or another name of faster-whisper\'s',
    "voice": '"auto", "hibari", "piper", "espeak" or "espeak:de", "coqui:FOLDER_OR_NAME", "xtts" or '
    '"xtts:SPEAKER_OR_WAV", or the .onnx file of a Piper voice',
    "xtts_licence_accepted": "true or false",
    "language": '"auto", a code like "en" or a name like "english"',
    "hotwords": "up to 100 names or words of up to 60 characters, as a list or with commas between them",
    "microphone": 'text: "default", a number, or a part of one name that `parley devices` lists',
    "speaker": 'text: "default", a number, or a part of one name that `parley devices` lists',
    "headphones": "true or false",
    "empathy": "true or false",
    "call_log": "a file",
    "keep_audio": "a folder",
    "record": "a file or a folder",
}
"""Values of each setting in words: those of pydantic are about types and parsers."""

_SERVER_EXPECTED = {
    "base_url": EXPECTED["base_url"],
    "key_env": "the name of the environment variable that holds the key",
    "model": "the name of a model on that server",
}
_SERVER_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,39}", re.ASCII)
_NAMES_OF_MODELS = frozenset({"auto", "pocket", "pocket-small", "scripted"})
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"

# More words do not fit into what Whisper reads before it listens.
_MAX_HOT_WORDS, _MAX_HOT_WORD_CHARACTERS = 100, 60


def _valid_text(value: object) -> object:
    """Return a text without lone surrogates, which bytes other than UTF-8 in the environment become."""
    if isinstance(value, str) and "\0" in value:
        raise ValueError("a NUL character")
    return valid_unicode(value) if isinstance(value, str) else value


def _no_bool(value: object) -> object:
    """Refuse true and false, which Python counts as the numbers 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("true or false in place of a number")  # noqa: TRY004 - the error that pydantic expects
    return value


def _in_range(name: str) -> AfterValidator:
    """Return the validator of a number for the option `name`."""

    def check(value: float) -> float:
        if value not in RANGES[name]:
            raise ValueError("out of range")
        return value

    return AfterValidator(check)


def _expand_model(model: str) -> str:
    return str(expand_home(Path(model))) if model.startswith("~") else model


def _base_url(address: str) -> str:
    """Return `address` with "http://" and "/v1" where it has no scheme or path."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    is_http = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    has_extras = parts.username is not None or parts.query or parts.fragment
    if not is_http or has_extras or " " in address or not address.isprintable():
        raise ValueError("no address of a server")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/chat/completions') or '/v1'}"


def _hot_words(value: object) -> tuple[str, ...]:
    """Return the words of a list, or of a text with commas between them: the command line and the environment."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("no list of words")
    words = tuple(dict.fromkeys(word for part in parts if (word := clean_line(part, _MAX_HOT_WORD_CHARACTERS + 1))))
    if len(words) > _MAX_HOT_WORDS or any(len(word) > _MAX_HOT_WORD_CHARACTERS for word in words):
        raise ValueError("too many words, or too long ones")
    return words


def _servers(value: object) -> object:
    """Check the names in a table of tables."""
    if not isinstance(value, Mapping) or not all(isinstance(each, Mapping | Server) for each in value.values()):
        raise ValueError("no tables")
    if any(not _SERVER_NAME.fullmatch(name) or name in _NAMES_OF_MODELS for name in value):
        raise ValueError("no name of a server")
    return value


def describe_wrong_server(place: tuple[Any, ...], origin: str) -> str:
    """Return what is wrong with the value at ("servers", NAME, KEY), which may be a secret, as a sentence."""
    name, key = clean_line(str(place[1]), 40), clean_line(str(place[2]), 40)
    where = f"servers.{name}.{key} in {origin}"
    if key not in _SERVER_EXPECTED:
        return f"{where} is no setting of a server: there are {', '.join(_SERVER_EXPECTED)}."
    return f"{where} should be {_SERVER_EXPECTED[key]}."


def _stop_strings(value: object) -> tuple[str, ...]:
    """Return stop strings; a text may also be a list of them in JSON: the environment and `/set`."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            listed = parse_json(value)
        except ParseError:
            listed = value
        value = listed if isinstance(listed, list) else value
    return stop_strings(value)


FolderPath = Annotated[Path, AfterValidator(expand_home)]
FilePath = FolderPath
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), BeforeValidator(_valid_text)]
Text = Annotated[str, BeforeValidator(_valid_text)]
ModelName = Annotated[Line, AfterValidator(_expand_model)]
Device = Annotated[str, StringConstraints(pattern=r"^(auto|cpu|mps|(cuda|xpu)(:\d+)?)$")]
BaseUrl = Annotated[Line, AfterValidator(_base_url)]


class Server(BaseModel):
    """A server with OpenAI's API.

    Attributes:
        base_url: Its address.
        key_env: Environment variable that holds its key; None sends no key.
        model: The model of the server that its name alone stands for; None if it has only one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: BaseUrl
    key_env: Annotated[str, StringConstraints(pattern=_VARIABLE)] | None = None
    model: Line | None = None


Servers = Annotated[Mapping[str, Server], BeforeValidator(_servers), NoDecode]
Language = Annotated[Line, AfterValidator(str.lower), AfterValidator(language_code)]
HotWords = Annotated[tuple[str, ...], BeforeValidator(_hot_words), NoDecode]
StopStrings = Annotated[tuple[str, ...], BeforeValidator(_stop_strings), NoDecode]

Float = Annotated[float, BeforeValidator(_no_bool)]
_Integer = Annotated[int, BeforeValidator(_no_bool)]
MaxTokens = Annotated[_Integer, _in_range("max_tokens")]
Temperature = Annotated[Float, _in_range("temperature")]
TopP = Annotated[Float, _in_range("top_p")]
TopK = Annotated[_Integer, _in_range("top_k")]
MinP = Annotated[Float, _in_range("min_p")]
RepetitionPenalty = Annotated[Float, _in_range("repetition_penalty")]
PresencePenalty = Annotated[Float, _in_range("presence_penalty")]
Seed = Annotated[_Integer, _in_range("seed")]
