"""Write out in English words what stands around numbers: units, currencies, dates, times, signs.

Numerals stay as they are, because every engine reads "1234.5" and knows better than a table how. The rules run in the
order of `_RULES`, each on the result of the one before, so that the specific ones come first: "$5.20" is money before
"$" is "dollars", and "2026-11-24" is a date before "-" can be a range or a minus.

    abbreviations   "e.g. cats"            "for example, cats"
    grouped digits  "1,234,567"            "1234567"
    dates           "2026-11-24"           "November 24, 2026"
    times           "9:05 am, 17:00"       "9 oh 5 A M, 17 hundred"
    money           "$5.20, €2bn"          "5 dollars and 20 cents, 2 billion euros"
    fractions       "1/2, ¾"               "one half, three quarters"
    ranges          "pages 3-5"            "pages 3 to 5" ("555-1234" stays)
    units           "20 °C, 1 m"           "20 degrees Celsius, 1 metre" ("5m" stays)
    versions        "1.2.3"                "1 point 2 point 3"
    prefixes        "#5, ~10, -5"          "number 5, about 10, minus 5"
    arithmetic      "x^2, 10 * 3, 7/8"     "x to the power of 2, 10 times 3, 7 over 8"
    other signs     "AT&T, y²"             "AT and T, y squared"
    alternatives    "he/she"               "he or she"
"""

import re
from collections.abc import Callable
from datetime import date

_NUMBER = r"\d+(?:\.\d+)?"

