"""Write out in German words what stands around numbers, as `voice.tts.text_normalization` does in English.

"Am 12.05.2026 um 16:35 Uhr"    "Am 12. Mai 2026 um 16 Uhr 35"
"5,20 €, 1.234.567"             "5 Euro 20, 1234567"
"z. B. 3-5 km/h"                "zum Beispiel 3 bis 5 Kilometer pro Stunde"
"Ludwig XIV."                   "Ludwig der Vierzehnte."
"""

import re

from voice.tts.english_tables import GREEK, RULERS
from voice.tts.text_rules import ROMAN, LanguageRules, Rules, any_of, roman_value

_NUMBER = r"\d+(?:,\d+)?"
_UNITS = {
    "km/h": "Kilometer pro Stunde", "m/s": "Meter pro Sekunde", "km": "Kilometer", "cm": "Zentimeter",
    "mm": "Millimeter", "m": "Meter", "µm": "Mikrometer", "nm": "Nanometer", "m²": "Quadratmeter",
    "km²": "Quadratkilometer", "cm²": "Quadratzentimeter", "m³": "Kubikmeter", "kg": "Kilogramm", "mg": "Milligramm",
    "g": "Gramm", "t": "Tonnen", "l": "Liter", "ml": "Milliliter", "°C": "Grad Celsius", "°F": "Grad Fahrenheit",
    "°": "Grad", "%": "Prozent", "‰": "Promille", "kB": "Kilobyte", "MB": "Megabyte", "GB": "Gigabyte",
    "TB": "Terabyte", "Hz": "Hertz", "kHz": "Kilohertz", "MHz": "Megahertz", "GHz": "Gigahertz",
    "Mbit/s": "Megabit pro Sekunde", "ms": "Millisekunden", "s": "Sekunden", "min": "Minuten", "Min.": "Minuten",
    "h": "Stunden", "Std.": "Stunden", "W": "Watt", "kW": "Kilowatt", "kWh": "Kilowattstunden", "V": "Volt",
    "Ω": "Ohm", "dB": "Dezibel", "px": "Pixel",
}  # fmt: skip
_UNITS_AFTER_SPACE = ("m", "g", "t", "l", "s", "h", "W", "V")
_CURRENCIES = {
    "€": ("Euro", "Cent"), "$": ("Dollar", "Cent"), "£": ("Pfund", "Pence"), "¥": ("Yen", ""), "EUR": ("Euro", "Cent"),
    "USD": ("Dollar", "Cent"), "CHF": ("Franken", "Rappen"), "GBP": ("Pfund", "Pence"),
}  # fmt: skip
_MONTHS = (
    "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
    "Dezember",
)  # fmt: skip
_ABBREVIATIONS = {
    r"z\.\s?B\.": "zum Beispiel", r"d\.\s?h\.": "das heißt", r"u\.\s?a\.": "unter anderem",
    r"i\.\s?d\.\s?R\.": "in der Regel",
    r"u\.\s?U\.": "unter Umständen", r"z\.\s?T\.": "zum Teil", r"v\.\s?a\.": "vor allem",
    r"o\.\s?Ä\.": "oder Ähnliches",
    r"u\.\s?Ä\.": "und Ähnliches", r"s\.\s?o\.": "siehe oben", r"s\.\s?u\.": "siehe unten",
    r"v\.\s?Chr\.": "vor Christus",
    r"n\.\s?Chr\.": "nach Christus", r"bzw\.": "beziehungsweise", r"usw\.": "und so weiter.", r"etc\.": "et cetera.",
    r"ca\.": "circa", r"vgl\.": "vergleiche", r"ggf\.": "gegebenenfalls", r"evtl\.": "eventuell",
    r"inkl\.": "inklusive", r"exkl\.": "exklusive", r"zzgl\.": "zuzüglich", r"bspw\.": "beispielsweise",
    r"sog\.": "sogenannte", r"Nr\.": "Nummer", r"Dr\.": "Doktor", r"Prof\.": "Professor", r"Hr\.": "Herr",
    r"Fr\.(?=\s[A-ZÄÖÜ])": "Frau", r"St\.(?=\s[A-ZÄÖÜ])": "Sankt", r"Abb\.": "Abbildung", r"Kap\.": "Kapitel",
    r"Bd\.": "Band", r"S\.(?=\s\d)": "Seite", r"Art\.(?=\s\d)": "Artikel", r"Abs\.(?=\s\d)": "Absatz",
    r"Tel\.": "Telefon", r"Str\.": "Straße", r"Mio\.": "Millionen", r"Mrd\.": "Milliarden", r"Tsd\.": "Tausend",
    r"max\.": "maximal", r"mind\.": "mindestens", r"MwSt\.": "Mehrwertsteuer", r"bzgl\.": "bezüglich",
    r"rd\.(?=\s\d)": "rund",
    r"min\.(?=\s\d)": "mindestens", r"Jh\.": "Jahrhundert", r"geb\.": "geboren", r"und/oder": "und oder",
    r"§§": "Paragraphen", r"§": "Paragraph",
}  # fmt: skip
_FRACTIONS = {
    "½": "ein halb", "¼": "ein Viertel", "¾": "drei Viertel", "⅓": "ein Drittel", "⅔": "zwei Drittel",
    "1/2": "ein halb", "1/4": "ein Viertel", "3/4": "drei Viertel", "1/3": "ein Drittel", "2/3": "zwei Drittel",
}  # fmt: skip
_ORDINALS = (
    "Erste", "Zweite", "Dritte", "Vierte", "Fünfte", "Sechste", "Siebte", "Achte", "Neunte", "Zehnte", "Elfte",
    "Zwölfte", "Dreizehnte", "Vierzehnte", "Fünfzehnte", "Sechzehnte", "Siebzehnte", "Achtzehnte", "Neunzehnte",
    "Zwanzigste",
)  # fmt: skip
_COUNTED = "Kapitel|Teil|Band|Akt|Artikel|Apollo|Klasse|Typ|Stufe|Phase"
_WEEKDAYS = {
    "Mo": "Montag", "Di": "Dienstag", "Mi": "Mittwoch", "Do": "Donnerstag", "Fr": "Freitag", "Sa": "Samstag",
    "So": "Sonntag",
}  # fmt: skip
_SIGNS = {
    "&": " und ", "+": " plus ", "=": " gleich ", "×": " mal ", "÷": " geteilt durch ", "≈": " ungefähr ",
    "≠": " ungleich ", "≤": " höchstens ", "≥": " mindestens ", "±": " plus minus ", "→": " nach ",
    "⇒": " also ", "@": " at ", "%": " Prozent ", "°": " Grad ", "²": " hoch 2 ", "³": " hoch 3 ", "€": " Euro ",
    "£": " Pfund ", "$": " Dollar ", "√": " Wurzel aus ", "∞": " unendlich ", "№": " Nummer ", "·": " mal ",
    "©": " Copyright ", "®": " ", "™": " ", "•": " ", "†": " gestorben ", "‰": " Promille ", "¥": " Yen ",
}  # fmt: skip


