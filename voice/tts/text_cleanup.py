"""Turn Markdown into the words that a voice should say.

Markup disappears, and what cannot be read aloud becomes words or nothing:

    "## Results"                          "Results."
    "It is **bold** and ~~gone~~."        "It is bold and gone."
    "| a | b |"                           "a, b."
    "```python ...```"                    "Code left out."
    "Call `load_image()` in `a/b.py`."    "Call load image in a slash b dot py."
    "See [the docs](https://x.org)."      "See the docs."
    "Go to https://www.example.com/a?b"   "Go to example dot com."
    "Nice! 😀"                            "Nice!"
    "👍"                                  "thumbs up."

A piece may hold one half of a pair of marks, because sentences are cut before they are cleaned: "He said **this. And"
becomes "He said this. And". English numbers and signs become words in `voice.tts.text_normalization`.
"""

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from assistant.text_cleaning import REPLACEMENT, clean_text
from voice.tts.english_tables import RULERS
from voice.tts.german_normalization import normalize_german
from voice.tts.spoken_codes import spell_numbers, spell_words
from voice.tts.spoken_math import read_formulas
from voice.tts.text_normalization import normalize_english
from voice.tts.text_rules import roman_value

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

CODE_OMITTED = "Code left out."
"""Said instead of a code block, in English."""

_TABLE_RULE = re.compile(r"[\s|:-]*-[\s|:-]*")
_URL = re.compile(r"(?:[a-z][a-z0-9+.]{1,12}://|www\.)(?:www\.)?([\w-]+(?:\.[\w-]+)*)[^\s<>()\[\]]*", re.IGNORECASE)
_EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
# The end of a link whose beginning is in another sentence.
_LINK_END = re.compile(r"\]\([^)\s]*\)?")
_CHECKBOX = re.compile(r"^\s*\[[ xX]\]\s+")
_TIGHT_HEADING = re.compile(r"^(#{2,6})(?=[^\s#])", re.MULTILINE)
_MARKUP = re.compile(r"[*_`#|~^\\{}\[\]<>•■●▪]+")
# Compatibility forms of letters and digits: fullwidth, of mathematics, in circles, ligatures, Roman numerals.
_COMPATIBLE = re.compile(
    "[\u2080-\u209c\u2100-\u2115\u2117-\u211f\u2124-\u2127\u212a-\u214f\u2160-\u2188\u2460-\u24ff\ufb00-\ufb06"
    "\uff10-\uff5a\U0001d400-\U0001d7ff]+"
)
_ROMAN_SIGNS = re.compile(rf"(\b(?:{RULERS})\s)?([\u2160-\u216b\u2170-\u217b]+)")
_POWERS = re.compile("[\u2070\u2074-\u2079]+")
_ENDINGS = (
    "txt|py|pdf|png|jpe?g|gif|svg|webp|wav|mp[34]|md|json|csv|docx?|xlsx?|pptx?|zip|gz|tar|html?|css|js|ts|toml|ya?ml"
    "|cfg|ini|log|sh|exe"
)
_HOST = re.compile(
    r"(?<![\w@./-])((?:[\w-]+\.)+(?:com|org|net|edu|gov|info|io|dev|ai|app|uk|de|eu|fr))\b((?:/[\w-]+)*)/?(?![\w@]|\.\w)"
)
_FILE_PATH = re.compile(
    r"(?<![\w.:/\\])(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][\w.@-]+){2,}[/\\]?"
    r"|(?<![\w.:/\\])(?:~|[A-Za-z]:)[/\\][\w.@-]+"
    rf"|(?<![\w/:@.-])[\w-]+(?:\.[\w-]+)*\.(?:{_ENDINGS})\b(?![\w/@])"
)
_HANDLE = re.compile(r"(?<![\w@.])@([A-Za-z_]\w{0,40})(?![\w@])")
_EMOTICON = re.compile(r"(?<!\S)(?:[:;]['-]?[)(DP]+|\^_?\^)(?!\w)")
_DASHES = re.compile(r"\s*(?:[—―]|(?<=\s)[-–]+(?=\s)|--+)\s*")
_DOT = {"en": "dot", "de": "Punkt"}
_SLASH = {"en": ("slash", "backslash", "tilde", "colon"), "de": ("Schrägstrich", "Backslash", "Tilde", "Doppelpunkt")}
_END_MARKS = (".", "!", "?", "…", ":", ";", ",")


def spoken_text(markdown: str, language: str = "en") -> str:
    """Return what a voice should say for `markdown`, in one line; "" if there is nothing to say.

    Args:
        markdown: A sentence, a block or a complete text.
        language: Code of the text's language. Numbers and signs become words in English and German only.
    """
    # Nothing but this reaches a voice: no control character, no lone surrogate.
    markdown = clean_text(markdown).replace(REPLACEMENT, " ")
    markdown = _tables_to_sentences(_TIGHT_HEADING.sub(r"\1 ", read_formulas(markdown, language)))
    sentences = [_speak_block(token, language) for token in _parser().parse(markdown)]
    text = " ".join(" ".join(sentences).split())
    return text if any(character.isalnum() for character in text) else ""


def _tables_to_sentences(markdown: str) -> str:
    """Replace table rows by their cells: "| a | b |" becomes "a, b". A single row is no table to a parser."""
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

    # Indented text in a reply is not meant as code.
    return MarkdownIt("commonmark").enable("strikethrough").disable("code")


