"""Conversations on disk: turns in an SQLite file, attachments as files beside it.

    history.sqlite3              conversations, their turns and parts, and a full-text index
    attachments/<digest>         content of each image or recording, stored once

A turn is on the disk when `Conversation.append` returns, completely or not at all. Attachments are written before the
turn that refers to them and removed after the last one that does, both while the file is locked for writing.
"""

import re
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from assistant.errors import HistoryError
from assistant.events import Usage
from assistant.history.attachment_store import AttachmentStore
from assistant.history.database import Database
from assistant.history.rows import ConversationSummary, OddRowError, parse_head, parse_part, parse_summary
from assistant.history.schema import SCHEMA
from assistant.messages import ContentPart, Message, Reasoning, Role, Text
from assistant.progress import OnNotice, no_notice
from assistant.text_cleaning import clean_line, valid_unicode

TITLE_LENGTH = 60
_EXCERPT_WORDS = 50
"""Number of words that an excerpt is chosen by: SQLite's parser of queries is limited."""


class Conversation:
    """One conversation of the history. It is created in the file with its first turn."""

    def __init__(
        self, history: "History", id: str, model: str, system: str | None, created: datetime, title: str = ""
    ) -> None:
        self.id = id
        self.title = title
        """Beginning of the first message, or empty before it."""
        self.model = model
        self.system = system
        self.created = created
        self._history = history

    def append(self, user: Message, reply: Message, usage: Usage) -> None:
        """Add one turn. It is on the disk when this returns. Raises `HistoryError` if it cannot be written."""
        self.title = self.title or _title(user)
        self._history._append(self, user, reply, usage)  # noqa: SLF001 - two halves of one thing


