"""The TOML file of the settings: found, read, and changed by one line."""

import json
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from assistant.atomic_files import make_private_folder, write_atomically
from assistant.errors import ConfigError, first_line
from assistant.parsing import MAX_TEXT_BYTES, ParseError, decode_text, parse_toml, read_bounded
from assistant.text_cleaning import clean_line

_VALUE = r"""(?:"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+'|[\w.+-]++)"""


def default_config_file() -> Path:
    """Return the path of the TOML file that is read by default."""
    return user_config_path("parley", appauthor=False) / "config.toml"


def expand_home(path: Path) -> Path:
    """Return `path` with the home directory for `~`. Raises `ValueError` if there is none, or for a NUL character."""
    if "\0" in str(path):
        raise ValueError("a path cannot have a NUL character")
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"there is no home directory for {path}") from error


def read_config(config_file: Path | None, names: Collection[str]) -> tuple[dict[str, Any], str]:
    """Return the values of a file and its path, or no values if the default file does not exist.

    Args:
        config_file: File that must exist; None reads the default file.
        names: Keys that the file may have.

    Raises:
        ConfigError: The file cannot be read, is no TOML, or has another key.
    """
    path = _config_path(config_file)
    content = _read(path)
    if content is None:
        if config_file is None:
            return {}, "default"
        raise ConfigError(f"There is no configuration file {_shown(path)}: check the path.")
    values = _parse(path, content)
    if (unknown := next((key for key in values if key not in names), None)) is not None:
        close = closest_name(unknown, names)
        advice = f": did you mean {close}?" if close else f"; there are {', '.join(names)}."
        key = clean_line(unknown, 40) or "an empty name"
        raise ConfigError(f"The configuration file {_shown(path)} sets {key}, which is no setting{advice}")
    return values, str(path)


def closest_name(unknown: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `unknown` is probably meant to be, or None."""
    # A name may be megabytes long, and comparing takes quadratic time.
    wanted = unknown[:60].lower().replace("-", "_")
    close = get_close_matches(wanted, [name.lower() for name in names], n=1, cutoff=0.7)
    return close[0] if close else None


def save_setting(key: str, value: str, config_file: Path | None = None) -> Path:
    """Set `key` in the TOML file, creating it if needed, and return its path.

    All other lines and the comment behind the value stay, and so do permissions, owner and a symbolic link to the file.

    Raises:
        ConfigError: The file cannot be read, parsed or written.
    """
    path = _config_path(config_file)
    try:
        # The file that a link points to is replaced, not the link.
        path = path.resolve()
        is_other = path.exists() and not path.is_file()
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"The configuration file {_shown(path)} cannot be read: {_reason(error)}.") from error
    if is_other:
        raise ConfigError(f"The configuration file {_shown(path)} is no regular file, so nothing can be saved in it.")
    content = _read(path) or b""
    before = _parse(path, content)
    text = _with_setting(decode_text(content), key, value)
    try:
        is_as_wanted = parse_toml(text.encode()) == before | {key: value}
    except ParseError:
        is_as_wanted = False
    if not is_as_wanted:
        raise ConfigError(
            f"The configuration file {_shown(path)} is written in an unusual way: set {key} = "
            f"{clean_line(_quoted(value))} by hand."
        )
    try:
        make_private_folder(path.parent)
        write_atomically(path, text.encode())
    except OSError as error:
        raise ConfigError(f"The configuration file {_shown(path)} cannot be written: {_reason(error)}.") from error
    return path


def _with_setting(text: str, key: str, value: str) -> str:
    """Return the TOML document `text` with one line changed or added."""
    # Not `splitlines`, which also splits at characters that TOML allows inside a line.
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    # Below the header of a table, the line would belong to that table.
    top = next((index for index, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    pattern = re.compile(rf"""(\s*(?:{key}|"{key}"|'{key}')\s*=\s*){_VALUE}(\s*(?:#.*)?)""", re.DOTALL)
    for index in range(top):
        if match := pattern.fullmatch(lines[index]):
            lines[index] = f"{match[1]}{_quoted(value)}{match[2]}"
            return "".join(lines)
    ending = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
    return f"{key} = {_quoted(value)}{ending}{text}"


def _quoted(value: str) -> str:
    # JSON and TOML write texts alike, except that TOML also wants the character DEL escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _config_path(config_file: Path | None) -> Path:
    path = config_file or default_config_file()
    try:
        return expand_home(path)
    except ValueError as error:
        raise ConfigError(f"The configuration file {_shown(path)} cannot be read: {error}.") from error


def _read(path: Path) -> bytes | None:
    """Return the content of the file, or None if there is none."""
    try:
        return read_bounded(path, MAX_TEXT_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, ParseError) as error:
        raise ConfigError(f"The configuration file {_shown(path)} cannot be read: {_reason(error)}.") from error


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    try:
        return parse_toml(content)
    except ParseError as error:
        advice = ": save it as such" if "UTF-8" in str(error) else ""
        raise ConfigError(f"The configuration file {_shown(path)} {error}{advice}.") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return first_line(error)
    return "its links lead round in a circle" if isinstance(error, RuntimeError) else f"it {error}"


def _shown(path: Path) -> str:
    return clean_line(str(path), 300)
