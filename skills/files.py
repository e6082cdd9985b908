"""Find the files that a command line names: paths, URLs, folders, patterns, and lists on standard input.

    photo.jpg  pictures/  '*.jpg'  https://…  -    ─▶    one `Source` per file, in order

Most skills take images; some take recordings and texts as well. A path that does not exist is a source too and fails
when it is read: of ten thousand paths some may vanish meanwhile.
"""

import glob
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assistant.attachments.file_lookup import expand_user, find_similar
from assistant.attachments.file_types import FORMATS, HEAD_BYTES, SUFFIXES, detect_type
from assistant.errors import AttachmentError, SkillError, SkillUsageError, first_line
from assistant.progress import OnNotice, no_notice
from assistant.text_cleaning import clean_line

if TYPE_CHECKING:
    from assistant.attachments.images import ImageLoader, LoadedImage

STANDARD_INPUT = "standard input"
"""Name of an image that was piped in."""

MediaType = Literal["photo", "sound", "text"]

_SUFFIXES: Mapping[MediaType, frozenset[str]] = {
    "photo": SUFFIXES,
    "sound": frozenset(".wav .flac .mp3 .ogg .oga .opus .m4a .aac .wma .aiff .webm .mp4 .mkv .mov".split()),
    "text": frozenset({".txt"}),
}
_LABELS: Mapping[MediaType, str] = {"photo": "picture", "sound": "recording", "text": "text"}
_AUDIO_SIGNATURES = (b"RIFF", b"ID3", b"OggS", b"fLaC", b"\xff\xfb", b"FORM")
_MAX_KINDS = 5
# More than any skill reads of a text.
_MAX_TEXT_CHARACTERS = 1 << 20


@dataclass(frozen=True)
class Source:
    """Location of a file: a path, a URL, or a name for `data` that has already been read."""

    name: str
    data: bytes | None = None

    @property
    def identity(self) -> str:
        """Key that is equal for the same file however its path is spelled."""
        return path_identity(self.name) if self.data is None else self.name

    def media_type(self, candidates: Collection[str]) -> MediaType:
        """Return which of `candidates` this is, by suffix, else by content.

        With one candidate, or no file to look at, the first candidate is returned and reading reports the error.
        Raises `AttachmentError` if the content is none of them.
        """
        possible = [each for each in _SUFFIXES if each in candidates]
        by_suffix = self.media_type_by_suffix(candidates)
        if by_suffix or len(possible) == 1:
            return by_suffix or possible[0]
        head = self._read_head()
        if "text" in possible and " " in self.name and not os.path.lexists(expand_user(self.name)):
            raise AttachmentError(f"{self.name} does not exist: check the path, or give words after --text.")
        if not head or detect_type(head):
            return possible[0]
        if "sound" in possible and head.startswith(_AUDIO_SIGNATURES):
            return "sound"
        remedy = "let the name of a text end in .txt" if "text" in possible else "check which file it is"
        raise AttachmentError(f"{self.name} is no {_join_or(_LABELS[each] for each in possible)}: {remedy}.")

    def media_type_by_suffix(self, candidates: Collection[str]) -> MediaType | None:
        """Return which of `candidates` the suffix belongs to, or None."""
        suffix = Path(self.name).suffix.lower()
        return next((each for each in _SUFFIXES if each in candidates and suffix in _SUFFIXES[each]), None)

    def read_text(self) -> str:
        """Read a UTF-8 text. Raises `AttachmentError`."""
        try:
            if self.data is not None:
                return self.data.decode("utf-8-sig")[:_MAX_TEXT_CHARACTERS]
            with expand_user(self.name).open(encoding="utf-8-sig") as file:
                return file.read(_MAX_TEXT_CHARACTERS)
        except FileNotFoundError as error:
            raise AttachmentError(f"{self.name} does not exist: check the path.") from error
        except OSError as error:
            raise AttachmentError(f"{self.name} cannot be read ({first_line(error)}): check the path.") from error
        except UnicodeDecodeError as error:
            raise AttachmentError(f"{self.name} is not text in UTF-8: save it as such.") from error

    def read_image(self, loader: "ImageLoader") -> "LoadedImage":
        """Load the image. Raises `AttachmentError`."""
        return loader.load(self.name) if self.data is None else loader.load_bytes(self.data, self.name)

    def _read_head(self) -> bytes:
        """Return the first bytes, or none for a URL and for a file that cannot be opened."""
        path = expand_user(self.name)
        if self.data is not None or "://" in self.name or not path.is_file():
            return (self.data or b"")[:HEAD_BYTES]
        try:
            with path.open("rb") as file:
                return file.read(HEAD_BYTES)
        except OSError:
            return b""


def path_identity(name: str) -> str:
    """Return the real path that `name` leads to, whether it exists or not. A URL is returned as it is."""
    return name if "://" in name or name == STANDARD_INPUT else os.path.realpath(expand_user(name))


