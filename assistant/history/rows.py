"""Rows of the history's file as values. The file is valid, but another program may have put anything into its rows."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from assistant.messages import Audio, ContentPart, Image, Text
from assistant.text_cleaning import clean_line

_MAX_TITLE_LENGTH = 200
_MAX_NUMBER = 2**31


class OddRowError(ValueError):
    """A row that this program has not written."""


@dataclass(frozen=True)
class ConversationSummary:
    """A conversation in a list. Times are UTC. `excerpt` is the text that a search found, or empty."""

    id: str
    title: str
    model: str
    created: datetime
    updated: datetime
    turns: int
    excerpt: str = ""


@dataclass(frozen=True)
class ConversationHead:
    """Facts of a conversation that the file has beside its turns."""

    title: str
    model: str
    system: str | None
    created: datetime


def parse_summary(row: sqlite3.Row, excerpt: str = "") -> ConversationSummary:
    """Return a conversation from its row and the number and latest time of its turns. Raises `OddRowError`."""
    identifier = _text(row["id"])
    if not identifier or clean_line(identifier) != identifier:
        raise OddRowError("id")
    created = _time(row["created"])
    try:
        updated = _time(row["updated"])
    except OddRowError:
        # One turn with an odd time is no reason to hide the others.
        updated = created
    title = clean_line(_text(row["title"]), _MAX_TITLE_LENGTH)
    model = clean_line(_text(row["model"]), _MAX_TITLE_LENGTH)
    return ConversationSummary(identifier, title, model, created, updated, int(row["turns"]), excerpt)


def parse_head(row: sqlite3.Row) -> ConversationHead:
    """Return what is known of a conversation that is opened by its id: its turns are shown whatever else is odd."""

    def text(name: str) -> str:
        return row[name] if isinstance(row[name], str) else ""

    try:
        created = _time(row["created"])
    except OddRowError:
        created = datetime.fromtimestamp(0, UTC)
    return ConversationHead(
        clean_line(text("title"), _MAX_TITLE_LENGTH),
        clean_line(text("model"), _MAX_TITLE_LENGTH),
        row["system"] if isinstance(row["system"], str) else None,
        created,
    )


def parse_part(
    row: sqlite3.Row, read: Callable[[str], bytes | None], on_missing: Callable[[str], object]
) -> ContentPart:
    """Return a part of a message.

    Args:
        row: Its row.
        read: Returns the content of an attachment, or None if that is missing or damaged.
        on_missing: Receives a sentence about an attachment that is missing.

    Raises:
        OddRowError: The row is none that this program has written.
    """
    if row["digest"] is None:
        return Text(_text(row["text"]))
    digest = _text(row["digest"])
    if row["sample_rate"] is not None:
        rate = _number(row["sample_rate"])
        data = read(digest)
        what = "recording"
        attachment: ContentPart | None = Audio(data, rate, digest) if data is not None else None
    else:
        name, media_type = _text(row["name"]), _text(row["media_type"])
        width, height = _number(row["width"]), _number(row["height"])
        data = read(digest)
        what = f"picture {clean_line(name)}"
        attachment = Image(data, media_type, width, height, name, digest) if data is not None else None
    if attachment is None:
        on_missing(f"The {what} of this conversation is missing or damaged: {clean_line(digest, 80)} is gone.")
        return Text(f"[The {what} is missing.]")
    return attachment


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise OddRowError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or not 0 < value < _MAX_NUMBER:
        raise OddRowError
    return value


def _time(value: object) -> datetime:
    """Return a time in UTC, far enough from the ends of the calendar to be shown in any time zone."""
    try:
        time = datetime.fromisoformat(_text(value)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise OddRowError from error
    if not 1900 < time.year < 9000:
        raise OddRowError
    return time
