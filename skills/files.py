"""Which pictures a command line means: paths, links, folders, patterns, and lists on standard input.

    photo.jpg  pictures/  '*.jpg'  https://…  -    ─▶    one source for each picture, in order

For a skill that takes them, recordings and texts as well.
What does not exist is a source as well, and fails when it is read: of ten thousand paths some may vanish meanwhile.
"""

import glob
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assistant.attachments.file_types import FORMATS, HEAD_BYTES, detect_type
from assistant.attachments.images import ImageLoader, LoadedImage
from assistant.attachments.paths_in_text import SUFFIXES, expand_user
from assistant.errors import AttachmentError, SkillError, SkillUsageError

STANDARD_INPUT = "standard input"

SourceKind = Literal["photo", "sound", "text"]
"""What may be in a file."""

_SUFFIXES: Mapping[SourceKind, frozenset[str]] = {
    "photo": SUFFIXES,
    "sound": frozenset(".wav .flac .mp3 .ogg .oga .opus .m4a .aac .wma .aiff .webm .mp4 .mkv .mov".split()),
    "text": frozenset({".txt"}),
}
_CALLED: Mapping[SourceKind, str] = {"photo": "picture", "sound": "recording", "text": "text"}
# How files of the commonest kinds of sound begin.
_SOUNDS = (b"RIFF", b"ID3", b"OggS", b"fLaC", b"\xff\xfb", b"FORM")
# Characters of a text file: more than any skill reads of it.
_MOST_TEXT = 1 << 20


@dataclass(frozen=True)
class Source:
    """Where a picture is: `name` is its path or link, or what it is called if its `data` are there already."""

    name: str
    data: bytes | None = None

    @property
    def identity(self) -> str:
        """What is the same for the same picture, however its path is written."""
        return identity(self.name) if self.data is None else self.name

    def kind(self, kinds: Collection[str]) -> SourceKind:
        """Which of `kinds` it is, by the ending of its name, else by how it begins. Raises `AttachmentError` if none.

        Where there is only one, or no file to look at, what reads it is to say that it is not.
        """
        possible = [kind for kind in _SUFFIXES if kind in kinds]
        named = self.named_kind(kinds)
        if named or len(possible) == 1:
            return named or possible[0]
        head = self._head()
        if not head or detect_type(head):
            return possible[0]
        if "sound" in possible and head.startswith(_SOUNDS):
            return "sound"
        remedy = "let the name of a text end in .txt" if "text" in possible else "check which file it is"
        raise AttachmentError(f"{self.name} is no {_listed_or(_CALLED[each] for each in possible)}: {remedy}.")

    def named_kind(self, kinds: Collection[str]) -> SourceKind | None:
        """Which of `kinds` it is by the ending of its name, None if none."""
        ending = Path(self.name).suffix.lower()
        return next((kind for kind in _SUFFIXES if kind in kinds and ending in _SUFFIXES[kind]), None)

    def _head(self) -> bytes:
        """How it begins; nothing where that cannot be told before it is read."""
        path = expand_user(self.name)
        if self.data is not None or "://" in self.name or not path.is_file():
            return (self.data or b"")[:HEAD_BYTES]
        try:
            with path.open("rb") as file:
                return file.read(HEAD_BYTES)
        except OSError:
            return b""

    def read_text(self) -> str:
        """The words in it. Raises `AttachmentError`."""
        try:
            with expand_user(self.name).open(encoding="utf-8-sig") as file:
                return file.read(_MOST_TEXT)
        except FileNotFoundError as error:
            raise AttachmentError(f"{self.name} does not exist: check the path.") from error
        except OSError as error:
            raise AttachmentError(f"{self.name} cannot be read ({error.strerror}): check the path.") from error
        except UnicodeDecodeError as error:
            raise AttachmentError(f"{self.name} is not text in UTF-8: save it as such.") from error

    def read_image(self, loader: ImageLoader) -> LoadedImage:
        """Load the image. Raises `AttachmentError`."""
        return loader.load(self.name) if self.data is None else loader.load_bytes(self.data, self.name)


def identity(name: str) -> str:
    """The path of the file that `name` leads to, whether it is there or not; a link is itself."""
    return name if "://" in name or name == STANDARD_INPUT else os.path.realpath(expand_user(name))


def find_sources(
    arguments: Sequence[str], read_input: Callable[[], bytes], kinds: Collection[str] = ("photo",)
) -> list[Source]:
    """The pictures that `arguments` mean, in their order; those of a folder or a pattern in order of their names.

    Of folders everything that by its ending is of one of `kinds` is taken.

    A `-` stands for standard input, `read_input`: a picture, or a list of paths with one on each line (or, as
    `find -print0` writes it, ended by a NUL each). Raises `SkillError` where a folder, a pattern or a list means none,
    and `SkillUsageError` for an empty argument.
    """
    if "" in arguments:
        # As a path it would be the current folder, and it comes of a variable of the shell that is not set.
        raise SkillUsageError("One of the paths is empty: name a file, a folder or a pattern.")
    sources: list[Source] = []
    for argument in arguments:
        sources += _listed(read_input(), kinds) if argument == "-" else _meant(argument, kinds)
    return sources


def _listed(data: bytes, kinds: Collection[str]) -> Iterator[Source]:
    if detect_type(data[:HEAD_BYTES]) in FORMATS:
        yield Source(STANDARD_INPUT, data)
        return
    if any(data.startswith(beginning) for beginning in _SOUNDS):
        raise SkillError("A recording on standard input is not read: give it by its path.")
    separator = b"\0" if b"\0" in data else b"\n"
    paths = [os.fsdecode(line.removesuffix(b"\r")) for line in data.removeprefix(b"\xef\xbb\xbf").split(separator)]
    if not any(paths):
        raise SkillError("Standard input names no files: pipe in a list of paths, one on each line.")
    for path in filter(None, paths):
        yield from _in_folder(path, kinds) if os.path.isdir(expand_user(path)) else [Source(path)]


def _meant(argument: str, kinds: Collection[str]) -> Iterator[Source]:
    if "://" in argument:
        yield Source(argument)
        return
    path = expand_user(argument)
    if os.path.isdir(path):
        yield from _in_folder(argument, kinds)
    elif glob.has_magic(argument) and not os.path.exists(path):
        # Not pathlib's, which knows no absolute patterns.
        found = sorted(each for each in glob.iglob(str(path), recursive=True) if os.path.isfile(each))
        if not found:
            raise SkillError(f"No file matches {argument}: check the pattern.")
        yield from map(Source, found)
    else:
        yield Source(argument)


def _in_folder(folder: str, kinds: Collection[str]) -> Iterator[Source]:
    """The files below `folder` whose endings are those of `kinds`, hidden folders and files left out."""
    endings = frozenset[str]().union(*(_SUFFIXES[kind] for kind in _SUFFIXES if kind in kinds))
    found = False
    for parent, folders, files in os.walk(expand_user(folder)):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in endings and not name.startswith("."):
                found = True
                yield Source(str(Path(parent) / name))
    if not found:
        what = _listed_or(f"{_CALLED[kind]}s" for kind in _SUFFIXES if kind in kinds)
        raise SkillError(f"There are no {what} in {folder}: name another folder.")


def _listed_or(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