def _speak_block(token: "Token", language: str) -> str:
    match token.type:
        case "fence":
            return CODE_OMITTED if language == "en" else ""
        case "list_item_open" if token.info:
            return f"{token.info}."
        case "inline":
            return _speak_text(_inline_text(token), language)
    return ""


def _inline_text(token: "Token") -> str:
    """Return the text of a paragraph, heading or list item without its markup."""
    parts: list[str] = []
    for child in token.children or ():
        match child.type:
            case "text" | "image":
                parts.append(child.content)
            case "code_inline":
                parts.append(_speak_code(child.content))
            case "softbreak" | "hardbreak" | "html_inline":
                parts.append(" ")
    return "".join(parts)


def _speak_code(code: str) -> str:
    """Return a name from code as one says it: "os.path" becomes "os dot path", "load_image()" "load image"."""
    code = re.sub(r"\(\)", "", code)
    code = re.sub(r"(?<=\w)\.(?=\w)", " dot ", code)
    code = re.sub(r"(?<=\w)/(?=\w)", " slash ", code)
    return code.replace("_", " ")


def _speak_text(text: str, language: str) -> str:
    """Remove what is left of markup, spell addresses, and end the text with a punctuation mark."""
    text = "".join(character if character.isprintable() or character == "\u200d" else " " for character in text)
    text = _ROMAN_SIGNS.sub(_read_roman_sign, text)
    text = _COMPATIBLE.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    text = _POWERS.sub(lambda match: f"^{unicodedata.normalize('NFKC', match[0])}", text)
    text = _CHECKBOX.sub("", text)
    text = _LINK_END.sub("", text)
    text = _URL.sub(lambda match: _spell_dots(match[1], language), text)
    text = _EMAIL.sub(lambda match: _spell_address(match[0], language), text)
    text = _HOST.sub(
        lambda match: _spell_dots(match[1], language) + (f" {_speak_path(match[2], language)}" if match[2] else ""),
        text,
    )
    text = _FILE_PATH.sub(lambda match: _speak_path(match[0], language), text)
    text = _HANDLE.sub(lambda match: f"at {match[1].replace('_', ' ').strip()}", text)
    text = _EMOTICON.sub(" ", _remove_emoji(text))
    text = re.sub(r"(?<=\w)_(?=\w)", " ", text)
    if language == "en":
        text = normalize_english(text)
    elif language == "de":
        text = normalize_german(text)
    else:
        text = spell_words(spell_numbers(text))
    text = _MARKUP.sub(" ", text)
    text = _DASHES.sub(", ", text)
    text = re.sub(r"([!?])[!?]+", r"\1", text)
    text = re.sub(r"\.{3,}", "…", text)
    text = re.sub(r"\(\s*\)", "", text)
    text = re.sub(r"\s+([,.!?;:…])(?!\w)", r"\1", " ".join(text.split()))
    text = text.lstrip(",;:.- ")
    if not any(character.isalnum() for character in text):
        return ""
    # Headings and list items often lack a full stop, without which there is no pause.
    return text if text.rstrip("\"'”’)").endswith(_END_MARKS) or text[-1] in "。！？" else f"{text}."


def _read_roman_sign(match: re.Match[str]) -> str:
    """Return "4" for the sign "Ⅳ", and letters after the name of a ruler: "Henry IV"."""
    letters = unicodedata.normalize("NFKC", match[2]).upper()
    return f"{match[1]}{letters}" if match[1] else str(roman_value(letters))


def _spell_dots(host: str, language: str) -> str:
    """Return "example dot com", in German "example Punkt com"."""
    return host.replace(".", f" {_DOT.get(language, '.')} " if language in _DOT else " ")


def _spell_address(address: str, language: str) -> str:
    """Return "bob dot smith at example dot org"."""
    words = {"_": "underscore", "-": "dash"} if language == "en" else {"_": "Unterstrich", "-": "Strich"}
    name, _, host = address.partition("@")
    for sign, word in words.items():
        name = name.replace(sign, f" {word} ")
    return f"{_spell_dots(name, language)} at {_spell_dots(host, language)}"


def _speak_path(path: str, language: str) -> str:
    """Return "slash usr slash bin", "report v2 dot pdf"."""
    if language not in _SLASH:
        return re.sub(r"[/\\_.]", " ", path)
    slash, backslash, tilde, colon = _SLASH[language]
    path = path.replace("~", f" {tilde} ").replace(":", f" {colon} ")
    path = path.replace("/", f" {slash} ").replace("\\", f" {backslash} ").replace("_", " ")
    return " ".join(re.sub(r"(?<=\w)\.(?=\w)", f" {_DOT[language]} ", path).split())


def _remove_emoji(text: str) -> str:
    """Remove emoji from `text`. If there is nothing else, return their names: "👍" becomes "thumbs up"."""
    rest = "".join(" " if _is_emoji(character) else character for character in text)
    if any(character.isalnum() for character in rest):
        return rest
    names = [unicodedata.name(each, "").lower() for each in dict.fromkeys(text) if _is_emoji(each)]
    return ", ".join(name.removesuffix(" sign") for name in names if name and "selector" not in name) or rest


def _is_emoji(character: str) -> bool:
    code = ord(character)
    return (
        0x1F000 <= code <= 0x1FAFF  # Pictographs.
        or 0x2600 <= code <= 0x27BF  # Miscellaneous symbols and dingbats.
        or 0x2B00 <= code <= 0x2BFF  # Arrows and stars.
        or code in (0x200D, 0xFE0F, 0x20E3)  # Joiner, variation selector, keycap.
        or 0xE0000 <= code <= 0xE007F  # Tags of flags.
    )
