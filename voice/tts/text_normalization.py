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

from voice.tts.english_dates import DATE_RULES
from voice.tts.english_tables import (
    ABBREVIATIONS,
    COUNTED,
    CURRENCIES,
    CURRENCY_CODES,
    FRACTIONS,
    GREEK,
    MAGNITUDES,
    PERIODS,
    RULERS,
    SIGNS,
    SPELLED,
    UNITS,
    UNITS_AFTER_SPACE,
)
from voice.tts.text_rules import ROMAN, LanguageRules, Rules, any_of, count, roman_value

# After an amount that is not part of a name: "a 5 km run", but "a 5 km or so".
_NO_NOUN = r"(?:and|but|for|from|with)\b"
# After the numeral I, which is a word as well.
_AFTER_ROMAN_ONE = r"(?:[.,;:!?)]|$|\s(?:of|in|was|is|and|or|to|began|ended|errors?|diabetes)\b)"
_NUMBER = r"\d+(?:\.\d+)?"


def _money(match: re.Match[str]) -> str:
    """Return "5 dollars and 20 cents" for "$5.20", "5 cents" for "$0.05", "3.5 million dollars" for "$3.5 million"."""
    sign, units, decimals, magnitude = match["sign"], match["units"], match["decimals"], match["magnitude"]
    singular, plural, cent, cents = CURRENCIES[sign]
    amount = units + (f".{decimals}" if decimals else "")
    if magnitude:
        return f"{amount} {MAGNITUDES.get(magnitude, magnitude)} {plural}"
    if not decimals or not cents:
        return count(amount, singular, plural)
    if len(decimals) != 2:
        return f"{amount} {plural}"
    if not int(decimals):
        return count(units, singular, plural)
    hundredths = count(str(int(decimals)), cent, cents)
    return hundredths if units == "0" else f"{count(units, singular, plural)} and {hundredths}"


def _unit(match: re.Match[str]) -> str:
    """Return "20 degrees Celsius" for "20 °C"."""
    return count(match["number"], *UNITS[match["unit"]])


def _ungrouped(match: re.Match[str]) -> str:
    """Return "1000000" for "1.000.000". One group may be a decimal number: "1.000" stays."""
    return match[0].replace(".", "") if match[0].count(".") > 1 else match[0]


def _ordinal(value: int) -> str:
    """Return "21st"."""
    return f"{value}{'th' if 10 < value % 100 < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(value % 10, 'th')}"


def _roman(match: re.Match[str]) -> str:
    """Return "Henry the 8th", "Chapter 4"."""
    value = roman_value(match["numeral"])
    if match["word"] in COUNTED.split("|"):
        return f"{match['word']} {value}"
    return f"{match['word']} the {_ordinal(value)}"


def _money_range(match: re.Match[str]) -> str:
    """Return "5 to 10 dollars" for "$5-10"."""
    return f"{match['low']} to {match['high']} {CURRENCIES[match['sign']][1]}"


def _currency_code(match: re.Match[str]) -> str:
    """Return "20 dollars" for "20 USD" and "USD 20"."""
    return count(match["before"] or match["after"], *CURRENCY_CODES[match["code"] or match["code_before"]])


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


def _range(match: re.Match[str]) -> str:
    """Return "3 to 5" for "3-5". A hyphen may also stand in a score, which stays."""
    low, dash, high = match.groups()
    if len(low) == 4 and len(high) == 2 and low[:2] in ("18", "19", "20") and int(high) > int(low[2:]):
        return f"{low} to {high}"
    if dash == " - " and float(low) > float(high):
        return f"{low} minus {high}"
    if "-" in dash and not (float(low) < float(high) and (len(low) == len(high) or len(high) < 4)):
        return match[0]
    return f"{low} to {high}"


def _price_of_a_thing(match: re.Match[str]) -> str:
    """Return "a 5 dollar" for "a $5" before a noun."""
    magnitude = f" {match['magnitude']}" if match["magnitude"] else ""
    return f"{match['article']} {match['number']}{magnitude} {CURRENCIES[match['sign']][0]}"


def _with_fraction(match: re.Match[str]) -> str:
    """Return "2 and a half" for "2 1/2", "1 and three quarters" for "1¾"."""
    return f"{match[1]} and {FRACTIONS[match[2]].replace('one half', 'a half')}"


def _times(match: re.Match[str]) -> str:
    """Return "2 to 3 times" for "2-3x"."""
    return f"{match[1]} to {match[2]} times" if match[2] else f"{match[1]} times"


def _ratio(match: re.Match[str]) -> str:
    """Return "2 to 1" for "2:1"."""
    return " to ".join(filter(None, match.groups()))


def _initials(match: re.Match[str]) -> str:
    """Return "U S" for "U.S."."""
    return " ".join(match[0].replace(".", ""))


