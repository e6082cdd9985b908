"""Numbers, units and signs in the words of English.

Numerals themselves stay: every engine reads "1234.5" aloud, and knows better than a table how. What engines stumble
over is what stands around them. The rules are applied in their order, each to what the one before has left.
"""

import re
from collections.abc import Callable
from datetime import date

_NUMBER = r"\d+(?:\.\d+)?"

# Singular, plural; those in `_SPACED` only after a space, since "1980s" and "5m" are something else.
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
_SPACED = ("m", "g", "l", "s", "h", "W")
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
_SHORTENED = {
    r"e\.\s?g\.,?": "for example,", r"i\.\s?e\.,?": "that is,", r"etc\.": "et cetera.", r"vs\.?": "versus",
    r"and/or": "and or", r"([CF])#": r"\1 sharp", r"approx\.": "approximately",
    r"w/": "with ", r"No\.(?=\s\d)": "number", r"Fig\.(?=\s\d)": "figure",
}  # fmt: skip


def _counted(number: str, singular: str, plural: str) -> str:
    return f"{number} {singular if number == '1' else plural}"


def _money(match: re.Match[str]) -> str:
    sign, whole, hundredths, magnitude = match["sign"], match["whole"], match["hundredths"], match["magnitude"]
    one, many, one_part, many_parts = _CURRENCIES[sign]
    if magnitude:
        amount = whole + (f".{hundredths}" if hundredths else "")
        return f"{amount} {_MAGNITUDES.get(magnitude, magnitude)} {many}"
    if not hundredths or not many_parts:
        return _counted(whole + (f".{hundredths}" if hundredths else ""), one, many)
    if len(hundredths) != 2:
        return f"{whole}.{hundredths} {many}"
    parts = _counted(str(int(hundredths)), one_part, many_parts)
    if not int(hundredths):
        return _counted(whole, one, many)
    return parts if whole == "0" else f"{_counted(whole, one, many)} and {parts}"


def _measure(match: re.Match[str]) -> str:
    return _counted(match["number"], *_UNITS[match["unit"]])


def _calendar(match: re.Match[str]) -> str:
    try:
        day = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return match[0]
    return f"{day:%B} {day.day}, {match[1]}"


def _clock(match: re.Match[str]) -> str:
    hour, minute, half = str(int(match[1])), match[2], match[3] or ""
    if half:
        half = f" {half[0].upper()} M"
    if minute == "00":
        return f"{hour}{half or (' hundred' if int(hour) > 12 else f' o{chr(39)}clock')}"
    return f"{hour} {'oh ' + minute[1] if minute[0] == '0' else minute}{half}"


def _range(match: re.Match[str]) -> str:
    low, dash, high = match.groups()
    # With a hyphen it may be a telephone number or a score.
    if dash == "-" and not (float(low) < float(high) and (len(low) == len(high) or len(high) < 4)):
        return match[0]
    return f"{low} to {high}"


def _alternatives(words: "dict[str, object] | tuple[str, ...]") -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_UNSPACED = _alternatives(tuple(unit for unit in _UNITS if unit not in _SPACED))
_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    *((re.compile(rf"(?<!\w){pattern}(?!\w)"), words) for pattern, words in _SHORTENED.items()),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b"), _calendar),
    (re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)(?::[0-5]\d)?(?:\s?([ap])\.?m\b\.?)?(?![\d:])", re.IGNORECASE), _clock),
    (
        re.compile(
            rf"(?P<sign>[{re.escape(''.join(_CURRENCIES))}])\s?(?P<whole>\d+)(?:\.(?P<hundredths>\d+))?"
            r"(?:\s?(?P<magnitude>bn|[kKmMB]|thousand|million|billion|trillion)\b)?"
        ),
        _money,
    ),
    (re.compile(r"(?P<whole>\d+)(?:[.,](?P<hundredths>\d+))?\s?(?P<sign>[€£])(?P<magnitude>)"), _money),
    (re.compile(rf"(?<![\w./])({_alternatives(tuple(_FRACTIONS))})(?![\w/])"), lambda match: _FRACTIONS[match[1]]),
    (re.compile(rf"(?<![\w.,-])({_NUMBER})\s?([-–])\s?({_NUMBER})(?![\w-])"), _range),
    (re.compile(rf"(?P<number>(?<![\w.]){_NUMBER})\s?(?P<unit>{_UNSPACED})(?!\w)"), _measure),
    (re.compile(rf"(?P<number>(?<![\w.]){_NUMBER})\s(?P<unit>{_alternatives(_SPACED)})(?!\w)"), _measure),
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
    """`text`, of one line and without markup, with words for what would be read as symbols."""
    for pattern, words in _RULES:
        text = pattern.sub(words, text)
    return text