def _date(match: re.Match[str]) -> str:
    """Return "12. Mai 2026" for "12.05.2026"."""
    day, month, year = int(match["day"]), int(match["month"]), match["year"]
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return f"{day}. {_MONTHS[month - 1]} {'20' if len(year) == 2 else ''}{year}"


def _day_and_month(match: re.Match[str]) -> str:
    """Return "am 5. Dezember" for "am 5.12."."""
    month = int(match["month"])
    return f"{match['word']} {int(match['day'])}. {_MONTHS[month - 1]}" if 1 <= month <= 12 else match[0]


def _time(match: re.Match[str]) -> str:
    """Return "16 Uhr 35" for "16:35 Uhr", "9 Uhr" for "9:00"."""
    hour, minute, second = int(match[1]), int(match[2]), match[3]
    words = f"{hour} Uhr{f' {minute}' if minute else ''}"
    return f"{words} und {int(second)} Sekunden" if second else words


def _money(match: re.Match[str]) -> str:
    """Return "5 Euro 20" for "5,20 €"."""
    sign = match["sign"] or match["sign_before"]
    units, decimals = match["units"] or match["units2"], match["decimals"] or match["decimals2"]
    name, cent = _CURRENCIES[sign]
    if not decimals or not decimals.strip("0-"):
        return f"{units} {name}"
    if len(decimals) != 2 or not cent:
        return f"{units},{decimals} {name}"
    return f"{int(decimals)} {cent}" if units == "0" else f"{units} {name} {int(decimals)}"


