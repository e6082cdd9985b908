r"""Read formulas in TeX: "$E=mc^2$" becomes "E = m c ^2", of which the rules for signs make "E equals m c squared".

A formula stands between $…$, $$…$$, \(…\) or \[…\]. Dollars are money unless what is between them looks like a formula.
"""

import re

_FORMULA = re.compile(
    r"\$\$(.{1,2000}?)\$\$|\\\((.{1,2000}?)\\\)|\\\[(.{1,2000}?)\\\]"
    r"|(?<![\w$\\])\$(?=[^\s$])([^$\n]{1,500}?)(?<=[^\s\\])\$(?![\w$])",
    re.DOTALL,
)
_LOOKS_LIKE_FORMULA = re.compile(r"[=^_\\{}<>]|^[A-Za-z]{1,2}$|^[A-Za-z]\s*[+\-*/]\s*\w+$")
_MONEY = re.compile(r"^\d[\d.,]*(?:\s|\)|$)")
# Command: words in English, in German.
_COMMANDS = {
    "times": ("times", "mal"), "cdot": ("times", "mal"), "div": ("divided by", "geteilt durch"),
    "pm": ("plus or minus", "plus oder minus"), "leq": ("at most", "kleiner gleich"),
    "le": ("at most", "kleiner gleich"),
    "geq": ("at least", "größer gleich"), "ge": ("at least", "größer gleich"), "neq": ("is not", "ungleich"),
    "ne": ("is not", "ungleich"), "approx": ("about", "ungefähr"), "infty": ("infinity", "unendlich"),
    "to": ("to", "gegen"), "rightarrow": ("to", "nach"), "sum": ("sum of", "Summe über"),
    "int": ("integral of", "Integral über"), "prod": ("product of", "Produkt über"),
    "lim": ("limit of", "Grenzwert von"),
    "in": ("in", "in"), "forall": ("for all", "für alle"), "exists": ("there is", "es gibt"), "partial": ("d", "d"),
    "degree": ("degrees", "Grad"), "circ": ("degrees", "Grad"), "lt": ("less than", "kleiner als"),
    "gt": ("greater than", "größer als"), "equiv": ("is equivalent to", "äquivalent zu"),
}  # fmt: skip
_OVER = ("over", "durch")
_ROOT = ("root of", "Wurzel aus")
_POWERS = (
    {"2": "squared", "3": "cubed", "": "to the power of"},
    {"2": "hoch 2", "3": "hoch 3", "": "hoch"},
)
_EQUALS = ("equals", "gleich")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_SQUARE_ROOT = re.compile(r"\\sqrt\s*\{([^{}]*)\}")
_TEXT = re.compile(
    r"\\(?:text|mathrm|mathbf|mathit|mathbb|operatorname|left|right|displaystyle|quad|,|;|!)\b\s*|\\[,;!:]"
)
_LIMITS = re.compile(r"\\(sum|int|prod)\s*_(?:\{([^{}]*)\}|(\w))\s*\^\s*(?:\{([^{}]*)\}|(\\?\w+))")
_FROM_TO = (
    {"sum": "sum", "int": "integral", "prod": "product", "": ("from", "to", "of")},
    {"sum": "Summe", "int": "Integral", "prod": "Produkt", "": ("von", "bis", "über")},
)
_POWER = re.compile(r"\s*\^\s*(?:\{([^{}]*)\}|(-?\w))")
_LANGUAGES = ("en", "de")


def read_formulas(text: str, language: str) -> str:
    """Return Markdown in which formulas are words. In other languages than English and German it stays."""
    if language not in _LANGUAGES or not ("$" in text or "\\" in text):
        return text
    return _FORMULA.sub(lambda match: _read(match, _LANGUAGES.index(language)), text)


def _read(match: re.Match[str], language: int) -> str:
    dollars = match[4]
    formula = next(group for group in match.groups() if group is not None)
    if dollars is not None and (_MONEY.search(dollars) or not _LOOKS_LIKE_FORMULA.search(dollars)):
        return match[0]
    formula = _TEXT.sub(" ", formula)
    # Nested fractions end after a few rounds.
    for _ in range(4):
        formula = _FRACTION.sub(rf" \1 {_OVER[language]} \2 ", formula)
        formula = _SQUARE_ROOT.sub(rf" {_ROOT[language]} \1 ", formula)
    formula = _LIMITS.sub(lambda limits: _from_to(limits, language), formula)
    formula = re.sub(r"\\([A-Za-z]+)", lambda command: f" {_command(command[1], language)} ", formula)
    formula = _POWER.sub(lambda power: _power(power[1] or power[2] or "", language), formula)
    formula = re.sub(r"_\s*\{([^{}]*)\}|_", r" \1 ", formula)
    # Letters beside each other are different quantities.
    formula = _PRODUCT.sub(lambda letters: " ".join(letters[0]), formula)
    formula = formula.replace("=", f" {_EQUALS[language]} ").replace("-", " minus ").replace("+", " plus ")
    return " ".join(re.sub(r"[{}\\&$*]", " ", formula).split())


def _from_to(limits: re.Match[str], language: int) -> str:
    """Return " sum from i = 1 to n of "."""
    words = _FROM_TO[language]
    start, end, of = words[""]
    return f" {words[limits[1]]} {start} {limits[2] or limits[3]} {end} {limits[4] or limits[5]} {of} "


def _command(name: str, language: int) -> str:
    # Greek letters and functions are called what their commands are.
    return _COMMANDS[name][language] if name in _COMMANDS else name


def _power(exponent: str, language: int) -> str:
    words = _POWERS[language]
    return f" {words[exponent]} " if exponent in words and exponent else f" {words['']} {exponent} "


_WORDS = "|".join(
    sorted(
        {
            word
            for pair in (*_COMMANDS.values(), _OVER, _ROOT, *(tuple(each.values()) for each in _POWERS))
            for phrase in pair
            for word in phrase.split()
            if len(word) < 4
        }
        | {"sin", "cos", "tan", "log", "ln", "exp", "max", "min", "mod", "gcd", "det", "dim", "phi", "psi", "chi"}
        | {"bis", "to", "of", "sum", "eta", "rho", "tau", "pi", "xi", "mu", "nu", "if", "and", "for"}
    )
)
_PRODUCT = re.compile(rf"\b(?!(?:{_WORDS})\b)[A-Za-z]{{2,3}}\b")