# Unit: (singular, plural).
_UNITS = {
    "km/h": ("kilometre per hour", "kilometres per hour"),
    "mph": ("mile per hour", "miles per hour"),
    "m/s": ("metre per second", "metres per second"),
    "km": ("kilometre", "kilometres"),
    "cm": ("centimetre", "centimetres"),
    "mm": ("millimetre", "millimetres"),
    "m": ("metre", "metres"),
    "mi": ("mile", "miles"),
    "ft": ("foot", "feet"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "l": ("litre", "litres"),
    "ml": ("millilitre", "millilitres"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
    "%": ("percent", "percent"),
    "kB": ("kilobyte", "kilobytes"),
    "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "ms": ("millisecond", "milliseconds"),
    "s": ("second", "seconds"),
    "min": ("minute", "minutes"),
    "h": ("hour", "hours"),
    "W": ("watt", "watts"),
    "kW": ("kilowatt", "kilowatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "px": ("pixel", "pixels"),
}
# Units that count only after a space: "1980s" and "$5m" mean something else.
_UNITS_AFTER_SPACE = ("m", "g", "l", "s", "h", "W")
# Sign: (singular, plural, singular and plural of the hundredth part).
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
_MAGNITUDES = {"k": "thousand", "K": "thousand", "m": "million", "M": "million", "B": "billion", "bn": "billion"}
_FRACTIONS = {
    "1/2": "one half", "1/3": "one third", "2/3": "two thirds", "1/4": "one quarter", "3/4": "three quarters",
    "½": "one half", "⅓": "one third", "⅔": "two thirds", "¼": "one quarter", "¾": "three quarters",
}  # fmt: skip
_SIGNS = {
    "&": " and ", "+": " plus ", "=": " equals ", "×": " times ", "÷": " divided by ", "≈": " about ", "≠": " is not ",
    "≤": " at most ", "≥": " at least ", "±": " plus or minus ", "→": " to ", "⇒": " so ", "@": " at ",
    "%": " percent ", "°": " degrees ", "²": " squared ", "³": " cubed ", "€": " euros ", "£": " pounds ",
    "√": " root of ", "∞": " infinity ", "π": " pi ", "§": " section ", "№": " number ", "$": " dollars ",
}  # fmt: skip
_ABBREVIATIONS = {
    r"e\.\s?g\.,?": "for example,", r"i\.\s?e\.,?": "that is,", r"etc\.": "et cetera.", r"vs\.?": "versus",
    r"and/or": "and or", r"([CF])#": r"\1 sharp", r"approx\.": "approximately",
    r"w/": "with ", r"No\.(?=\s\d)": "number", r"Fig\.(?=\s\d)": "figure",
}  # fmt: skip


def _count(number: str, singular: str, plural: str) -> str:
    """Return "1 metre", "3 metres"."""
    return f"{number} {singular if number == '1' else plural}"


def _money(match: re.Match[str]) -> str:
    """Return "5 dollars and 20 cents" for "$5.20", "5 cents" for "$0.05", "3.5 million dollars" for "$3.5 million"."""
    sign, units, decimals, magnitude = match["sign"], match["units"], match["decimals"], match["magnitude"]
    singular, plural, cent, cents = _CURRENCIES[sign]
    amount = units + (f".{decimals}" if decimals else "")
    if magnitude:
        return f"{amount} {_MAGNITUDES.get(magnitude, magnitude)} {plural}"
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
    return _count(match["number"], *_UNITS[match["unit"]])


def _date(match: re.Match[str]) -> str:
    """Return "November 24, 2026" for "2026-11-24". What is no date stays."""
    try:
        day = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return match[0]
    return f"{day:%B} {day.day}, {match[1]}"


def _time(match: re.Match[str]) -> str:
    """Return "16 35" for "16:35", "9 o'clock" for "9:00", "17 hundred" for "17:00", "9 oh 5 A M" for "9:05 am"."""
    hour, minute, half = str(int(match[1])), match[2], match[3] or ""
    if half:
        half = f" {half[0].upper()} M"
    if minute == "00":
        return f"{hour}{half or (' hundred' if int(hour) > 12 else f' o{chr(39)}clock')}"
    return f"{hour} {'oh ' + minute[1] if minute[0] == '0' else minute}{half}"


def _range(match: re.Match[str]) -> str:
    """Return "3 to 5" for "3-5". A hyphen may also stand in a telephone number or a score, which stay."""
    low, dash, high = match.groups()
    if dash == "-" and not (float(low) < float(high) and (len(low) == len(high) or len(high) < 4)):
        return match[0]
    return f"{low} to {high}"


def _any_of(words: tuple[str, ...]) -> str:
    """Return a pattern that matches any of the words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_OTHER_UNITS = tuple(unit for unit in _UNITS if unit not in _UNITS_AFTER_SPACE)
_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    *((re.compile(rf"(?<!\w){pattern}(?!\w)"), words) for pattern, words in _ABBREVIATIONS.items()),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b"), _date),
    (re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)(?::[0-5]\d)?(?:\s?([ap])\.?m\b\.?)?(?![\d:])", re.IGNORECASE), _time),
    (
        re.compile(
            rf"(?P<sign>[{re.escape(''.join(_CURRENCIES))}])\s?(?P<units>\d+)(?:\.(?P<decimals>\d+))?"
            r"(?:\s?(?P<magnitude>bn|[kKmMB]|thousand|million|billion|trillion)\b)?"
        ),
        _money,
    ),
    (re.compile(r"(?P<units>\d+)(?:[.,](?P<decimals>\d+))?\s?(?P<sign>[€£])(?P<magnitude>)"), _money),
    (re.compile(rf"(?<![\w./])({_any_of(tuple(_FRACTIONS))})(?![\w/])"), lambda match: _FRACTIONS[match[1]]),
    (re.compile(rf"(?<![\w.,-])({_NUMBER})\s?([-–])\s?({_NUMBER})(?![\w-])"), _range),
    (re.compile(rf"(?P<number>(?<![\w.]){_NUMBER})\s?(?P<unit>{_any_of(_OTHER_UNITS)})(?!\w)"), _unit),
    (re.compile(rf"(?P<number>(?<![\w.]){_NUMBER})\s(?P<unit>{_any_of(_UNITS_AFTER_SPACE)})(?!\w)"), _unit),
    (re.compile(r"(?<![\w.])v?(\d+(?:\.\d+){2,})(?!\w)"), lambda match: match[1].replace(".", " point ")),
    (re.compile(r"(?<!\w)#(?=\d)"), "number "),
    (re.compile(r"(?<!\w)~\s?(?=\d)"), "about "),
    (re.compile(r"(?<![\w)])[-−](?=\d)"), "minus "),
    (re.compile(r"(?<=\w)(?:\^|\*\*)(-?\d+)"), r" to the power of \1"),
    (re.compile(r"(?<=\d)\s?\*\s?(?=\d)"), " times "),
    (re.compile(r"\b(?:\d+/){2,}\d+\b|\b24/7\b"), lambda match: match[0].replace("/", " ")),
    (re.compile(r"(?<=\d)\s?/\s?(?=\d)"), " over "),
    (re.compile(r"(?<=\s)<(?=\s?\w)"), "less than "),
    (re.compile(r"(?<=\s)>(?=\s?\w)"), "greater than "),
    (re.compile(f"[{re.escape(''.join(_SIGNS))}]"), lambda match: _SIGNS[match[0]]),
    (re.compile(r"(?<=[^\W\d_])\s?/\s?(?=[^\W\d_])"), " or "),
)


def normalize_english(text: str) -> str:
    """Apply all rules to a text of one line without markup."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
