"""Read and parse what others wrote, with limits on size and depth: settings, JSON of servers and files, texts.

The parsers of the standard library trust their input: a few thousand brackets end in a `RecursionError`, and a named
pipe in the place of a file is waited for without end. Here everything that is wrong with content is a `ParseError`.
"""

import json
import os
import re
import select
import stat
import time
import tomllib
from pathlib import Path
from typing import IO, Any

from assistant.text_cleaning import clean_line, valid_unicode

MAX_DEPTH = 64
"""Deepest nesting of lists and objects. Configurations, replies of servers and index files have less than ten."""
MAX_TEXT_BYTES = 256 << 10
"""Largest configuration file or file of instructions, far more than any context window holds of the latter."""
MAX_SILENT_SECONDS = 8.0
"""Longest wait for the next bytes of a pipe or a device."""

_CHUNK_BYTES = 1 << 16
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
# tomllib takes quadratic time for a key of many parts, so such a key is found before.
_DEEP_KEY = re.compile(rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_DEPTH}}}""")


class ParseError(ValueError):
    """Content that cannot be used. The message is the end of a sentence about it: "is not valid JSON (…)"."""


def read_bounded(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Return the content of a file, pipe or device, without waiting for ever.

    Raises:
        OSError: It cannot be opened or read.
        ParseError: It is larger than `max_bytes`, or nothing comes.
    """
    # Without O_NONBLOCK, opening a named pipe waits until somebody writes to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:
        raise ParseError("has a NUL character in its name") from error
    try:
        file = os.fdopen(descriptor, "rb", buffering=0)
    except OSError:
        # A folder: opened, but not read.
        os.close(descriptor)
        raise
    with file:
        waits = os.name == "posix" and not stat.S_ISREG(os.fstat(descriptor).st_mode)
        data = bytearray()
        while chunk := _next_chunk(file) if waits else file.read(_CHUNK_BYTES):
            data += chunk
            if len(data) > max_bytes:
                raise ParseError(f"is larger than {max_bytes >> 10} KiB")
    return bytes(data)


def decode_text(data: bytes) -> str:
    """Return `data` as text, without a byte order mark. Raises `ParseError` if it is no UTF-8 or has NULs."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParseError("is not text in UTF-8") from error
    if "\0" in text:
        raise ParseError("is not text: it has NUL characters")
    return text


def parse_json(data: bytes | str) -> Any:
    """Return a JSON value in which every text is valid Unicode. Raises `ParseError`."""
    text = decode_text(data) if isinstance(data, bytes) else data
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ParseError(f"is not valid JSON ({error.msg} at line {error.lineno})") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        # Python refuses to convert more than 4,300 digits.
        raise ParseError("is not valid JSON (a number is too long)") from error
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return _with_valid_unicode(value) if _SURROGATE_ESCAPE.search(text) else value


def parse_toml(data: bytes) -> dict[str, Any]:
    """Return the keys and values of a TOML document. Raises `ParseError`."""
    text = decode_text(data)
    if _DEEP_KEY.search(text):
        raise _too_deep()
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ParseError(f"is not valid TOML: {clean_line(str(error))}") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise ParseError("is not valid TOML: a number or a date is out of range") from error
    _check_depth(values)
    return values


def _next_chunk(file: IO[bytes]) -> bytes:
    deadline = time.monotonic() + MAX_SILENT_SECONDS
    while (remaining := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([file], [], [], remaining)
        # None: another reader was faster.
        if ready and (chunk := file.read(_CHUNK_BYTES)) is not None:
            return chunk
    raise ParseError("is a pipe or a device from which nothing comes")


def _check_depth(value: object, depth: int = 0) -> None:
    """Check nesting, and the size of integers: TOML has 64 bits, and Python cannot print one of a million digits."""
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _check_depth(item, depth + 1)
    elif isinstance(value, int) and value.bit_length() > 64:
        raise ParseError("has a number that is too large")


def _with_valid_unicode(value: object) -> object:
    if isinstance(value, str):
        return valid_unicode(value)
    if isinstance(value, list):
        return [_with_valid_unicode(item) for item in value]
    if isinstance(value, dict):
        return {valid_unicode(key): _with_valid_unicode(item) for key, item in value.items()}
    return value


def _too_deep() -> ParseError:
    return ParseError(f"is nested more than {MAX_DEPTH} levels deep")
