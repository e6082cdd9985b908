"""Find the parts of a text that are not the user's own words: code, markup, command lines, error messages, quotations.

File names in them are the subject of the question and no request to look at a file.
"""

import re
from collections.abc import Sequence

MAX_PROSE_CHARACTERS = 4000
MAX_PROSE_LINES = 40
_MAX_LINE = 1000

_QUOTED = re.compile(
    r"""
      ^[ \t]*(?P<fence>```+|~~~+) .*? (?: ^[ \t]*(?P=fence) | \Z )        # a code block, also one that is not closed
    | (?<!`)(?P<ticks>`+)(?!`) [^`\n]+ (?P=ticks)                         # code in a line
    | </?[A-Za-z][\w:-]*(?:\s[^<>]*|/)?>                                  # a tag of HTML or XML
    | !?\[[^\[\]\n]*\]\([^()\n]*\)                                        # a link or image of Markdown
    | ^[ \t]*(?:>|\||\$[ ]|%[ ]|\+[ ]|\.\.\.[ ]|In[ ]\[|PS[ ])[^\n]*      # a quotation, a table, a prompt of a shell
    | ^(?:[ ]{4,}|\t)[^\n]*                                               # an indented block
    | ^[ \t]*(?:Traceback[ ]\(|File[ ]"|at[ ]\S+[(:])[^\n]*               # a stack
    | \b\w*(?:[Ee]rror|Exception|Warning):[^\n]*                          # an error message
    | ^[ \t]*(?:(?:const|let|var)[ ][^\n]*=|(?:def|func|fn)[ ]\w+\(|import[ ][^\n]*['";])[^\n]*
    | ^[^\n]*[;{}][ \t]*$                                                 # a line of code
    | ^[ \t]*[\w.\[\]]+[ ]*(?:\+|:)?=[^\n]*                               # an assignment
    | ^[ \t]*["'][\w.-]+["']:[^\n]*                                       # JSON
    | ^[^\n]*[ ](?:&&|\|\|)[ ][^\n]*                                      # commands of a shell
    | ^[ \t]*(?:COPY|ADD|RUN|CMD|ENTRYPOINT)[ ][^\n]*                    # a Dockerfile
    | ^[-dl](?:[r-][w-][xsStT-]){3}[^\n]*                                # a listing of a folder
    | ^[ \t]*[a-z][\w.+-]*[ ](?:[^\n]*\s)?--?[A-Za-z][\w-]*(?:[ =][^\n]*)?$  # a command line
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)

Span = tuple[int, int]
"""Start and end of a part of a text."""


def find_quoted_spans(text: str) -> Sequence[Span]:
    """Return the parts of `text` that are code, markup or quotations, in order."""
    return [match.span() for match in _QUOTED.finditer(text)]


def prose_spans(text: str) -> Sequence[Span]:
    """Return the parts of `text` that a person may have typed: all of it, or a line around a long paste.

    People paste a log or a page and put their question before or behind it.
    """
    if len(text) <= MAX_PROSE_CHARACTERS and text.count("\n") <= MAX_PROSE_LINES:
        return [(0, len(text))]
    start = len(text) - len(text.lstrip())
    stop = len(text.rstrip())
    first = (start, end if (end := text.find("\n", start, stop)) >= 0 else stop)
    last = (text.rfind("\n", start, stop) + 1 or start, stop)
    return [span for span in dict.fromkeys((first, last)) if span[1] - span[0] <= _MAX_LINE]
