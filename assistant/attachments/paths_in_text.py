"""Find the names of images in a text that was typed, pasted or dropped, and say how sure each is.

    How do I turn logo.png into a favicon?     logo.png is a file here    ─▶  a guess: attached if it loads
                                               there is no such file      ─▶  missing: stays text
    `Image.open("logo.png")` fails             in code                    ─▶  quoted: stays text
    "/home/me/my photo.jpg"                    nothing but paths          ─▶  explicit: it loads, or it is an error

A name in a sentence is a guess, never an instruction. Whatever is not attached stays in the text.
"""

import re
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from assistant.attachments.file_lookup import FileLookup, has_suffix, is_url, path_of_file_url
from assistant.attachments.file_types import REFUSED_SUFFIXES, SUFFIXES
from assistant.attachments.quoted_text import find_quoted_spans, prose_spans

MAX_DROPPED = 200
"""Files that are dropped at once."""
_MAX_WORDS_IN_NAME = 12  # longest name with unquoted spaces

_SINGLE = r"'[^'\n]*'"
_DOUBLE = r'"(?:[^"\\\n]|\\.)*"'
_TOKEN = re.compile(
    rf"""
      (?P<opening> [(\[{{<]+ (?=\S) )
    | (?P<quoted>
        (?<![^\s(\[{{<,;:=])                                             # not the apostrophe of a word
        (?: (?:{_SINGLE}|{_DOUBLE}) (?:{_SINGLE}|{_DOUBLE}|\\.)*         # as shells quote: 'it'\''s.jpg'
          | “[^”\n]{{1,999}}” | ‘[^’\n]{{1,999}}’ | `[^`\n]{{1,999}}`
          | „[^“”\n]{{1,999}}[“”] | ‚[^‘’\n]{{1,999}}[‘’] | «[^»\n]{{1,999}}» | »[^«\n]{{1,999}}«
          | 「[^」\n]{{1,999}}」 )
        (?= [\s.,;:!?…)\]}}>'’] | $ )
      )
    | (?P<word> (?: \\. | [^\s\\"“”] )+ )
    """,
    re.VERBOSE,
)
_QUOTED_PART = re.compile(rf"(?P<single>{_SINGLE})|(?P<double>{_DOUBLE})|\\(?P<escaped>.)")
_TRAILING = ".,;:!?…)]}>'’`»“”*_"
_MARKS = "'’‘‚„“”«»`*_"
_LEADING = f"{_MARKS}@"
_PAIRS = frozenset("“” ‘’ `` „“ „” ‚‘ ‚’ «» »« 「」".split())
POSSESSIVE = re.compile(r"['’]s\b")
_COMMAND = re.compile(r"\s*/[a-z][a-z0-9-]*(?=\s|$)")
_OPTION = re.compile(r"--[a-z][a-z0-9-]*(?:[= ]\S+)?")
_ROOTED = re.compile(r"[/~\\]|file://|[A-Za-z]:[\\/]", re.IGNORECASE)
_CODE_BEFORE = re.compile(r"[\w\])]\s?[(\[{=]\s*$|=\s*$")  # open("…"), src="…", x = "…"
_CODE_IN_WORD = re.compile(r".*=|[^(\[{]*[(\[{](?![^)\]}]*[)\]}])")  # src=… and an open bracket that is not closed


class Certainty(Enum):
    """Degree to which a name asks for its file to be looked at."""

    EXPLICIT = auto()
    """The text is nothing but paths, or the argument of a command. It is an error if the file cannot be loaded."""
    GUESS = auto()
    """A file or link of that name may exist. It is attached if it can be loaded, else it stays text."""
    MISSING = auto()
    """There is no such file: it stays text."""
    QUOTED = auto()
    """The file exists, but the name is part of code, markup or a quotation: it stays text."""


@dataclass(frozen=True)
class Mention:
    """Name of an image in a text.

    Attributes:
        start: Position of its first character, including its quotes.
        end: Position after its last character.
        source: The path or URL, without quotes and escapes.
        certainty: Degree to which it asks for the file.
    """

    start: int
    end: int
    source: str
    certainty: Certainty = Certainty.GUESS


