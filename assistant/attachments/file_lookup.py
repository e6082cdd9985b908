"""Look up files by paths as people type them.

The look-ups for one text are bounded: each asks the file system, which on a network takes milliseconds, and a pasted
text may hold thousands of names.
"""

import os
import re
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from assistant.attachments.file_types import FORMATS, HEAD_BYTES, SUFFIXES, detect_type
from assistant.errors import AttachmentError
from assistant.text_cleaning import clean_line

MAX_LOOKUPS = 400
"""Paths that are looked up for one text."""
MAX_FOLDER_ENTRIES = 10_000
"""Entries of a folder that are looked at."""
_MAX_LISTINGS = 8
_MAX_PATH = 4096
_QUOTES_AND_DASHES = str.maketrans(
    {**dict.fromkeys("‘’‚‛′`´ʼ", "'"), **dict.fromkeys("“”„‟″«»", '"'), **dict.fromkeys("‐‑‒–—―−", "-")}
)


class FileLookup:
    """Look up the paths of one text, each once."""

    def __init__(self, max_lookups: int = MAX_LOOKUPS) -> None:
        self._left = max_lookups
        self._modes: dict[str, int] = {}
        self._listings: dict[str, Mapping[str, Sequence[str]]] = {}

    def is_file(self, path: str) -> bool:
        """Return True if `path` is a regular file, or looks like the name of one.

        False also if too many paths have been looked up.
        """
        mode = self._mode(path)
        return stat.S_ISREG(mode) or (mode == 0 and self._has_similar(path))

    def _has_similar(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        folder = folder or ("/" if path.startswith("/") else ".")
        if folder not in self._listings:
            is_allowed = len(self._listings) < _MAX_LISTINGS and len(path) < _MAX_PATH
            self._listings[folder] = _names_by_look(expand_user(folder)) if is_allowed else {}
        listing = self._listings[folder]
        return bool(listing) and _look(name) in listing

    def is_image_file(self, path: str) -> bool:
        """Return True if the content of the file is an image of a supported format."""
        if not stat.S_ISREG(self._mode(path)):
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
    """Expand a leading `~`. A path whose user is unknown, or can be no user, is returned unchanged."""
    try:
        return Path(path).expanduser()
    except (RuntimeError, ValueError):  # ValueError: a lone surrogate or a NUL in the name of the user
        return Path(path)


def find_similar(path: Path) -> Path | None:
    """Return the only file whose path looks like `path`, which does not exist, or None.

    Looks alike: another kind of space (macOS puts U+202F into the names of screenshots), composed and decomposed
    accents, curly quotes, dashes, upper and lower case.

    Raises:
        AttachmentError: There are several.
    """
    current = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        if _exists(current / part):
            current /= part
            continue
        names = _names_by_look(current).get(_look(part), ())
        if len(names) > 1:
            # What looks the same is told apart by its codes.
            shown = " or ".join(name if name.isascii() else ascii(name) for name in sorted(names)[:3])
            raise AttachmentError(
                f"{clean_line(str(path), 120)} could be {clean_line(shown)}: name one of them exactly."
            )
        if not names:
            return None
        current /= names[0]
    return current


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _names_by_look(folder: Path) -> Mapping[str, Sequence[str]]:
    """Return the names in `folder` by what they look like; none if the folder cannot be read or is very large."""
    found: dict[str, list[str]] = {}
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number == MAX_FOLDER_ENTRIES:
                    return {}
                found.setdefault(_look(entry.name), []).append(entry.name)
    except (OSError, ValueError):
        return {}
    return found


def _look(name: str) -> str:
    """Return a text that is equal for names that look the same."""
    plain = unicodedata.normalize("NFKC", name).translate(_QUOTES_AND_DASHES).casefold()
    visible = (character for character in plain if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFC", " ".join("".join(visible).split()))


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
