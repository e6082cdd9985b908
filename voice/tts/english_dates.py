"""English words for dates and times of day."""

import re
from datetime import date

from voice.tts.english_tables import FRACTIONS, MONTHS, WEEKDAYS
from voice.tts.text_rules import Rules, count

_MONTH = "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
_WEEKDAY = "Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun"


def _day_name(match: re.Match[str]) -> str:
    """Return "Monday" for "Mon."."""
    return next(name for name in WEEKDAYS if name.startswith(match[1][:3]))


def _month_name(match: re.Match[str]) -> str:
    """Return "November" for "Nov."."""
    return next(name for name in MONTHS if name.startswith(match[1][:3]))


def _span(match: re.Match[str]) -> str:
    """Return "Monday to Friday" for "Mon-Fri", "January to March" for "Jan–Mar"."""
    names = (*WEEKDAYS, *MONTHS)
    first, last = (next(name for name in names if name.startswith(each[:3])) for each in match.groups())
    return f"{first} to {last}"


def _month_and_day(match: re.Match[str]) -> str:
    """Return "on November 30" for "on 11/30". What may be a fraction is a date after "on" only."""
    word, month, day = match.groups()
    return match[0] if word != "on" and f"{month}/{day}" in FRACTIONS else f"{word} {MONTHS[int(month) - 1]} {int(day)}"


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


def _numeric_date(match: re.Match[str]) -> str:
    """Return "December 5, 2026" for "12/05/2026". A first number over 12 is the day; what is no date stays."""
    first, second, year = int(match[1]), int(match[3]), match[4]
    month, day = (second, first) if first > 12 or match[2] == "." else (first, second)
    if len(year) == 2:
        year = f"20{year}"
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return f"{MONTHS[month - 1]} {day}, {year}"


def _time(match: re.Match[str]) -> str:
    """Return "16 35" for "16:35", "9 o'clock" for "9:00", "17 hundred" for "17:00", "9 oh 5 A M" for "9:05 am"."""
    hour, minute, half = str(int(match[1])), match[2], match[4] or ""
    if half:
        half = f" {half[0].upper()} M"
    if match[3]:
        return f"{hour} {minute} and {count(str(int(match[3])), 'second', 'seconds')}{half}"
    if minute == "00":
        return hour + (half or (" hundred" if int(hour) > 12 else " o'clock"))
    return f"{hour} {'oh ' + minute[1] if minute[0] == '0' else minute}{half}"


DATE_RULES: Rules = (
    (re.compile(rf"\b({_WEEKDAY})\.?[-–]({_WEEKDAY})\b\.?"), _span),
    (re.compile(rf"\b({_MONTH}|May)\.?[-–]({_MONTH}|May)\b\.?"), _span),
    (re.compile(r"(?<=day )(\d{1,2})[-–](\d{1,2})(?![\w:-])"), r"\1 to \2"),
    # "The Sun." is a star, and "May" is a word.
    (re.compile(r"\b(Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun(?=\.,))\.(?!\w)"), _day_name),
    (re.compile(rf"\b({_MONTH})\b\.?(?=\s\d)"), _month_name),
    (re.compile(rf"(?<=\d\s)({_MONTH})\b\.?"), _month_name),
    (re.compile(r"\b9/11\b(?!/)"), "9 11"),
    (
        re.compile(r"\b(on|by|until|since|due|before|after)\s(0?[1-9]|1[0-2])/(0?[1-9]|[12]\d|3[01])(?![\d/])"),
        _month_and_day,
    ),
    (re.compile(r"\b(\d{4})/(\d\d)/(\d\d)(?![\w/-])"), _date),
    (re.compile(r"(?<=\d-\d\d)T(\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(Z?)\b"), _clock),
    (re.compile(r"\b((?:19|20)\d\d)/(\d\d)(?![\w/])"), _years),
    (re.compile(r"\b(\d{4})-(\d\d)-(\d\d)(?![\w-])"), _date),
    (re.compile(r"(?<![\d/.])(\d{1,2})([/.])(\d{1,2})\2(\d{4}|\d\d)(?![\d/]|\.\d)"), _numeric_date),
    (re.compile(r"(?<=\d)\s?[-–]\s?(?=(?:[01]?\d|2[0-3]):[0-5]\d)"), " to "),
    (
        re.compile(r"(?<![:\d.])(1[0-2]|[1-9])\s?([ap])\.?m\b\.?", re.IGNORECASE),
        lambda match: f"{match[1]} {match[2].upper()} M",
    ),
    (re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?(?:\s?([ap])\.?m\b\.?)?(?![\d:])", re.IGNORECASE), _time),
    (re.compile(r"(?<= [AP] M)\s?[-–]\s?(?=\d)"), " to "),
    (re.compile(r"\b(\d{1,2})h\s?(\d{1,2})\s?m(?:in)?\b"), r"\1 h \2 min"),
)
