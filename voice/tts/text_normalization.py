"""Write out in English words what stands around numbers: units, currencies, dates, times, signs.

Numerals stay as they are, because every engine reads "1234.5" and knows better than a table how. The rules run in the
order of the tables, each on the result of the one before, so that the specific ones come first: "$5.20" is money before
"$" is "dollars", and "2026-11-24" is a date before "-" can be a range or a minus.

    abbreviations   "e.g. cats"            "for example, cats"
    grouped digits  "1,234,567"            "1234567"
    dates           "2026-11-24"           "November 24, 2026"
    times           "9:05 am, 17:00"       "9 oh 5 A M, 17 hundred"
    money           "$5.20, €2bn"          "5 dollars and 20 cents, 2 billion euros"
    fractions       "1/2, ¾"               "one half, three quarters"
    Roman numerals  "Henry VIII"           "Henry the 8th"
    codes           "555-1234", "A1B2"     "5 5 5, 1 2 3 4", "A 1 B 2" (`spoken_codes`)
    ranges          "pages 3-5"            "pages 3 to 5"
    units           "20 °C, 1 m"           "20 degrees Celsius, 1 metre" ("5m" stays)
    versions        "1.2.3"                "1 point 2 point 3"
    prefixes        "#5, ~10, -5"          "number 5, about 10, minus 5"
    arithmetic      "x^2, 10 * 3, 7/8"     "x to the power of 2, 10 times 3, 7 over 8"
    other signs     "AT&T, y²"             "AT and T, y squared"
    alternatives    "he/she"               "he or she"
"""

import re
from datetime import date

from voice.tts.english_tables import (
    ABBREVIATIONS,
    COUNTED,
    CURRENCIES,
    CURRENCY_CODES,
    FRACTIONS,
    GREEK,
    MAGNITUDES,
    MONTHS,
    RULERS,
    SIGNS,
    SPELLED,
    UNITS,
    UNITS_AFTER_SPACE,
)
from voice.tts.text_rules import ROMAN, LanguageRules, Rules, any_of, roman_value

_NUMBER = r"\d+(?:\.\d+)?"


def _count(number: str, singular: str, plural: str) -> str:
    """Return "1 metre", "3 metres"."""
    return f"{number} {singular if number == '1' else plural}"


def _money(match: re.Match[str]) -> str:
    """Return "5 dollars and 20 cents" for "$5.20", "5 cents" for "$0.05", "3.5 million dollars" for "$3.5 million"."""
    sign, units, decimals, magnitude = match["sign"], match["units"], match["decimals"], match["magnitude"]
    singular, plural, cent, cents = CURRENCIES[sign]
    amount = units + (f".{decimals}" if decimals else "")
    if magnitude:
        return f"{amount} {MAGNITUDES.get(magnitude, magnitude)} {plural}"
    if not decimals or not cents:
        return _count(amount, singular, plural)
    if len(decimals) != 2:
        return f"{amount} {plural}"
    if not int(decimals):
        return _count(units, singular, plural)
    hundredths = _count(str(int(decimals)), cent, cents)
    return hundredths if units == "0" else f"{_count(units, singular, plural)} and {hundredths}"


def _unit(match: re.Match[str]) -> str:
    """Return "20 degrees Celsius" for "20 °C"."""
    return _count(match["number"], *UNITS[match["unit"]])


def _date(match: re.Match[str]) -> str:
    """Return "November 24, 2026" for "2026-11-24". What is no date stays."""
    try:
        day = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return match[0]
    return f"{MONTHS[day.month - 1]} {day.day}, {match[1]}"


def _clock(match: re.Match[str]) -> str:
    """Return " 14:30 U T C" for "T14:30:00Z"."""
    return f" {match[1].removesuffix(':00') if match[1].count(':') > 1 else match[1]}{' U T C' if match[2] else ''}"


def _years(match: re.Match[str]) -> str:
    """Return "2026 to 27" for "2026/27"."""
    follows = (int(match[1]) + 1) % 100 == int(match[2])
    return f"{match[1]} to {match[2]}" if follows else match[0]


def _ungrouped(match: re.Match[str]) -> str:
    """Return "1000000" for "1.000.000". One group may be a decimal number: "1.000" stays."""
    return match[0].replace(".", "") if match[0].count(".") > 1 else match[0]


def _numeric_date(match: re.Match[str]) -> str:
    """Return "December 5, 2026" for "12/05/2026". A first number over 12 is the day; what is no date stays."""
    first, second, year = int(match[1]), int(match[3]), match[4]
    month, day = (second, first) if first > 12 or match[2] == "." else (first, second)
    if len(year) == 2:
        year = f"20{year}"
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return f"{MONTHS[month - 1]} {day}, {year}"


def _roman(match: re.Match[str]) -> str:
    """Return "Henry the 8th", "Chapter 4"."""
    value = roman_value(match["numeral"])
    if match["word"] in COUNTED.split("|"):
        return f"{match['word']} {value}"
    suffix = "th" if 10 < value < 14 else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{match['word']} the {value}{suffix}"