def find_mentions(text: str, *, links: bool = True, files: FileLookup | None = None) -> Sequence[Mention]:
    """Return the images that `text` names, in order.

    Finds quoted and backslash-escaped paths, `~` and `file://` (returned as written, resolved on loading), existing
    names with unquoted spaces, http(s) URLs, and a path without a known suffix if it is the complete text.

    Args:
        text: Text of the user.
        links: Whether every http(s) URL counts. If not, only those with an image suffix or that are the complete text
            do, since people also talk about web pages.
        files: Looks up the files.
    """
    files = files or FileLookup()
    if mentions := _whole_text(text, files) or _dropped_paths(text):
        return mentions
    mentions = []
    links = links or not re.search(r"\s", text.strip())
    for start, end in prose_spans(text):
        part = text[start:end]
        quoted = find_quoted_spans(part)
        for mention in _Search(part, files, links).mentions():
            checked = _checked(part, mention, files, quoted)
            mentions.append(replace(checked, start=start + checked.start, end=start + checked.end))
    return _explicit_if_alone(text, mentions)


def find_folders(text: str, files: FileLookup) -> Sequence[str]:
    """Return the folders of images that `text` names: those with a slash in their name, and outside of quotations."""
    found: list[str] = []
    for start, end in prose_spans(text):
        part = text[start:end]
        quoted = find_quoted_spans(part)
        for token in _TOKEN.finditer(part):
            path = unquote(token[0].rstrip(_TRAILING))
            if "/" not in path or is_url(path) or (token.start() == 0 and _COMMAND.match(path)):
                continue
            if not _is_inside(token.start(), quoted) and files.is_image_folder(path):
                found.append(path)
    return tuple(dict.fromkeys(found))


def _is_inside(position: int, spans: Sequence[tuple[int, int]]) -> bool:
    index = bisect_right(spans, (position, sys.maxsize)) - 1
    return index >= 0 and position < spans[index][1]


def _whole_text(text: str, files: FileLookup) -> list[Mention]:
    """Return the text as a path if it is one of an existing image, also without a known suffix."""
    path = text.strip()
    if re.match(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=%]+$", path):
        return [Mention(0, len(text), path, Certainty.EXPLICIT)]
    if not path or "\n" in path:
        return []
    for candidate in dict.fromkeys((path, unquote(path))):
        known = has_suffix(candidate, SUFFIXES)
        if files.is_file(candidate) if known else files.is_image_file(candidate):
            return [Mention(0, len(text), candidate, Certainty.EXPLICIT)]
    return []


def _dropped_paths(text: str) -> list[Mention]:
    """Return the paths of a text that is nothing but complete paths, as terminals write dropped files."""
    mentions: list[Mention] = []
    position = 0
    for token in _TOKEN.finditer(text):
        source = unquote(token[0])
        if (
            text[position : token.start()].strip()
            or token["opening"]
            or not _ROOTED.match(source)
            or not has_suffix(source, SUFFIXES)
            or len(mentions) == MAX_DROPPED
        ):
            return []
        mentions.append(Mention(*token.span(), source, Certainty.EXPLICIT))
        position = token.end()
    return [] if text[position:].strip() else mentions


def _checked(text: str, mention: Mention, files: FileLookup, quoted: Sequence[tuple[int, int]]) -> Mention:
    """Return `mention` with its certainty."""
    path = path_of_file_url(mention.source) if is_url(mention.source) else mention.source
    if path is not None and not files.is_file(path):
        return replace(mention, certainty=Certainty.MISSING)
    if (
        _is_inside(mention.start, quoted)
        or mention.certainty is Certainty.QUOTED
        or _CODE_BEFORE.search(text[: mention.start][-20:])
    ):
        return replace(mention, certainty=Certainty.QUOTED)
    return mention


def _explicit_if_alone(text: str, mentions: Sequence[Mention]) -> Sequence[Mention]:
    """Return the mentions, explicit if there is nothing else in `text`, or if they are arguments of a command."""
    command = _COMMAND.match(text)
    rest = _without_mentions(text, mentions)[command.end() if command else 0 :]
    alone = not re.search(r"\w", _OPTION.sub("", rest) if command else re.sub(r"\b(?:and|or)\b", "", rest))

    def is_explicit(mention: Mention) -> bool:
        if mention.certainty is Certainty.QUOTED:
            return False
        if command and (alone or not text[command.end() : mention.start].strip()):
            return True
        is_path = has_suffix(re.split("[?#]", mention.source)[0], SUFFIXES) or not is_url(mention.source)
        return alone and is_path and (mention.certainty is Certainty.GUESS or bool(_ROOTED.match(mention.source)))

    return [replace(each, certainty=Certainty.EXPLICIT) if is_explicit(each) else each for each in mentions]


