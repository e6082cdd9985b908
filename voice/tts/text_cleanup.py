"""Text as it is said: markdown, code, addresses and emoji become words, or nothing where there is nothing to say."""

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from voice.tts.text_normalization import normalize_english

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

CODE_OMITTED = "Code left out."
"""Said in the place of a block of code, in English."""

_TABLE_RULE = re.compile(r"[\s|:-]*-[\s|:-]*")
_ADDRESS = re.compile(r"(?:https?://|www\.)(?:www\.)?([\w-]+(?:\.[\w-]+)*)[^\s<>()\[\]]*", re.IGNORECASE)
_MAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
# Halves of emphasis, links and code whose other half is in another sentence.
_HALF_LINK = re.compile(r"\]\([^)\s]*\)?")
_MARKUP = re.compile(r"[*_`#|~^\\{}\[\]<>•■●▪]+")
_DASHES = re.compile(r"\s*(?:[—―]|(?<=\s)[-–]+(?=\s)|--+)\s*")
_ENDS = (".", "!", "?", "…", ":", ";", ",")


def spoken_text(markdown: str, language: str = "en") -> str:
    """What a voice should say for `markdown`, in one line; "" if there is nothing to say.

    A sentence, a block or a whole text will do. Numbers and signs are put into words in English only.
    """
    said = [_block(token, language) for token in _parse(_unlined(markdown))]
    spoken = " ".join(" ".join(said).split())
    return spoken if any(character.isalnum() for character in spoken) else ""


def _unlined(markdown: str) -> str:
    """`markdown` with the rows of its tables as sentences: a single row is no table to a parser."""
    lines = []
    for line in markdown.splitlines():
        row = line.strip()
        if row.startswith("|"):
            cells = [] if _TABLE_RULE.fullmatch(row) else [cell.strip() for cell in row.strip("|").split("|")]
            lines.append(", ".join(filter(None, cells)) + "\n")
        else:
            lines.append(line)
    return "\n".join(lines)


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    # Text that happens to be indented is no code in a reply.
    return MarkdownIt("commonmark").enable("strikethrough").disable("code")


def _parse(markdown: str) -> "list[Token]":
    return _parser().parse(markdown)


def _block(token: "Token", language: str) -> str:
    match token.type:
        case "fence":
            return CODE_OMITTED if language == "en" else ""
        case "list_item_open" if token.info:
            return f"{token.info}."
        case "inline":
            return _sentence(_inline(token), language)
    return ""


def _inline(token: "Token") -> str:
    """The words of a paragraph, heading or item."""
    words: list[str] = []
    for child in token.children or ():
        match child.type:
            case "text":
                words.append(child.content)
            case "code_inline":
                words.append(_code(child.content))
            case "image":
                words.append(child.content)
            case "softbreak" | "hardbreak":
                words.append(" ")
            case "html_inline":
                words.append(" ")
    return "".join(words)


def _code(code: str) -> str:
    """A name out of code, as one would say it."""
    code = re.sub(r"\(\)", "", code)
    code = re.sub(r"(?<=\w)\.(?=\w)", " dot ", code)
    code = re.sub(r"(?<=\w)/(?=\w)", " slash ", code)
    return code.replace("_", " ")


def _sentence(text: str, language: str) -> str:
    text = "".join(character if character.isprintable() else " " for character in text)
    text = _HALF_LINK.sub("", text)
    text = _ADDRESS.sub(lambda match: _spelled(match[1]), text)
    text = _MAIL.sub(lambda match: _spelled(match[0].replace("@", " at ")), text)
    text = _without_emoji(text)
    text = re.sub(r"(?<=\w)_(?=\w)", " ", text)
    if language == "en":
        text = normalize_english(text)
    text = _MARKUP.sub(" ", text)
    text = _DASHES.sub(", ", text)
    text = re.sub(r"([!?])[!?]+", r"\1", text)
    text = re.sub(r"\.{3,}", "…", text)
    text = re.sub(r"\(\s*\)", "", text)
    text = re.sub(r"\s+([,.!?;:…])", r"\1", " ".join(text.split()))
    text = text.lstrip(",;:.- ")
    if not any(character.isalnum() for character in text):
        return ""
    # A heading or an item without a full stop is still a pause.
    return text if text.rstrip("\"'”’)").endswith(_ENDS) or text[-1] in "。！？" else f"{text}."


def _spelled(host: str) -> str:
    return host.replace(".", " dot ")


def _without_emoji(text: str) -> str:
    """Emoji go, unless they are all there is: then they are named."""
    kept = "".join(" " if _is_emoji(character) else character for character in text)
    if any(character.isalnum() for character in kept):
        return kept
    names = [unicodedata.name(character, "").lower() for character in text if _is_emoji(character)]
    return ", ".join(name.removesuffix(" sign") for name in names if name and "selector" not in name) or kept


def _is_emoji(character: str) -> bool:
    code = ord(character)
    return (
        0x1F000 <= code <= 0x1FAFF
        or 0x2600 <= code <= 0x27BF
        or 0x2B00 <= code <= 0x2BFF
        or code in (0x200D, 0xFE0F, 0x20E3)
        or 0xE0000 <= code <= 0xE007F
    )
