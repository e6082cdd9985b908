"""Spell what people read character by character: telephone and account numbers, order codes, plates, formulas.

    "0800-123-4567"                 "0 8 0 0, 1 2 3, 4 5 6 7"
    "DE89 3704 0044 0532 0130 00"   "D E 8 9, 3 7 0 4, 0 0 4 4, 0 5 3 2, 0 1 3 0, 0 0"
    "A1B2C3", "LH4523", "MP3"       "A 1 B 2 C 3", "L H 4 5 2 3", "M P 3"
    "C6H12O6"                       "C 6 H 12 O 6"
    "PIN 4711", "007"               "PIN 4 7 1 1", "0 0 7"

The rules are the same in every language. They run after those for dates, times and money; words of letters and digits
come after units as well.
"""

import re

_ELEMENTS = frozenset(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Ag Cd Sn Sb Te I Xe Cs Ba W Pt Au Hg Pb Bi U".split()
)
_PHONE = re.compile(
    r"(?<![\w.,])(?:"
    r"\+\d{1,3}(?:[ .\-/]?\(?\d{1,5}\)?){2,6}"  # +49 (0)30 123 4567
    r"|\(\d{2,5}\)[ \-]?\d{2,4}(?:[ \-]\d{2,5}){0,3}"  # (030) 123 4567
    r"|(?<!\d )0\d{1,4}(?:(?: ?[\-/–] ?|[ .])\d{2,8}){1,4}"  # 0800-123-4567
    r"|\d{3}[\-.]\d{4}|1?[\-.]?\d{3}[\-.]\d{3}[\-.]\d{4}"  # 555-1234, 212-555-1234
    r")(?![\w]|[.,]\d)"
)
_GROUPED_DIGITS = re.compile(r"(?<![\w.,])\d{1,6}(?:-\d{1,7}){2,}(?![\w])|(?<![\w.,])\d{4}(?: \d{4}){2,4}(?![\w])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
_MAC = re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b")
_PLATE = re.compile(r"\b([A-ZÄÖÜ]{1,3})-([A-Z]{1,2}) ?(\d{1,4}[EH]?)\b")
_AFTER_WORD = re.compile(
    r"\b((?:PIN|TAN|code|Code|ID|id|ZIP|Zip|zip|PLZ|postcode|order|Order|ticket|Ticket|tracking|account|Account|invoice"
    r"|Kundennummer|Bestellnummer|Bestellung|Rechnung|Kontonummer|Konto|reference|ref|Ref|serial|extension|password"
    r"|Passwort|flight|Flug)(?:[ -](?:number|no\.?|nr\.?|Nr\.?|code|Code))?:?\s#?)(\d{3,}(?:-\d+)*)(?![\w]|[.,:/]\d)"
)
_SECRET = re.compile(
    r"\b((?:PIN|TAN|code|Code|password|Passwort|ID|Kundennummer|ZIP|PLZ)\s(?:is|was|ist|war|lautet):?\s)"
    r"(\d{3,})(?![\w]|[.,:/]\d)"
)
_EMERGENCY = re.compile(r"\b((?:[Cc]all|[Dd]ial|[Nn]otruf|[Rr]uf)\s)(911|112|999|110|113|119)\b")
_LONG_NUMBER = re.compile(r"(?<![\w.,])(?:\d{8,}|0\d+)(?![\w]|[.,:/]\d)")
_MIXED = re.compile(r"(?<![\w.@/])(?=\w*\d)(?=\w*[^\W\d_])[^\W_]+(?:-(?=\w*\d)[A-Z0-9]+)*(?![\w@])")
_YEAR = re.compile(r"(FY|CY|SS|WS|HY)((?:19|20)\d\d)")
# "1st", "1980s", "3rd", "10x", "100k", "2nd", "v2" are read by every voice.
_READ_AS_IT_IS = re.compile(r"\d+(?:st|nd|rd|th|s|x|k|er|e|er|o|a|%)?|'?\d0s|[vV]\d+|[a-z]+\d{1,2}|\d{1,2}[a-z]+")
_LETTERED_PHONE = re.compile(r"(?<![\w-])(?:(1)-)?(\d{3})-([A-Z]{2,}(?:-[A-Z]{2,})*)\b(?!-?\d)")  # 1-800-FLOWERS
_STATE_AND_ZIP = re.compile(r"(?<=, )([A-Z]{2})\s(\d{5})(-\d{4})?\b")
_ABOUT_ZIP = re.compile(r"\b(?:zip|post(?:al )?codes?|plz|postleitzahl)\b", re.IGNORECASE)
_FIVE_DIGITS = re.compile(r"(?<![\w.,-])\d{5}(?![\w]|[.,]\d)")
_HEXADECIMAL = re.compile(r"\b0[xX]([0-9A-Fa-f]{2,})\b")
_CODE_OF_GROUPS = re.compile(r"(?<![\w-])(?=[A-Z0-9-]*\d)(?=[\d-]*[A-Z])[A-Z0-9]{1,8}(?:-[A-Z0-9]{1,8}){2,}(?![\w-])")
_RUN = re.compile(r"\d+|[^\W\d_]")
_POSTCODE = re.compile(r"\b([A-Z]{1,2}\d[A-Z\d]?) (\d[A-Z]{2})\b")


def spell_numbers(text: str) -> str:
    """Return a text of one line in which the numbers of telephones, accounts, cards and orders are spelled."""
    text = _IBAN.sub(lambda match: _spell_groups(match[0]), text)
    text = _MAC.sub(lambda match: ", ".join(" ".join(pair) for pair in re.split("[:-]", match[0])), text)
    text = _POSTCODE.sub(lambda match: f"{' '.join(match[1])}, {' '.join(match[2])}", text)
    text = _LETTERED_PHONE.sub(
        lambda match: " ".join(filter(None, (match[1], match[2], match[3].replace("-", " ").title()))), text
    )
    text = _STATE_AND_ZIP.sub(lambda match: " ".join((match[1] + match[2] + (match[3] or "")).replace("-", ",")), text)
    if _ABOUT_ZIP.search(text):
        text = _FIVE_DIGITS.sub(lambda match: " ".join(match[0]), text)
    text = _HEXADECIMAL.sub(lambda match: f"0 x {' '.join(match[1].upper())}", text)
    text = _CODE_OF_GROUPS.sub(lambda match: ", ".join(map(" ".join, match[0].split("-"))), text)
    text = _PHONE.sub(lambda match: _spell_phone(match[0]), text)
    text = _GROUPED_DIGITS.sub(lambda match: _spell_phone(match[0]), text)
    text = _PLATE.sub(lambda match: ", ".join(" ".join(group) for group in match.groups()), text)
    text = _EMERGENCY.sub(lambda match: match[1] + " ".join(match[2]), text)
    text = _SECRET.sub(lambda match: match[1] + " ".join(match[2]), text)
    text = _AFTER_WORD.sub(lambda match: match[1] + ", ".join(map(" ".join, match[2].split("-"))), text)
    return _LONG_NUMBER.sub(lambda match: " ".join(match[0]), text)


def spell_words(text: str) -> str:
    """Return a text of one line in which words of letters and digits are spelled."""
    return _MIXED.sub(lambda match: _spell_mixed(match[0]), text)


def _spell_phone(number: str) -> str:
    """Return the digits of each group with a pause between groups: "+49 30 12" becomes "plus 4 9, 3 0, 1 2"."""
    plus = "plus " if number.startswith("+") else ""
    return plus + ", ".join(" ".join(group) for group in re.findall(r"\d+", number))


def _spell_groups(code: str) -> str:
    compact = code.replace(" ", "")
    return ", ".join(" ".join(compact[start : start + 4]) for start in range(0, len(compact), 4))


def _spell_mixed(code: str) -> str:
    """Spell a word of letters and digits; a short number in it is read as one."""
    if "-" in code:
        return ", ".join(_spell_mixed(part) if not part.isdigit() else " ".join(part) for part in code.split("-"))
    if _READ_AS_IT_IS.fullmatch(code):
        return code
    if year := _YEAR.fullmatch(code):
        return f"{' '.join(year[1])} {year[2]}"
    runs = _RUN.findall(code)
    if _is_formula(code):
        return " ".join(runs).upper()
    if any(character.islower() for character in code) and sum(run.isdigit() for run in runs) == 1:
        # A name with a number, such as Covid19 or Web3.
        return re.sub(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", " ", code)
    numbers = [run for run in runs if run.isdigit()]
    whole = len(numbers) == 1 and len(numbers[0]) <= 2 and not numbers[0].startswith("0")
    return " ".join(run if whole else " ".join(run) for run in runs)


def _is_formula(code: str) -> bool:
    """Tell whether a code is a chemical formula, such as C6H12O6."""
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", code)
    return "".join(symbol + count for symbol, count in parts) == code and all(
        symbol in _ELEMENTS and not count.startswith("0") and len(count) <= 2 for symbol, count in parts
    )
