"""Conversations on disk: turns in an SQLite file, attachments as files beside it.

    history.sqlite3              conversations, their turns and parts, and a full-text index
    attachments/<digest>         content of each image or recording, stored once

A turn is on the disk when `Conversation.append` returns, completely or not at all. Attachments are written before the
turn that refers to them and removed after the last one that does, both while the file is locked for writing.
"""

import re
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from assistant.errors import HistoryError
from assistant.events import Usage
from assistant.history.attachment_store import AttachmentStore
from assistant.history.database import Database
from assistant.history.schema import MIGRATIONS
from assistant.messages import Audio, ContentPart, Image, Message, Role, Text
from assistant.progress import OnNotice, no_notice

TITLE_LENGTH = 60


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
        self._database = Database(path, MIGRATIONS, on_notice)
        self._attachments = AttachmentStore(path.parent / "attachments")

    def create(self, model: str, system: str | None) -> Conversation:
        """Return a new conversation. Nothing is written before its first turn."""
        return Conversation(self, secrets.token_hex(6), model, system, _now())

    def latest(self) -> str | None:
        """Return the id of the conversation with the latest turn, or None if there is none."""
        summaries = self._database.read(lambda connection: list(_summaries(connection, limit=1)))
        return summaries[0].id if summaries else None

    def find(self, id_prefix: str) -> str:
        """Return the id that starts with `id_prefix`. Raises `HistoryError` if none or several do."""

        def matches(connection: sqlite3.Connection) -> list[str]:
            query = "SELECT id FROM conversations WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2"
            return [found for (found,) in connection.execute(query, (id_prefix,))]

        match self._database.read(matches) if id_prefix else []:
            case [found]:
                return found
            case []:
                raise HistoryError(f"There is no conversation {id_prefix}: `parley history list` shows those kept.")
            case _:
                raise HistoryError(f"Several conversations begin with {id_prefix}: give more of the id.")

    def load(self, id: str) -> tuple[Conversation, list[Message]]:
        """Return the conversation whose id starts with `id`, and its messages.

        An attachment that is missing or damaged is replaced by a short text, with a notice.
        """
        identifier = self.find(id)

        def rows(connection: sqlite3.Connection) -> tuple[sqlite3.Row | None, Sequence[sqlite3.Row]]:
            connection.row_factory = sqlite3.Row
            head = connection.execute("SELECT * FROM conversations WHERE id = ?", (identifier,)).fetchone()
            parts = connection.execute(
                """SELECT turns.id AS turn_id, turns.interrupted, parts.* FROM turns
                LEFT JOIN parts ON parts.turn = turns.id WHERE conversation = ? ORDER BY turns.id, parts.id""",
                (identifier,),
            )
            return head, parts.fetchall()

        head, parts = self._database.read(rows)
        if head is None:
            raise HistoryError(
                f"The conversation {identifier} has just been deleted: `parley history list` shows the others."
            )
        created = datetime.fromisoformat(head["created"])
        conversation = Conversation(self, identifier, head["model"], head["system"], created, head["title"])
        turns = groupby(parts, key=lambda row: row["turn_id"])
        return conversation, [message for _, rows in turns for message in self._messages([*rows])]

    def search(self, query: str) -> Sequence[ConversationSummary]:
        """Return the conversations that contain all words of `query`, the best match first, with excerpts.

        A word also matches longer ones that begin with it.
        """
        # Quoted, so that no word is taken for an operator of FTS5's query language.
        words = [f'"{word}"*' for word in re.findall(r"\w+", query)]

        def search(connection: sqlite3.Connection) -> list[ConversationSummary]:
            everywhere = [{identifier for identifier, _ in _matches(connection, word)} for word in words]
            wanted = set.intersection(*everywhere)
            excerpts: dict[str, str] = {}
            for identifier, excerpt in _matches(connection, " OR ".join(words)):
                if identifier in wanted:
                    excerpts.setdefault(identifier, " ".join(excerpt.split()))
            by_id = {summary.id: summary for summary in _summaries(connection, excerpts)}
            return [by_id[identifier] for identifier in excerpts]

        return self._database.read(search) if words else []

    def delete(self, id: str) -> None:
        """Delete the conversation whose id starts with `id`, and the attachments that no other one refers to."""
        identifier = self.find(id)

        def delete(connection: sqlite3.Connection) -> list[str]:
            used = connection.execute(
                """SELECT DISTINCT digest FROM parts JOIN turns ON turns.id = parts.turn
                WHERE conversation = ? AND digest IS NOT NULL""",
                (identifier,),
            )
            digests = [digest for (digest,) in used]
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
        return self._database.read(lambda connection: [*_summaries(connection)])

    def _append(self, conversation: Conversation, user: Message, reply: Message, usage: Usage) -> None:
        def append(connection: sqlite3.Connection) -> None:
            # With every turn: the conversation may have been deleted, or its file replaced, since the last one.
            head = (conversation.id, conversation.title, conversation.model, conversation.system)
            connection.execute(
                """INSERT INTO conversations (id, title, model, system, created) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT DO NOTHING""",
                (*head, conversation.created.isoformat()),
            )
            row = connection.execute(
                """INSERT INTO turns (conversation, finished, interrupted, prompt_tokens, cached_tokens, reply_tokens,
                first_token_seconds, total_seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
                (conversation.id, _now().isoformat(), reply.interrupted, *astuple(usage)),
            ).lastrowid
            for message in (user, reply):
                for part in message.parts:
                    self._append_part(connection, row, message.role, part)

        self._database.write(append)

    def _append_part(self, connection: sqlite3.Connection, turn: int | None, role: Role, part: ContentPart) -> None:
        values: dict[str, str | int | None] = {"turn": turn, "role": role}
        if isinstance(part, Text):
            values["text"] = part.text
        else:
            self._attachments.write(part.digest, part.data)
            values |= {name: value for name, value in vars(part).items() if name != "data"}
        columns, placeholders = ", ".join(values), ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO parts ({columns}) VALUES ({placeholders})", tuple(values.values()))  # noqa: S608

    def _messages(self, rows: Sequence[sqlite3.Row]) -> tuple[Message, Message]:
        """Return the two messages of a turn from the rows of its parts."""
        parts: dict[str, list[ContentPart]] = {"user": [], "assistant": []}
        for row in rows:
            if row["role"] is not None:
                parts[row["role"]].append(self._part(row))
        interrupted = bool(rows[0]["interrupted"])
        return Message("user", tuple(parts["user"])), Message("assistant", tuple(parts["assistant"]), interrupted)

    def _part(self, row: sqlite3.Row) -> ContentPart:
        if row["digest"] is None:
            return Text(row["text"])
        data = self._attachments.read(row["digest"])
        if data is None:
            what = f"picture {row['name']}" if row["name"] is not None else "recording"
            self._on_notice(f"The {what} of this conversation is missing or damaged: {row['digest']} is gone.")
            return Text(f"[The {what} is missing.]")
        if row["sample_rate"] is not None:
            return Audio(data, row["sample_rate"], row["digest"])
        return Image(data, row["media_type"], row["width"], row["height"], row["name"], row["digest"])


def _summaries(
    connection: sqlite3.Connection, excerpts: Mapping[str, str] | None = None, limit: int = -1
) -> Iterator[ConversationSummary]:
    """Yield conversations, the one with the latest turn first; only those in `excerpts` if it is given."""
    rows = connection.execute(
        """SELECT conversations.id, title, model, created, max(finished), count(*) FROM conversations
        JOIN turns ON turns.conversation = conversations.id GROUP BY conversations.id ORDER BY max(turns.id) DESC
        LIMIT ?""",
        (limit,),
    )
    for identifier, title, model, created, updated, turns in rows:
        if excerpts is None or identifier in excerpts:
            times = (datetime.fromisoformat(created), datetime.fromisoformat(updated))
            yield ConversationSummary(identifier, title, model, *times, turns, (excerpts or {}).get(identifier, ""))


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
    line = "".join(character for character in " ".join(text.split()) if character.isprintable())
    return line if len(line) <= TITLE_LENGTH else f"{line[: TITLE_LENGTH - 1].rstrip()}…"


def _now() -> datetime:
    return datetime.now(UTC)