def _money_range(match: re.Match[str]) -> str:
    """Return "5 to 10 dollars" for "$5-10"."""
    return f"{match['low']} to {match['high']} {CURRENCIES[match['sign']][1]}"


def _currency_code(match: re.Match[str]) -> str:
    """Return "20 dollars" for "20 USD" and "USD 20"."""
    return _count(match["before"] or match["after"], *CURRENCY_CODES[match["code"] or match["code_before"]])


def _hashtag(match: re.Match[str]) -> str:
    """Return "hashtag Black Friday" for "#BlackFriday"."""
    return f"hashtag {re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', match[1])}"


def _power(match: re.Match[str]) -> str:
    """Return " squared" for "^2"."""
    return {"2": " squared", "3": " cubed"}.get(match[1], f" to the power of {match[1]}")


def lower_shouting(text: str) -> str:
    """Return a text without small letters in small ones: a voice spells short words in capitals."""
    words = re.findall(r"[^\W\d_]{2,}", text)
    is_list = re.fullmatch(r"\W*\w+(?:\s*[,;/&]\s*\w+)+\W*", text)  # "NASA, FBI, USA"
    return text.capitalize() if len(words) > 3 and not is_list and not any(map(str.islower, text)) else text


def _time(match: re.Match[str]) -> str:
    """Return "16 35" for "16:35", "9 o'clock" for "9:00", "17 hundred" for "17:00", "9 oh 5 A M" for "9:05 am"."""
    hour, minute, half = str(int(match[1])), match[2], match[4] or ""
    if half:
        half = f" {half[0].upper()} M"
    if match[3]:
        return f"{hour} {minute} and {_count(str(int(match[3])), 'second', 'seconds')}{half}"
    if minute == "00":
        return f"{hour}{half or (' hundred' if int(hour) > 12 else f' o{chr(39)}clock')}"
    return f"{hour} {'oh ' + minute[1] if minute[0] == '0' else minute}{half}"


def _range(match: re.Match[str]) -> str:
    """Return "3 to 5" for "3-5". A hyphen may also stand in a score, which stays."""
    low, dash, high = match.groups()
    if dash == "-" and not (float(low) < float(high) and (len(low) == len(high) or len(high) < 4)):
        return match[0]
    return f"{low} to {high}"


