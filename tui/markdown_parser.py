"""Read markdown as chat models mean it, and lose none of their characters.

CommonMark drops what a page of HTML does not need: backslashes, tags, definitions of links, cells beyond the header of
a table. In a reply these are the words of the model: TeX, paths, regular expressions, sources.
"""

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import escapedSplit, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

MAX_COLUMNS = 40
"""Widest table that is drawn as one. Each cell is a widget."""

_MAX_NESTING = 100
"""Depth from which on markdown-it drops the rest of the text. Nesting is refused before, at `_MAX_BLOCK_LEVEL`."""
_MAX_BLOCK_LEVEL = 12

_ESCAPABLE = frozenset("*_`~#|<>!")
"""Characters whose backslash a model means for markdown. Before all others it is TeX, a path or an expression."""

# Limits, because each beginning without an end is looked for to the limit.
_MAX_MATH = 2000
_MAX_MATH_LINES = 100
_INLINE_MATH = re.compile(
    rf"\\\(.{{1,{_MAX_MATH}}}?\\\)|\\\[.{{1,{_MAX_MATH}}}?\\\]|\$\$.{{1,{_MAX_MATH}}}?\$\$"
    rf"|\\begin\{{(\w+\*?)\}}.{{1,{_MAX_MATH}}}?\\end\{{\1\}}"
    r"|\$(?=[^\s$\d])[^$\n]*[^\s$\\]\$(?!\w)",
    re.DOTALL,
)
_OPERATOR = re.compile(r"(?<=[A-Za-z0-9])\*+(?=[A-Za-z0-9])|(?<!\w)__[A-Za-z]\w*?__(?!\w)")
"""Asterisks between letters or digits, as in 2*3*4, and names such as __init__."""
_MATH_BEGINS = re.compile(r"\\\[|\$\$|\\begin\{(\w+\*?)\}")


def make_parser() -> MarkdownIt:
    """Return a parser in which tags are text, a line break stays one, and TeX stays as it is written."""
    # References: a line like "[1]: https://…" is a source, and would vanish. Entities: "&lt;" is meant as it stands.
    parser = MarkdownIt("gfm-like", {"html": False, "maxNesting": _MAX_NESTING}).disable(["reference", "entity"])
    parser.inline.ruler.before("escape", "math", _keep_math)
    parser.inline.ruler.at("escape", _escape)
    parser.inline.ruler.before("emphasis", "operators", _keep_operators)
    parser.block.ruler.before("code", "math", _keep_math_block, {"alt": ["paragraph"]})
    parser.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    for name in ("blockquote", "list"):
        parser.block.ruler.before(name, f"{name}_too_deep", _refuse_nesting)
    parser.core.ruler.push("hard_line_breaks", _harden_line_breaks)
    return parser


def is_reread_whole(text: str) -> bool:
    """Return True if `text` has to be parsed again when it is complete.

    While a reply is written, only its last block is parsed again. Lines of a formula look like other blocks until its
    end has come.
    """
    return _MATH_BEGINS.search(text) is not None


def _harden_line_breaks(state: StateCore) -> None:
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"


def _keep_math(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's signature
    """Take a formula as text, so that its backslashes, underscores and asterisks stay."""
    if state.src[state.pos] not in "\\$" or (match := _INLINE_MATH.match(state.src, state.pos, state.posMax)) is None:
        return False
    if not silent:
        _push_lines(state, match[0])
    state.pos = match.end()
    return True


def _escape(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's signature
    """Drop a backslash only before characters of markdown."""
    if state.src[state.pos] != "\\":
        return False
    following = state.src[state.pos + 1 : state.pos + 2]
    if following not in _ESCAPABLE or not following:
        if not silent:
            state.pending += "\\"
        # Two backslashes stay two, and the second escapes nothing.
        if following == "\\":
            if not silent:
                state.pending += "\\"
            state.pos += 1
        state.pos += 1
        return True
    if not silent:
        _push_text(state, following)
    state.pos += 2
    return True


def _keep_operators(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's signature
    """Take asterisks and underscores that stand in an expression or a name as text."""
    if state.src[state.pos] not in "*_" or (match := _OPERATOR.match(state.src, state.pos, state.posMax)) is None:
        return False
    if not silent:
        _push_text(state, match[0])
    state.pos = match.end()
    return True


def _push_lines(state: StateInline, text: str) -> None:
    for index, line in enumerate(text.split("\n")):
        if index:
            state.push("hardbreak", "br", 0)
        _push_text(state, line)


def _push_text(state: StateInline, text: str) -> None:
    # Of this type, so that the rules for emphasis and links that come later leave it alone.
    token = state.push("text_special", "", 0)
    token.content = text
    token.markup = text
    token.info = "escape"


def _keep_math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's
    r"""Take the lines from `\[`, `$$` or `\begin{…}` to its end as one paragraph, whatever they look like."""
    first = _line(state, start)
    if state.sCount[start] < state.blkIndent or (match := _MATH_BEGINS.match(first)) is None:
        return False
    closing = {"\\[": "\\]", "$$": "$$"}.get(match[0], f"\\end{{{match[1]}}}")
    if closing in first[match.end() :]:
        return False
    lines = [first]
    for number in range(start + 1, min(end, start + _MAX_MATH_LINES)):
        if state.sCount[number] < state.blkIndent and not state.isEmpty(number):
            return False
        lines.append(_line(state, number))
        if closing in lines[-1]:
            break
    else:
        return False
    if silent:
        return True
    state.line = start + len(lines)
    token = state.push("paragraph_open", "p", 1)
    token.map = [start, state.line]
    token = state.push("inline", "", 0)
    token.content = "\n".join(line.rstrip() for line in lines if line.strip())
    token.map = [start, state.line]
    token.children = []
    state.push("paragraph_close", "p", -1)
    return True


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's
    """Read a table, unless a row has more cells than the header, which would be dropped."""
    count, line = len(state.tokens), state.line
    if not table(state, start, end, silent):
        return False
    if silent:
        return True
    columns = len(_cells(_line(state, start)))
    # The second line separates the header from the rows.
    rows = [_cells(_line(state, number)) for number in range(start + 2, state.line)]
    if columns <= MAX_COLUMNS and all(len(row) <= columns for row in rows):
        return True
    del state.tokens[count:]
    stop, state.line = state.line, line
    _push_paragraph(state, start, stop)
    return True


def _cells(line: str) -> list[str]:
    cells = escapedSplit(line.strip())
    return cells[bool(cells and not cells[0]) : len(cells) - bool(len(cells) > 1 and not cells[-1])]


def _refuse_nesting(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's
    """Take the rest of a block that is nested too deeply as a paragraph."""
    if silent or state.level < _MAX_BLOCK_LEVEL:
        return False
    _push_paragraph(state, start, end)
    return True


def _push_paragraph(state: StateBlock, start: int, stop: int) -> None:
    token = state.push("paragraph_open", "p", 1)
    token.map = [start, stop]
    inline: Token = state.push("inline", "", 0)
    inline.content = "\n".join(_line(state, number) for number in range(start, stop)).strip()
    inline.map = [start, stop]
    inline.children = []
    state.push("paragraph_close", "p", -1)
    state.line = stop


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]