def _without_mentions(text: str, mentions: Sequence[Mention]) -> str:
    position = 0
    kept: list[str] = []
    for mention in mentions:
        kept.append(text[position : mention.start])
        position = mention.end
    return "".join(kept) + text[position:]


class _Search:
    """Search of one text for names and URLs of images."""

    def __init__(self, text: str, files: FileLookup, links: bool) -> None:  # noqa: FBT001 - passed on
        self._text = text
        self._files = files
        self._links = links

    def mentions(self) -> Iterator[Mention]:
        starts: list[int] = []  # of the words since the last mention: where a name with spaces may start
        for token in _TOKEN.finditer(self._text):
            if token["opening"]:
                continue
            found: Sequence[Mention]
            if token["quoted"]:
                source = unquote(token[0])
                found = [Mention(*token.span(), source)] if self._is_source(source) else []
            else:
                starts.append(token.start())
                found = self._in_word(token, starts[-_MAX_WORDS_IN_NAME:])
            yield from found
            if found:
                starts.clear()

    def _in_word(self, token: re.Match[str], starts: Sequence[int]) -> Sequence[Mention]:
        start, word = token.start(), token[0]
        if markdown := re.match(r".*\]\(", word):
            start, word = start + markdown.end(), word[markdown.end() :]
        if is_url(word):
            bare = word.rstrip(_TRAILING)
            if bare.count("(") > bare.count(")") and word[len(bare) :].startswith(")"):
                bare += ")"
            return [Mention(start, start + len(bare), bare)] if self._is_source(bare) else []
        word = word.rstrip(_TRAILING)
        if not self._files.is_file(word):
            word = POSSESSIVE.split(word)[0]
        end = start + len(word)
        if not has_suffix(word, SUFFIXES | REFUSED_SUFFIXES):
            return []
        for first in starts:
            candidate = self._text[first:end]
            for path in dict.fromkeys((unescape(candidate), candidate)):
                if "\n" not in path and self._files.is_file(path):
                    return [Mention(first, end, path)]
        bare = word.lstrip(_LEADING)
        if bare != word and self._files.is_file(bare):
            while end < token.end() and self._text[end] in _MARKS:
                end += 1
            return [Mention(start, end, bare)]
        if code := _CODE_IN_WORD.match(word):
            source = word[code.end() :].lstrip(_LEADING)
            return [Mention(end - len(source), end, source, Certainty.QUOTED)] if has_suffix(source, SUFFIXES) else []
        start, word = end - len(bare), bare
        parts = [part for part in re.finditer(r"[^,;]+", word) if has_suffix(part[0], SUFFIXES)]
        return [Mention(start + part.start(), start + part.end(), unescape(part[0])) for part in parts]

    def _is_source(self, path: str) -> bool:
        if is_url(path):
            is_file = path.lower().startswith("file:")
            return self._links or is_file or has_suffix(re.split("[?#]", path)[0], SUFFIXES)
        return has_suffix(path, SUFFIXES) or (has_suffix(path, REFUSED_SUFFIXES) and self._files.is_file(path))


def unquote(token: str) -> str:
    """Remove quotes and escapes as a shell does; also typographic quotes and back-ticks."""
    if len(token) > 1 and token[0] + token[-1] in _PAIRS:
        return token[1:-1].strip()
    pieces = list(_QUOTED_PART.finditer(token))
    if token[:1] not in "'\"" or "".join(piece[0] for piece in pieces) != token:
        return unescape(token)
    return "".join(
        piece["single"][1:-1]
        if piece["single"]
        else re.sub(r'\\(["\\$`])', r"\1", piece["double"][1:-1])
        if piece["double"]
        else piece["escaped"]
        for piece in pieces
    )


def unescape(word: str) -> str:
    """Remove backslashes before signs, as terminals write them; those of Windows, before letters, stay."""
    return re.sub(r"\\([^A-Za-z0-9])", r"\1", word)