def find_sources(
    arguments: Sequence[str],
    read_input: Callable[[], bytes],
    media_types: Collection[str] = ("photo",),
    on_notice: OnNotice = no_notice,
) -> list[Source]:
    """Return the files that `arguments` name, in order; those of a folder or pattern sorted by name.

    Args:
        arguments: Paths, URLs, folders and patterns. A `-` reads standard input: an image, or a list of paths, one per
            line or (as `find -print0` writes it) each ended by NUL.
        read_input: Return the bytes of standard input.
        media_types: Files of a folder are included if their suffix belongs to one of these.
        on_notice: Is told what of a folder is left out.

    Raises:
        SkillError: A folder, a pattern or a list names no file.
        SkillUsageError: An argument is empty.
    """
    if "" in arguments:
        # An unset shell variable. As a path it would be the current folder.
        raise SkillUsageError("One of the paths is empty: name a file, a folder or a pattern.")
    sources: list[Source] = []
    for argument in arguments:
        if argument == "-":
            sources += _parse_input(read_input(), media_types, on_notice)
        else:
            sources += _expand(argument, media_types, on_notice)
    return sources


def _parse_input(data: bytes, media_types: Collection[str], on_notice: OnNotice) -> Iterator[Source]:
    if detect_type(data[:HEAD_BYTES]) in FORMATS:
        yield Source(STANDARD_INPUT, data)
        return
    if data.startswith(_AUDIO_SIGNATURES):
        raise SkillError("A recording on standard input is not read: give it by its path.")
    separator = b"\0" if b"\0" in data else b"\n"
    paths = [os.fsdecode(line.removesuffix(b"\r")) for line in data.removeprefix(b"\xef\xbb\xbf").split(separator)]
    if not any(paths):
        raise SkillError("Standard input names no files: pipe in a list of paths, one on each line.")
    for path in filter(None, paths):
        is_folder = os.path.isdir(expand_user(path))
        yield from _list_folder(path, media_types, on_notice) if is_folder else [Source(path)]


def _expand(argument: str, media_types: Collection[str], on_notice: OnNotice) -> Iterator[Source]:
    if "://" in argument:
        yield Source(argument)
        return
    path = expand_user(argument)
    if os.path.isdir(path):
        yield from _list_folder(argument, media_types, on_notice)
    elif glob.has_magic(argument) and not os.path.exists(path):
        # Not `Path.glob`, which refuses absolute patterns.
        matches = sorted(each for each in glob.iglob(str(path), recursive=True) if os.path.isfile(each))
        if not matches:
            raise SkillError(f"No file matches {argument}: check the pattern.")
        yield from map(Source, matches)
    elif not os.path.lexists(path) and (similar := find_similar(path)) is not None:
        on_notice(f"{clean_line(str(similar))} is read: its name is the only one that looks like the one given.")
        yield Source(str(similar))
    elif path.is_fifo():
        # A FIFO, or what a shell makes of <(…): it can be read once only.
        from assistant.attachments.images import read_file

        yield Source(argument, read_file(path))
    else:
        yield Source(argument)


def _list_folder(folder: str, media_types: Collection[str], on_notice: OnNotice) -> Iterator[Source]:
    """Yield the files below `folder` with a suffix of `media_types`, without hidden files, links to folders and pipes.

    One notice counts what is left out by its type, and folders that cannot be read.
    """
    suffixes = frozenset[str]().union(*(_SUFFIXES[each] for each in _SUFFIXES if each in media_types))
    root = str(expand_user(folder))
    left_out: Counter[str] = Counter()
    is_empty = True

    def count_unreadable(error: OSError) -> None:
        if error.filename == root:
            raise SkillError(
                f"The folder {folder} cannot be read ({first_line(error).lower()}): check its permissions."
            ) from error
        left_out["unreadable folder"] += 1

    for parent, folders, files in os.walk(root, onerror=count_unreadable):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        left_out["linked folder"] += sum(os.path.islink(os.path.join(parent, each)) for each in folders)
        for name in sorted(files):
            path = Path(parent) / name
            if name.startswith("."):
                continue
            if path.suffix.lower() not in suffixes:
                left_out[clean_line(path.suffix.lower(), 12) or "without a suffix"] += 1
            elif path.is_fifo():
                left_out["pipe"] += 1
            else:
                is_empty = False
                yield Source(str(path))
    if is_empty:
        wanted = _join_or(f"{_LABELS[each]}s" for each in _SUFFIXES if each in media_types)
        others = f", only {_counts(left_out)}" if left_out.total() else ""
        raise SkillError(f"There are no {wanted} in {folder}{others}: name another folder.")
    if left_out.total():
        on_notice(f"Files in {clean_line(folder)} that are not looked at: {_counts(left_out)}.")


def _counts(left_out: Counter[str]) -> str:
    """Return numbers of things by kind, the most frequent first."""
    common = [(kind, count) for kind, count in left_out.most_common(_MAX_KINDS) if count]
    shown = [f"{count} {kind}" for kind, count in common]
    others = left_out.total() - sum(count for _, count in common)
    return ", ".join([*shown, f"{others} others"] if others else shown)


def _join_or(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