_OTHER_UNITS = tuple(unit for unit in UNITS if unit not in UNITS_AFTER_SPACE)
# Before numbers are spelled: dates, times, money.
_RULES_FOR_AMOUNTS: Rules = (
    *((re.compile(rf"(?<!\w){pattern}(?!\w)"), words) for pattern, words in ABBREVIATIONS.items()),
    (re.compile(r"\b\d{1,3}(?:\.\d{3})+,\d\d\b"), lambda match: match[0].replace(".", "").replace(",", ".")),
    (re.compile(r"(?<![\w.,])\d{1,3}(?: 000)+(?![\w]|[.,]\d)"), lambda match: match[0].replace(" ", "")),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"\b(\d+(?:\.\d+)?)[eE]([+-]?\d{1,3})\b"), r"\1 times 10 to the power of \2"),
    (re.compile(r"\b(\d{4})/(\d\d)/(\d\d)(?![\w/-])"), _date),
    (re.compile(r"(?<=\d-\d\d)T(\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(Z?)\b"), _clock),
    (re.compile(r"\b((?:19|20)\d\d)/(\d\d)(?![\w/])"), _years),
    (re.compile(r"\b\d{1,3}(?:\.\d{3})*\.000\b(?![.,]\d)"), _ungrouped),
    (re.compile(r"(?<=\d)[.,][-–](?!\w)"), ""),
    (re.compile(r"(?<![\w.])\.(?=\d)"), "0."),
    (re.compile(r"(?<![\w.])\.(?=[A-Z]{2,}\b)"), "dot "),
    (re.compile(r"\b(\d+)(?: ?x ?|(?<=\d{3})×(?=\d{3}))(?=\d+(?: ?[x×] ?\d+)?(?![\w.]\w))"), r"\1 by "),
    (re.compile(r"\b(\d{4})-(\d\d)-(\d\d)(?![\w-])"), _date),
    (re.compile(r"(?<![\d/.])(\d{1,2})([/.])(\d{1,2})\2(\d{4}|\d\d)(?![\d/]|\.\d)"), _numeric_date),
    (re.compile(r"(?<=\d)\s?[-–]\s?(?=(?:[01]?\d|2[0-3]):[0-5]\d)"), " to "),
    (
        re.compile(r"(?<![:\d.])(1[0-2]|[1-9])\s?([ap])\.?m\b\.?", re.IGNORECASE),
        lambda match: f"{match[1]} {match[2].upper()} M",
    ),
    (re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?(?:\s?([ap])\.?m\b\.?)?(?![\d:])", re.IGNORECASE), _time),
    (
        re.compile(
            rf"(?<!\w)(?:(?P<code_before>{any_of(CURRENCY_CODES)})\s?(?P<after>{_NUMBER})"
            rf"|(?P<before>{_NUMBER})\s?(?P<code>{any_of(CURRENCY_CODES)}))(?!\w)"
        ),
        _currency_code,
    ),
    (re.compile(rf"(?P<sign>[$€£])(?P<low>{_NUMBER})\s?[-–]\s?[$€£]?(?P<high>{_NUMBER})(?![\w-])"), _money_range),
    (
        re.compile(
            rf"(?P<sign>[{re.escape(''.join(CURRENCIES))}])\s?(?P<units>\d+)(?:\.(?P<decimals>\d+))?"
            r"(?:\s?(?P<magnitude>bn|[kKmMB]|thousand|million|billion|trillion)\b)?"
        ),
        _money,
    ),
    (re.compile(r"(?P<units>\d+)(?:[.,](?P<decimals>\d+))?\s?(?P<sign>[$€£])(?![\d])(?P<magnitude>)"), _money),
    (
        re.compile(r"(?<![\w.,/])(\d+)\s(?:1/2|½)(?![\w/])|(?<![\w.,])(\d+)½"),
        lambda match: f"{match[1] or match[2]} and a half",
    ),
    (re.compile(rf"(?<![\w./])({any_of(FRACTIONS)})(?![\w/])"), lambda match: FRACTIONS[match[1]]),
    (re.compile(rf"\b(?P<word>{COUNTED}|{RULERS})\s(?P<numeral>{ROMAN}|[VX])(?![\w.]\w|\w)"), _roman),
    (re.compile(r"(?<![\w.])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\w]|\.\d)"), r"\1 dot \2 dot \3 dot \4"),
)
# Before words of letters and digits are spelled: ranges and units.
_RULES_FOR_UNITS: Rules = (
    (re.compile(rf"(?<![\w.])({_NUMBER})([kKM])(?!\w)"), lambda match: f"{match[1]} {MAGNITUDES[match[2]]}"),
    (re.compile(rf"(?<![\w.,-])({_NUMBER})\s?([-–])\s?({_NUMBER})(?![\w-])"), _range),
    (re.compile(rf"(?P<number>(?<![\w.]){_NUMBER})\s?(?P<unit>{any_of(_OTHER_UNITS)})(?!\w)"), _unit),
    (re.compile(rf"(?P<number>(?<![\w.]){_NUMBER})\s(?P<unit>{any_of(UNITS_AFTER_SPACE)})(?!\w)"), _unit),
)
_RULES_FOR_SIGNS: Rules = (
    (re.compile(r"(?<![\w.])v?(\d+(?:\.\d+){2,})(?!\w)"), lambda match: match[1].replace(".", " point ")),
    (re.compile(r"(?<!\w)#(?=\d|[A-Z]{1,4}-?\d)"), "number "),
    (re.compile(r"(?<!\w)#([^\W\d]\w*)"), _hashtag),
    (re.compile(r"\b(\d{1,2})['′](?:\s?(\d{1,2})[\"″])(?!\w)"), r"\1 feet \2"),
    (re.compile(rf"(?<![\w.]){'(?:'}{SPELLED})(?![\w.]\w|\w)"), lambda match: " ".join(match[0])),
    (re.compile(r"(?<!\w)[<>=-]?(?:->|=>)"), " to "),
    (re.compile(r"(?<!\w[A-Z])(?<=\b[A-Z])–(?=[A-Z](?!\w))"), " to "),
    (re.compile(r"!=|≠"), " is not "),
    (re.compile(r"<="), " at most "),
    (re.compile(r">="), " at least "),
    (re.compile(r"=="), " equals "),
    (
        re.compile("(?<![\u0370-\u03ff])[\u0391-\u03c9µ](?![\u0370-\u03ff])"),
        lambda match: f" {GREEK.get(match[0].lower(), match[0])} ",
    ),
    (re.compile(r"(?<!\w)~\s?(?=\d)"), "about "),
    (re.compile(r"(?<=\w)(?:\^|\*\*)(-?\d+)"), _power),
    (re.compile(r"(?<![\w)])[-−](?=\d)"), "minus "),
    (re.compile(r"(?<=\d)\s?\*\s?(?=\d)"), " times "),
    (re.compile(r"\b(?:\d+/){2,}\d+\b|\b24/7\b|\b50/50\b"), lambda match: match[0].replace("/", " ")),
    (re.compile(r"(?<=\d)\s?/\s?(?=\d)"), " over "),
    (re.compile(r"(?<=[\w\s])\s?<(?=\s?\w)"), " less than "),
    (re.compile(r"(?<=[\w\s])\s?>(?=\s?\w)"), " greater than "),
    (re.compile(f"[{re.escape(''.join(SIGNS))}]"), lambda match: SIGNS[match[0]]),
    (re.compile(r"(?<=[^\W\d_])\s?/\s?(?=[^\W\d_])"), " or "),
)
_RULES = LanguageRules(_RULES_FOR_AMOUNTS, _RULES_FOR_UNITS, _RULES_FOR_SIGNS)


def normalize_english(text: str) -> str:
    """Apply all rules to a text of one line without markup."""
    text = lower_shouting(text)
    return _RULES.apply(text)