_OTHER_UNITS = tuple(unit for unit in UNITS if unit not in UNITS_AFTER_SPACE)
# Before numbers are spelled: dates, times, money.
_RULES_FOR_AMOUNTS: Rules = (
    (re.compile(r"\b([Vv]ersion )?v\.?(?=\d+\.\d)"), lambda match: match[1] or "version "),
    *((re.compile(rf"(?<!\w){pattern}(?!\w)"), words) for pattern, words in ABBREVIATIONS.items()),
    (re.compile(r"(?<![\w.])(?:[A-Z]\.){2,}(?!\w)"), _initials),
    (re.compile(r"\b\d{1,3}(?:\.\d{3})+,\d\d\b"), lambda match: match[0].replace(".", "").replace(",", ".")),
    (re.compile(r"(?<![\w.,])\d{1,3}(?: 000)+(?![\w]|[.,]\d)"), lambda match: match[0].replace(" ", "")),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"\b(\d+(?:\.\d+)?)[eE]([+-]?\d{1,3})\b"), r"\1 times 10 to the power of \2"),
    (re.compile(r"\b\d{1,3}(?:\.\d{3})*\.000\b(?![.,]\d)"), _ungrouped),
    (re.compile(r"(?<=\d)[.,][-–](?!\w)"), ""),
    (re.compile(r"(?<![\w.])\.(?=\d)"), "0."),
    (re.compile(r"(?<![\w.])\.(?=[A-Z]{2,}\b)"), "dot "),
    (
        re.compile(rf"\b({_NUMBER})(?:[-–]({_NUMBER}))?[x×](?=\s[a-z]|[.,;!?)]|$)"),
        _times,
    ),
    (re.compile(r"(\d\s?(?:mm|cm|m|km|ft|in)) ?[x×] ?(?=\d)"), r"\1 by "),
    (re.compile(r"\b(?!0x)(\d+)(?: ?x ?|(?<=\d{3})×(?=\d{3}))(?=\d+(?: ?[x×] ?\d+)?(?![\w.]\w))"), r"\1 by "),
    *DATE_RULES,
    (
        re.compile(
            rf"(?<!\w)(?:(?P<code_before>{any_of(CURRENCY_CODES)})\s?(?P<after>{_NUMBER})"
            rf"|(?P<before>{_NUMBER})\s?(?P<code>{any_of(CURRENCY_CODES)}))(?!\w)"
        ),
        _currency_code,
    ),
    (
        re.compile(
            rf"(?P<article>\b[Aa]n?)\s(?P<sign>[$€£])(?P<number>{_NUMBER})"
            r"(?:\s(?P<magnitude>thousand|million|billion))?(?=\s(?!to\b|or\b|and\b|per\b)[a-z]{3,})"
        ),
        _price_of_a_thing,
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
        re.compile(r"\b(dollars?|cents?|euros?|pounds?|pence|yen|rupees?|francs?)\s?/\s?([A-Za-z]+)\b"),
        lambda match: f"{match[1]} per {PERIODS.get(match[2]) or UNITS.get(match[2], (match[2],))[0]}",
    ),
    (re.compile(rf"(?<![\w.,/])(\d+)\s?({any_of(FRACTIONS)})(?![\w/])"), _with_fraction),
    (re.compile(rf"(?<![\w./])({any_of(FRACTIONS)})(?![\w/])"), lambda match: FRACTIONS[match[1]]),
    (re.compile(rf"\b(?P<word>{COUNTED}|{RULERS})\s(?P<numeral>{ROMAN}|[VX])(?![\w.]\w|\w)"), _roman),
    (re.compile(rf"\b((?:King|Queen|Pope|Emperor|Empress|Tsar|Kaiser) (?:{RULERS})) I\b(?!['’])"), r"\1 the 1st"),
    (
        re.compile(rf"\b(World War|Part|Type|Act|Volume|Phase|Stage|Class|Chapter|Book) I(?={_AFTER_ROMAN_ONE})"),
        r"\1 1",
    ),
    (
        re.compile(rf"\b(?P<numeral>{ROMAN}|[VX])(?=\s[Cc]entur(?:y|ies)\b)"),
        lambda match: _ordinal(roman_value(match["numeral"])),
    ),
    (re.compile(r"(?<![\w.])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\w]|\.\d)"), r"\1 dot \2 dot \3 dot \4"),
)
# Before words of letters and digits are spelled: ranges and units.
_RULES_FOR_UNITS: Rules = (
    (re.compile(rf"(?<![\w.])({_NUMBER})([kKM])(?!\w)"), lambda match: f"{match[1]} {MAGNITUDES[match[2]]}"),
    (re.compile(rf"(?<![\w.,-])({_NUMBER})(\s?[-–]\s?)({_NUMBER})(?![\w-])"), _range),
    (re.compile(r"\b(\d+)\s?ft\s(\d{1,2})\s?in\b"), r"\1 feet \2 inches"),
    (
        re.compile(
            rf"(?P<article>\b[Aa]n?)\s(?P<number>{_NUMBER})\s?(?P<unit>{any_of(UNITS)})(?=\s(?!{_NO_NOUN})[a-z]{{3,}})"
        ),
        lambda match: f"{match['article']} {match['number']} {UNITS[match['unit']][0]}",
    ),
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
    (re.compile(r"(?:(?<=[\w\s])\s?|^)<(?=\s?\w)"), " less than "),
    (re.compile(r"(?:(?<=[\w\s])\s?|^)>(?=\s?\w)"), " greater than "),
    (re.compile(r"\b(\d{1,2}):(\d{1,3})(?=\s(?:ratio|odds|mix|scale)\b)|(?<=ratio of )(\d+):(\d+)"), _ratio),
    (re.compile(f"[{re.escape(''.join(SIGNS))}]"), lambda match: SIGNS[match[0]]),
    (re.compile(r"(?<=[^\W\d_])\s?/\s?(?=[^\W\d_])"), " or "),
)
_RULES = LanguageRules(_RULES_FOR_AMOUNTS, _RULES_FOR_UNITS, _RULES_FOR_SIGNS)


def normalize_english(text: str) -> str:
    """Apply all rules to a text of one line without markup."""
    text = lower_shouting(text)
    return _RULES.apply(text)