class History:
    """All conversations, in the SQLite file `path` and the folder `attachments` beside it.

    Its methods block, may be called from any thread, and raise `HistoryError`.
    """

    def __init__(self, path: Path, on_notice: OnNotice = no_notice) -> None:
        """Create a history. No file is touched.

        Args:
            path: SQLite file; created by the first turn.
            on_notice: Receives notices, such as that a damaged file was replaced or an image is missing.
        """
        self.path = path
        self._on_notice = on_notice
        self._database = Database(path, SCHEMA, on_notice)
        self._attachments = AttachmentStore(path.parent / "attachments")

    def create(self, model: str, system: str | None) -> Conversation:
        """Return a new conversation. Nothing is written before its first turn."""
        return Conversation(self, secrets.token_hex(6), model, system, _now())

    def latest(self) -> str | None:
        """Return the id of the conversation with the latest turn, or None if there is none."""
        latest = next(iter(self._summaries(self._database.read(_conversations))), None)
        return latest.id if latest else None

    def find(self, id_prefix: str) -> str:
        """Return the id that starts with `id_prefix`. Raises `HistoryError` if none or several do."""

        def matches(connection: sqlite3.Connection) -> list[str]:
            query = "SELECT id FROM conversations WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2"
            return [found for (found,) in connection.execute(query, (valid_unicode(id_prefix),))]

        match self._database.read(matches) if id_prefix else []:
            case [found]:
                return found
            case []:
                raise HistoryError(
                    f"There is no conversation {clean_line(id_prefix, 40)}: `parley history list` shows those kept."
                )
            case _:
                raise HistoryError(
                    f"Several conversations begin with {clean_line(id_prefix, 40)}: give more of the id."
                )

    def load(self, id: str) -> tuple[Conversation, list[Message]]:
        """Return the conversation whose id starts with `id`, and its messages.

        An attachment that is missing or damaged is replaced by a short text, with a notice.
        """
        identifier = self.find(id)

        def rows(connection: sqlite3.Connection) -> tuple[sqlite3.Row | None, Sequence[sqlite3.Row]]:
            connection.row_factory = sqlite3.Row
            head = connection.execute("SELECT * FROM conversations WHERE id = ?", (identifier,)).fetchone()
            parts = connection.execute(
                """SELECT turns.id AS turn_id, turns.interrupted, turns.reasoning, parts.* FROM turns
                LEFT JOIN parts ON parts.turn = turns.id WHERE conversation = ? ORDER BY turns.id, parts.id""",
                (identifier,),
            )
            return head, parts.fetchall()

        row, parts = self._database.read(rows)
        if row is None:
            raise HistoryError(
                f"The conversation {identifier} has just been deleted: `parley history list` shows the others."
            )
        head = parse_head(row)
        conversation = Conversation(self, identifier, head.model, head.system, head.created, head.title)
        odd: list[str] = []
        turns = groupby(parts, key=lambda row: row["turn_id"])
        messages = [message for _, rows in turns for message in self._messages([*rows], odd.append)]
        self._report("parts of this conversation", odd)
        return conversation, messages

    def instructions(self, id: str) -> str | None:
        """Return the system instructions of the conversation `id`, None if it has none. Reads no messages."""

        def system(connection: sqlite3.Connection) -> tuple[object] | None:
            row: tuple[object] | None = connection.execute(
                "SELECT system FROM conversations WHERE id = ?", (id,)
            ).fetchone()
            return row

        row = self._database.read(system)
        return row[0] if row is not None and isinstance(row[0], str) else None

    def search(self, query: str) -> Sequence[ConversationSummary]:
        """Return the conversations that contain all words of `query`, the best match first, with excerpts.

        A word also matches longer ones that begin with it.
        """
        # Quoted, so that no word is taken for an operator of FTS5's query language.
        words = [f'"{word}"*' for word in dict.fromkeys(re.findall(r"\w+", valid_unicode(query)))]

        def search(connection: sqlite3.Connection) -> tuple[list[sqlite3.Row], dict[str, str]]:
            everywhere = [{identifier for identifier, _ in _matches(connection, word)} for word in words]
            wanted = set.intersection(*everywhere)
            excerpts: dict[str, str] = {}
            for identifier, excerpt in _matches(connection, " OR ".join(words[:_EXCERPT_WORDS])):
                if identifier in wanted:
                    excerpts.setdefault(identifier, clean_line(str(excerpt or ""), 300))
            by_id = {row["id"]: row for row in _conversations(connection)}
            # The file may have turns of no conversation.
            return [by_id[identifier] for identifier in excerpts if identifier in by_id], excerpts

        return self._summaries(*self._database.read(search)) if words else []

    def delete(self, id: str) -> None:
        """Delete the conversation whose id starts with `id`, and the attachments that no other one refers to."""
        identifier = self.find(id)

        def delete(connection: sqlite3.Connection) -> list[str]:
            used = connection.execute(
                """SELECT DISTINCT digest FROM parts JOIN turns ON turns.id = parts.turn
                WHERE conversation = ? AND digest IS NOT NULL""",
                (identifier,),
            )
            digests = [digest for (digest,) in used if isinstance(digest, str)]
            connection.execute("DELETE FROM conversations WHERE id = ?", (identifier,))
            # Without this the index keeps deleted words until its segments are merged.
            connection.execute("INSERT INTO words (words) VALUES ('optimize')")
            return digests

        def remove_unused(connection: sqlite3.Connection) -> None:
            for digest in digests:
                (uses,) = connection.execute("SELECT count(*) FROM parts WHERE digest = ?", (digest,)).fetchone()
                if not uses:
                    self._attachments.remove(digest)

        digests = self._database.write(delete)
        # A second transaction: the files are needed until the deletion is on the disk, and another process may have
        # referred to one of them since.
        if digests:
            self._database.write(remove_unused)

    def list(self) -> Sequence[ConversationSummary]:
        """Return all conversations, the one with the latest turn first."""
        return self._summaries(self._database.read(_conversations))

    def _summaries(
        self, rows: Iterable[sqlite3.Row], excerpts: dict[str, str] | None = None
    ) -> Sequence[ConversationSummary]:
        """Return the conversations in `rows`. Those that cannot be read are left out, with a notice."""
        summaries, odd = [], []
        for row in rows:
            try:
                summaries.append(parse_summary(row, (excerpts or {}).get(row["id"], "")))
            except OddRowError:
                odd.append(clean_line(str(row["id"]), 40))
        self._report("conversations", odd)
        return summaries

    def _report(self, what: str, odd: Sequence[str]) -> None:
        if odd:
            named = ", ".join(odd[:3]) + (", …" if len(odd) > 3 else "")
            count, verb = ("One", "is") if len(odd) == 1 else (str(len(odd)), "are")
            self._on_notice(
                f"{count} of the {what} in {self.path} cannot be read and {verb} left out, "
                f"because another program has changed the file: {named}."
            )

    def _append(self, conversation: Conversation, user: Message, reply: Message, usage: Usage) -> None:
        def append(connection: sqlite3.Connection) -> None:
            # With every turn: the conversation may have been deleted, or its file replaced, since the last one.
            texts = (conversation.id, conversation.title, conversation.model, conversation.system)
            head = [text if text is None else valid_unicode(text) for text in texts]
            connection.execute(
                """INSERT INTO conversations (id, title, model, system, created) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT DO NOTHING""",
                (*head, conversation.created.isoformat()),
            )
            row = connection.execute(
                """INSERT INTO turns (conversation, finished, interrupted, prompt_tokens, cached_tokens, reply_tokens,
                first_token_seconds, total_seconds, reasoning) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (
                    *(conversation.id, _now().isoformat(), reply.interrupted),
                    *(usage.prompt_tokens, usage.cached_tokens, usage.reply_tokens),
                    *(usage.first_token_seconds, usage.total_seconds, reply.reasoning or None),
                ),
            ).lastrowid
            for message in (user, reply):
                for part in message.parts:
                    self._append_part(connection, row, message.role, part)

        self._database.write(append)

    def _append_part(self, connection: sqlite3.Connection, turn: int | None, role: Role, part: ContentPart) -> None:
        if isinstance(part, Reasoning):
            # Kept with the turn.
            return
        values: dict[str, str | int | None] = {"turn": turn, "role": role}
        if isinstance(part, Text):
            values["text"] = part.text
        else:
            self._attachments.write(part.digest, part.data)
            values |= {name: value for name, value in vars(part).items() if name != "data"}
        columns, placeholders = ", ".join(values), ", ".join("?" * len(values))
        # SQLite takes no lone surrogates, and one text must not keep the turn from being saved.
        row = [valid_unicode(value) if isinstance(value, str) else value for value in values.values()]
        connection.execute(f"INSERT INTO parts ({columns}) VALUES ({placeholders})", row)  # noqa: S608

    def _messages(self, rows: Sequence[sqlite3.Row], on_odd: Callable[[str], object]) -> tuple[Message, Message]:
        """Return the two messages of a turn from the rows of its parts. `on_odd` receives the ids of parts left out."""
        parts: dict[str, list[ContentPart]] = {"user": [], "assistant": []}
        for row in rows:
            if row["id"] is None:  # a turn without parts
                continue
            try:
                parts[row["role"]].append(parse_part(row, self._attachments.read, self._on_notice))
            except (OddRowError, KeyError):
                on_odd(str(row["id"]))
        interrupted = bool(rows[0]["interrupted"])
        if isinstance(reasoning := rows[0]["reasoning"], str) and reasoning:
            parts["assistant"].insert(0, Reasoning(reasoning))
        return Message("user", tuple(parts["user"])), Message("assistant", tuple(parts["assistant"]), interrupted)


def _conversations(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """Return a row for each conversation, the one with the latest turn first."""
    # Ordered by number and not by time: the clock may be set back.
    cursor = connection.execute(
        """SELECT conversations.id, title, model, created, max(finished) AS updated, count(*) AS turns
        FROM conversations JOIN turns ON turns.conversation = conversations.id
        GROUP BY conversations.id ORDER BY max(turns.id) DESC"""
    )
    cursor.row_factory = sqlite3.Row
    return cursor.fetchall()


def _matches(connection: sqlite3.Connection, pattern: str) -> Iterator[tuple[str, str]]:
    """Return conversation id and excerpt of each message that matches, the best first."""
    return connection.execute(
        """SELECT turns.conversation, snippet(words, 0, '', '', '…', 16) FROM words
        JOIN parts ON parts.id = words.rowid JOIN turns ON turns.id = parts.turn
        WHERE words MATCH ? ORDER BY words.rank""",
        (pattern,),
    )


def _title(message: Message) -> str:
    """Return the beginning of the text of `message`, or the names of its images, on one line."""
    text = message.text or ", ".join(image.name for image in message.images)
    return clean_line(text, TITLE_LENGTH)


def _now() -> datetime:
    return datetime.now(UTC)