def _range(match: re.Match[str]) -> str:
    low, dash, high = match.groups()
    if dash == "-" and not float(low.replace(",", ".")) < float(high.replace(",", ".")):
        return match[0]
    return f"{low} bis {high}"


def _roman(match: re.Match[str]) -> str:
    value = roman_value(match["numeral"])
    if match["word"] in _COUNTED.split("|") or value > len(_ORDINALS):
        return f"{match['word']} {value}"
    # A full stop after the numeral belongs to it, unless the sentence ends there.
    return f"{match['word']} der {_ORDINALS[value - 1]}" + ("." if match["stop"] and match["end"] is not None else "")


_OTHER_UNITS = tuple(unit for unit in _UNITS if unit not in _UNITS_AFTER_SPACE)
_MONEY_SIGNS = any_of(_CURRENCIES)
_RULES_FOR_AMOUNTS: Rules = (
    *((re.compile(rf"(?<!\w){pattern}(?!\w)"), words) for pattern, words in _ABBREVIATIONS.items()),
    (re.compile(r"(?<![\w.,/])(?P<day>\d{1,2})[./](?P<month>\d{1,2})[./](?P<year>\d{4}|\d\d)(?![\w/]|\.\d)"), _date),
    (
        re.compile(
            r"\b(?P<word>[Aa]m|[Vv]om|[Bb]is|[Zz]um|[Aa]b|[Ss]eit)\s(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?!\d)"
        ),
        _day_and_month,
    ),
    (re.compile(r"\b(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?![\w-])"), _date),
    (re.compile(r"(?<![\w.,])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?!\w|\.\d)"), r"\1 Punkt \2 Punkt \3 Punkt \4"),
    (re.compile(r"(?<=\d)\.(?=\d{3}(?!\d))(?<![^\d.]0\.)"), ""),
    (
        re.compile(rf"\b({any_of(_WEEKDAYS)})\.?\s?[-–]\s?({any_of(_WEEKDAYS)})\b\.?"),
        lambda match: f"{_WEEKDAYS[match[1]]} bis {_WEEKDAYS[match[2]]}",
    ),
    (
        re.compile(r"(?<=\d\. )(Jan|Feb|Apr|Aug|Sept?|Okt|Nov|Dez)\b\.?"),
        lambda match: next(month for month in _MONTHS if month.startswith(match[1][:3])),
    ),
    (re.compile(r"\b([01]?\d|2[0-3])\.([0-5]\d)()(?=\sUhr\b)\sUhr"), _time),
    (re.compile(r"\b(\d+)x(?=\s[a-zäöü])"), r"\1 mal"),
    (re.compile(r"(?<!\w)(?<!\d\s)km/h(?!\w)"), "Kilometer pro Stunde"),
    (re.compile(r"\b(\d+) ?x ?(?=\d+(?!\w))"), r"\1 mal "),
    (re.compile(r"(?<=[a-zäöüß])str\.(?=\s\d|\s*$)"), "straße"),
    (re.compile(r"\b(\d{1,2}\.)\s?[-–]\s?(?=\d{1,2}\.(?!\d))"), r"\1 bis "),
    (re.compile(r"\b(\d+(?:,\d+)?)[eE]([+-]?\d{1,3})\b"), r"\1 mal 10 hoch \2"),
    (re.compile(r"(?<=\d)\s?[-–]\s?(?=(?:[01]?\d|2[0-3]):[0-5]\d)"), " bis "),
    (re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?(?![\d:])(?:\s?Uhr)?"), _time),
    (
        re.compile(
            rf"(?:(?P<sign_before>{_MONEY_SIGNS})\s?(?P<units2>\d+)(?:[.,](?P<decimals2>\d+))?"
            rf"|(?P<units>\d+)(?:,(?P<decimals>\d+|-+))?\s?(?P<sign>{_MONEY_SIGNS}))(?!\w)"
        ),
        _money,
    ),
    (re.compile(r"\b(Euro|Cent|Dollar|Franken|Pfund)\s?/\s?(?=[A-Z])"), r"\1 pro "),
    (re.compile(r"(\d\s(?:Millionen|Milliarden|Tausend))\s?€"), r"\1 Euro"),
    (re.compile(rf"(?<![\w./])({any_of(_FRACTIONS)})(?![\w/])"), lambda match: _FRACTIONS[match[1]]),
    (
        re.compile(
            rf"\b(?P<word>{RULERS}|Elisabeth|Heinrich|Karl|Benedikt|Johannes Paul|{_COUNTED})\s"
            rf"(?P<numeral>{ROMAN}|[VX])"
            r"(?![\w]|\.\w)(?P<stop>\.)?(?P<end>\s*$)?"
        ),
        _roman,
    ),
)
_RULES_FOR_UNITS: Rules = (
    (re.compile(rf"(?<![\w.,-])({_NUMBER})\s?([-–])\s?({_NUMBER})(?![\w-])"), _range),
    (
        re.compile(rf"(?<![\w.,])({_NUMBER})\s?({any_of(_OTHER_UNITS)})(?!\w)"),
        lambda match: f"{match[1]} {_UNITS[match[2]]}",
    ),
    (
        re.compile(rf"(?<![\w.,])({_NUMBER})\s({any_of(_UNITS_AFTER_SPACE)})(?!\w)"),
        lambda match: f"{match[1]} {_UNITS[match[2]]}",
    ),
)
_RULES_FOR_SIGNS: Rules = (
    (re.compile(r"(?<![\w.])v?(\d+(?:\.\d+){2,})(?!\w)"), lambda match: match[1].replace(".", " Punkt ")),
    (re.compile(r"(?<!\w)#(?=\d)"), "Nummer "),
    (re.compile(r"(?<!\w)#([^\W\d]\w*)"), r"Hashtag \1"),
    (re.compile(r"(?<!\w)~\s?(?=\d)"), "circa "),
    (re.compile(r"(?<=\w)(?:\^|\*\*)(-?\d+)"), r" hoch \1"),
    (re.compile(r"(?<![\w)])[-−](?=\d)"), "minus "),
    (re.compile(r"(?<=\d)\s?\*\s?(?=\d)"), " mal "),
    (re.compile(r"(?<=\d)\s?/\s?(?=\d)"), " durch "),
    (re.compile(r"(?:(?<=[\w\s])\s?|^)<(?=\s?\w)"), " kleiner als "),
    (re.compile(r"(?:(?<=[\w\s])\s?|^)>(?=\s?\w)"), " größer als "),
    (
        re.compile("(?<![\u0370-\u03ff])[\u0391-\u03c9µ](?![\u0370-\u03ff])"),
        lambda match: f" {GREEK.get(match[0].lower(), match[0]).title()} ",
    ),
    (re.compile(f"[{re.escape(''.join(_SIGNS))}]"), lambda match: _SIGNS[match[0]]),
    (re.compile(r"(?<=[^\W\d_])\s?/\s?(?=[^\W\d_])"), " oder "),
)
_RULES = LanguageRules(_RULES_FOR_AMOUNTS, _RULES_FOR_UNITS, _RULES_FOR_SIGNS)


def normalize_german(text: str) -> str:
    """Apply all rules to a text of one line without markup."""
    return _RULES.apply(text)
