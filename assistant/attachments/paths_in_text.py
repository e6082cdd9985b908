"""Extract paths and URLs of images from a prompt in which they were typed, pasted or dropped.

    What is in "my photo.jpg"?  ─▶  What is in this picture?  +  my photo.jpg

A path that stands apart from the sentence is removed. One that the sentence needs ("in photo.jpg") is replaced by
words, because no model can answer "What is in ?".
"""

import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from assistant.attachments.file_types import FORMATS, HEAD_BYTES, detect_type

SUFFIXES = frozenset(".jpg .jpeg .jpe .jfif .png .apng .gif .webp .bmp .dib .avif".split())
"""Words with these suffixes count as images even if there is no such file: loading then reports that."""

# These count as images only if the file exists. Loading refuses them; a missing one may just be talked about.
_REFUSED_SUFFIXES = frozenset(".pdf .svg .tif .tiff .heic .heif .jxl .psd .ico .jp2".split())
_MAX_PATH = 4096
_MAX_WORDS_IN_NAME = 12  # longest name with unquoted spaces

_SINGLE = r"'[^'\n]*'"
_DOUBLE = r'"(?:[^"\\\n]|\\.)*"'
_TOKEN = re.compile(
    rf"""
      (?P<opening> [(\[{{<]+ (?=\S) )
    | (?P<quoted>
        (?<![^\s(\[{{<,;:=])                                             # not the apostrophe of a word
        (?: (?:{_SINGLE}|{_DOUBLE}) (?:{_SINGLE}|{_DOUBLE}|\\.)*         # as shells quote: 'it'\''s.jpg'
          | “[^”\n]{{1,999}}” | ‘[^’\n]{{1,999}}’ | `[^`\n]{{1,999}}` )
        (?= [\s.,;:!?…)\]}}>'’] | $ )
      )
    | (?P<word> (?: \\. | [^\s\\"“”] )+ )
    """,
    re.VERBOSE,
)
_QUOTED_PART = re.compile(rf"(?P<single>{_SINGLE})|(?P<double>{_DOUBLE})|\\(?P<escaped>.)")
_TRAILING = ".,;:!?…)]}>'’`»*_"
_POSSESSIVE = re.compile(r"['’]s\b")
_SEPARATOR = re.compile(r"\s*(?:[,;&+]|and|or|vs\.?|versus|with)?\s*(?:and|or)?\s*", re.IGNORECASE)
_LAST_WORD = re.compile(r"(?<![/A-Za-z])([A-Za-z]+)[ \t]*$")  # not "/read": a command needs no object
_ARTICLES = frozenset("a an the this that these those my".split())
_PREPOSITIONS = frozenset(
    """about analyse analyze and are as at between caption compare describe did do does explain for from has have
    identify in inside into is like of on or read show shows summarise summarize than to under was with
    within""".split()
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


@dataclass(frozen=True)
class ExtractedImages:
    """Text of a prompt without the images, and their paths or URLs, in order, each once."""

    text: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Mention:
    """Position of a source in the text, including its quotes."""

    start: int
    end: int
    source: str


def extract_images(text: str, *, links: bool = True) -> ExtractedImages:
    """Extract the images that `text` names. Without any, the text is returned unchanged.

    Finds quoted and backslash-escaped paths, `~` and `file://` (returned as written, resolved on loading), existing
    names with unquoted spaces, http(s) URLs, and a path without a known suffix if it is the complete text.

    Args:
        text: Prompt of the user.
        links: Whether every http(s) URL counts. If not, only those with an image suffix or that are the complete text
            do, since people also talk about web pages.
    """
    stripped = text.strip()
    for path in (stripped, _unquote(stripped)):
        if "\n" not in path and (_has_suffix(path, SUFFIXES) or _is_image_file(path)) and exists(path):
            return ExtractedImages("", (path,))
    links = links or not re.search(r"\s", stripped)
    mentions = list(_find_mentions(text, links))
    sources = tuple(dict.fromkeys(mention.source for mention in mentions))
    return ExtractedImages(_remove_mentions(text, mentions, sources), sources) if mentions else ExtractedImages(text)


def expand_user(path: str | Path) -> Path:
    """Expand a leading `~`. A path whose user is unknown is returned unchanged."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _find_mentions(text: str, links: bool) -> Iterator[_Mention]:  # noqa: FBT001 - passed on
    starts: list[int] = []  # of the words since the last mention: where a name with spaces may start
    for token in _TOKEN.finditer(text):
        if token["opening"]:
            continue
        found: Sequence[_Mention]
        if token["quoted"]:
            source = _unquote(token[0])
            found = [_Mention(*token.span(), source)] if _is_source(source, links) else []
        else:
            starts.append(token.start())
            found = _mentions_in_word(text, token, starts[-_MAX_WORDS_IN_NAME:], links)
        yield from found
        if found:
            starts.clear()


def _mentions_in_word(
    text: str,
    token: re.Match[str],
    starts: Sequence[int],
    links: bool,  # noqa: FBT001 - passed on
) -> Sequence[_Mention]:
    start, word = token.start(), token[0]
    if markdown := re.match(r".*\]\(", word):
        start, word = start + markdown.end(), word[markdown.end() :]
    if _is_url(word):
        bare = word.rstrip(_TRAILING)
        if bare.count("(") > bare.count(")") and word[len(bare) :].startswith(")"):
            bare += ")"
        return [_Mention(start, start + len(bare), bare)] if _is_source(bare, links) else []
    word = _POSSESSIVE.split(word.rstrip(_TRAILING))[0]
    end = start + len(word)
    if not _has_suffix(word, SUFFIXES | _REFUSED_SUFFIXES):
        return []
    for first in starts:
        candidate = text[first:end]
        for path in (_unescape(candidate), candidate):
            if "\n" not in path and exists(path):
                return [_Mention(first, end, path)]
    parts = [part for part in re.finditer(r"[^,;]+", word) if _has_suffix(part[0], SUFFIXES)]
    return [_Mention(start + part.start(), start + part.end(), _unescape(part[0])) for part in parts]


def _is_source(path: str, links: bool) -> bool:  # noqa: FBT001 - passed on
    if _is_url(path):
        return links or path.lower().startswith("file:") or _has_suffix(re.split("[?#]", path)[0], SUFFIXES)
    return _has_suffix(path, SUFFIXES) or (_has_suffix(path, _REFUSED_SUFFIXES) and exists(path))


def _is_url(word: str) -> bool:
    return re.match(r"(?:https?|file)://\S", word, re.IGNORECASE) is not None


def _has_suffix(path: str, suffixes: frozenset[str]) -> bool:
    return PurePath(path).suffix.lower() in suffixes


def exists(path: str) -> bool:
    """Return True if `path` is a regular file that may be accessed."""
    try:
        return len(path) < _MAX_PATH and stat.S_ISREG(expand_user(path).stat().st_mode)
    except (OSError, ValueError):  # ValueError: a NUL inside
        return False


def _is_image_file(path: str) -> bool:
    if not exists(path):
        return False
    try:
        with expand_user(path).open("rb") as file:
            return detect_type(file.read(HEAD_BYTES)) in FORMATS
    except OSError:
        return False


def _unquote(token: str) -> str:
    """Remove quotes and escapes as a shell does; also typographic quotes and back-ticks."""
    if len(token) > 1 and token[0] + token[-1] in ("“”", "‘’", "``"):
        return token[1:-1]
    pieces = list(_QUOTED_PART.finditer(token))
    if token[:1] not in "'\"" or "".join(piece[0] for piece in pieces) != token:
        return _unescape(token)
    return "".join(
        piece["single"][1:-1]
        if piece["single"]
        else re.sub(r'\\(["\\$`])', r"\1", piece["double"][1:-1])
        if piece["double"]
        else piece["escaped"]
        for piece in pieces
    )


def _unescape(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word)


def _remove_mentions(text: str, mentions: Sequence[_Mention], sources: Sequence[str]) -> str:
    """Replace mentions that a sentence needs by words, and remove the others."""
    kept: list[str] = []
    position = 0
    for group in _group_mentions(text, mentions):
        before = text[position : group[0].start]
        after = group[-1].end
        if possessive := _POSSESSIVE.match(text, after):
            after = possessive.end()
        words = _describe_group(before, [sources.index(mention.source) for mention in group], len(sources))
        if possessive:
            words = f"{words or 'the picture'}'s"
        if words:
            kept.append(before + words)
            position = after
            continue
        before, position = _close_gap(before, text, after)
        kept.append(before)
    remainder = text[position:]
    joined = "".join(kept) + remainder
    return (joined if remainder.strip() else joined.rstrip(" \t\n,;:-")).strip()


def _close_gap(before: str, text: str, position: int) -> tuple[str, int]:
    """Return the text before a removed mention and the position after it, without its brackets and punctuation."""
    bare = before.rstrip(" \t")
    while bare.endswith(("(", "[", "{", "<")) and (closing := re.compile(r"[ \t]*[)\]}>]").match(text, position)):
        bare = bare[:-1].rstrip(" \t")
        position = closing.end()
    if rest := re.compile(r"[ \t]*[,;:]+").match(text, position):
        position = rest.end()
    if text[position : position + 1] in (".", "!", "?"):
        position += not bare or bare[-1] in ".,;:!?"
    elif bare and not bare[-1].isspace() and not text[position : position + 1].isspace():
        bare += " "
    return bare, position


def _group_mentions(text: str, mentions: Sequence[_Mention]) -> list[list[_Mention]]:
    groups: list[list[_Mention]] = []
    for mention in mentions:
        if groups and _SEPARATOR.fullmatch(text, groups[-1][-1].end, mention.start):
            groups[-1].append(mention)
        else:
            groups.append([mention])
    return groups


def _describe_group(before: str, group: Sequence[int], total: int) -> str:
    """Return words for the images of `group` (positions among `total`) after the text `before`, or ""."""
    last = _LAST_WORD.search(before)
    word = last[1].lower() if last else ""
    if word in _ARTICLES:
        return "picture" if len(group) == 1 else "pictures"
    if word not in _PREPOSITIONS:
        return ""
    if len(group) == 1 and total > 1:
        return f"the {_ORDINALS[group[0]]} picture" if group[0] < len(_ORDINALS) else f"picture {group[0] + 1}"
    return "this picture" if total == 1 else "these pictures"
