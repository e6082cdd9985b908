"""Look up whether the paths in a text exist, a bounded number of times.

Each look-up asks the file system, which on a network takes milliseconds, and a pasted text may hold thousands of names.
"""

import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote

from assistant.attachments.file_types import FORMATS, HEAD_BYTES, SUFFIXES, detect_type

MAX_LOOKUPS = 400
"""Paths that are looked up for one text."""
MAX_FOLDER_ENTRIES = 2000
"""Entries of a folder that are looked at."""
_MAX_PATH = 4096


class FileLookup:
    """Look up the paths of one text, each once."""

    def __init__(self, max_lookups: int = MAX_LOOKUPS) -> None:
        self._left = max_lookups
        self._modes: dict[str, int] = {}

    def is_file(self, path: str) -> bool:
        """Return True if `path` is a regular file. False also if too many paths have been looked up."""
        return stat.S_ISREG(self._mode(path))

    def is_image_file(self, path: str) -> bool:
        """Return True if the content of the file is an image of a supported format."""
        if not self.is_file(path):
            return False
        try:
            with expand_user(path).open("rb") as file:
                return detect_type(file.read(HEAD_BYTES)) in FORMATS
        except OSError:
            return False

    def is_image_folder(self, path: str) -> bool:
        """Return True if `path` is a folder with an image in it."""
        if not stat.S_ISDIR(self._mode(path)):
            return False
        try:
            with os.scandir(expand_user(path)) as entries:
                names = (entry.name for entry, _ in zip(entries, range(MAX_FOLDER_ENTRIES), strict=False))
                return any(has_suffix(name, SUFFIXES) for name in names)
        except OSError:
            return False

    def _mode(self, path: str) -> int:
        """Return the mode of the file at `path`, 0 if there is none or it may not be accessed."""
        if path not in self._modes:
            if self._left == 0 or len(path) >= _MAX_PATH:
                return 0
            self._left -= 1
            try:
                self._modes[path] = expand_user(path).stat().st_mode
            except (OSError, ValueError):  # ValueError: a NUL inside
                self._modes[path] = 0
        return self._modes[path]


def expand_user(path: str | Path) -> Path:
    """Expand a leading `~`. A path whose user is unknown is returned unchanged."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def has_suffix(path: str, suffixes: frozenset[str]) -> bool:
    """Return True if the name at the end of `path` has one of `suffixes`, in upper or lower case."""
    name = path[-_MAX_PATH:].rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return bool(stem and dot) and f".{suffix.lower()}" in suffixes


def is_url(word: str) -> bool:
    """Return True for http, https and file URLs."""
    return re.match(r"(?:https?|file)://\S", word, re.IGNORECASE) is not None


def path_of_file_url(url: str) -> str | None:
    """Return the path in a `file://` URL, "" if it is on another machine, and None for any other text.

    Parsed by hand: `?` and `#` are ordinary characters in the paths that terminals and file managers paste.
    """
    if url[:7].lower() != "file://":
        return None
    host, slash, path = url[len("file://") :].partition("/")
    return unquote(slash + path) if host.lower() in ("", "localhost") else ""
