"""Conversations on disk: turns in an SQLite file, pictures as files beside it.

    history.sqlite3              conversations, their turns, the parts of these, and an index of all words
    attachments/<digest>         the bytes of each picture or recording, once, however often it is shown

A turn is on the disk when `Conversation.append` returns, whole or not at all. Attachments are written before the turn
that refers to them, and removed after the last one that does, both while the file is locked for writing.
"""

import re
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from assistant.errors import HistoryError
from assistant.events import Usage
from assistant.history.attachment_store import AttachmentStore
from assistant.history.database import Database
from assistant.messages import Audio, ContentPart, Image, Message, Role, Text

TITLE_LENGTH = 60

MIGRATIONS = (
    (
        """CREATE TABLE conversations (
            id TEXT PRIMARY KEY,
            title TEXT NOT NULL,
            model TEXT NOT NULL,
            system TEXT,
            created TEXT NOT NULL
        )""",
        """CREATE TABLE turns (
            id INTEGER PRIMARY KEY,
            conversation TEXT NOT NULL REFERENCES conversations ON DELETE CASCADE,
            finished TEXT NOT NULL,
            interrupted INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            reply_tokens INTEGER NOT NULL,
            first_token_seconds REAL NOT NULL,
            total_seconds REAL NOT NULL
        )""",
        "CREATE INDEX turns_of_conversation ON turns (conversation)",
        """CREATE TABLE parts (
            id INTEGER PRIMARY KEY,
            turn INTEGER NOT NULL REFERENCES turns ON DELETE CASCADE,
            role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
            text TEXT,
            digest TEXT,
            media_type TEXT,
            width INTEGER,
            height INTEGER,
            name TEXT,
            sample_rate INTEGER,
            CHECK ((text IS NULL) <> (digest IS NULL))
        )""",
        "CREATE INDEX parts_of_turn ON parts (turn)",
        "CREATE INDEX parts_with_digest ON parts (digest) WHERE digest IS NOT NULL",
        """CREATE VIRTUAL TABLE words USING fts5(
            text, content='parts', content_rowid='id', tokenize='unicode61 remove_diacritics 2'
        )""",
        """CREATE TRIGGER words_of_new_part AFTER INSERT ON parts WHEN new.text IS NOT NULL BEGIN
            INSERT INTO words (rowid, text) VALUES (new.id, new.text);
        END""",
        """CREATE TRIGGER words_of_deleted_part AFTER DELETE ON parts WHEN old.text IS NOT NULL BEGIN
            INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
        END""",
        """CREATE TRIGGER words_of_changed_part AFTER UPDATE OF text ON parts WHEN old.text IS NOT NULL BEGIN
            INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
            INSERT INTO words (rowid, text) VALUES (new.id, new.text);
        END""",
    ),
)
"""The statements that lead from each version of the file (`PRAGMA user_version`) to the next."""


@dataclass(frozen=True)
class ConversationSummary:
    """A conversation in a list. Times are UTC; `excerpt` is where a search found its words, else empty."""

    id: str
    title: str
    model: str
    created: datetime
    updated: datetime
    turns: int
    excerpt: str = ""


@dataclass(frozen=True)
class Turn:
    """What was said once by each side, what it took, and when (UTC) it was over."""

    user: Message
    reply: Message
    usage: Usage
    finished: datetime


class Conversation:
    """One conversation as it is kept. It comes to exist in the history with its first turn."""

    def __init__(
        self, history: "History", id: str, model: str, system: str | None, created: datetime, title: str = ""
    ) -> None:
        self.id = id
        self.title = title
        """The id_prefix of the first thing the user said; empty before that."""
        self.model = model
        self.system = system
        self.created = created
        self._history = history

    def append(self, user: Message, reply: Message, usage: Usage) -> None:
        """Add one turn; it is on the disk when this returns. Raises `HistoryError` if it cannot be written."""
        self.title = self.title or _title(user)
        self._history._append(self, Turn(user, reply, usage, _now()))  # noqa: SLF001 - two halves of one thing


class History:
    """All conversations, in the SQLite file `path` and the folder `attachments` beside it.

    Making one touches no file. Its methods block, may be called from any thread, and raise `HistoryError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notices: list[str] = []
        """What a person should know of earlier operations: a broken file was set aside, a picture is gone."""
        self._database = Database(path, MIGRATIONS, self.notices)
        self._files = AttachmentStore(path.parent / "attachments")

    def create(self, model: str, system: str | None) -> Conversation:
        """A new conversation, of which nothing is written before its first turn."""
        return Conversation(self, secrets.token_hex(6), model, system, _now())

    def prepare(self) -> None:
        """Open or make the file now, so that what is wrong with it is known before the first turn."""
        self._database.write(lambda _: None)

    def latest(self) -> str | None:
        """The id of the conversation with the latest turn."""
        summaries = self._database.read(lambda connection: list(_summaries(connection, limit=1)))
        return summaries[0].id if summaries else None

    def find(self, id_prefix: str) -> str:
        """The id that starts with `id_prefix`. Raises `HistoryError` if none or several do."""

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
        """The conversation whose id starts with `id`, and its messages.

        Attachments whose files are gone or changed are replaced by a few words, and named in `notices`.
        """
        conversation, turns = self._load(id)
        return conversation, [message for turn in turns for message in (turn.user, turn.reply)]

    def turns(self, id: str) -> Sequence[Turn]:
        """The turns of the conversation whose id starts with `id`, as `load` reads them."""
        return self._load(id)[1]

    def search(self, query: str) -> Sequence[ConversationSummary]:
        """The conversations in which all words of `query` occur, the best match first.

        A word also stands for longer ones that begin with it. An excerpt shows where some of them are.
        """
        # Quoted, so that nothing in them is taken for an operator of the search language.
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
        """Remove the conversation whose id starts with `id`, and the attachments that no other one shows."""
        identifier = self.find(id)

        def delete(connection: sqlite3.Connection) -> list[str]:
            used = connection.execute(
                """SELECT DISTINCT digest FROM parts JOIN turns ON turns.id = parts.turn
                WHERE conversation = ? AND digest IS NOT NULL""",
                (identifier,),
            )
            digests = [digest for (digest,) in used]
            connection.execute("DELETE FROM conversations WHERE id = ?", (identifier,))
            # Rewrites the index, which otherwise keeps deleted words until it happens to be merged.
            connection.execute("INSERT INTO words (words) VALUES ('optimize')")
            return digests

        def remove_unused(connection: sqlite3.Connection) -> None:
            for digest in digests:
                (uses,) = connection.execute("SELECT count(*) FROM parts WHERE digest = ?", (digest,)).fetchone()
                if not uses:
                    self._files.remove(digest)

        digests = self._database.write(delete)
        # Only now, as until the deletion is on the disk they are still needed; and asking again, as another process
        # may have shown one of them since.
        if digests:
            self._database.write(remove_unused)

    def list(self) -> Sequence[ConversationSummary]:
        """All conversations, the one with the latest turn first."""
        return self._database.read(lambda connection: [*_summaries(connection)])

    def _append(self, conversation: Conversation, turn: Turn) -> None:
        def append(connection: sqlite3.Connection) -> None:
            # At each turn, as the conversation may have been deleted, or its file set aside, while it goes on.
            head = (conversation.id, conversation.title, conversation.model, conversation.system)
            connection.execute(
                """INSERT INTO conversations (id, title, model, system, created) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT DO NOTHING""",
                (*head, conversation.created.isoformat()),
            )
            row = connection.execute(
                """INSERT INTO turns (conversation, finished, interrupted, prompt_tokens, cached_tokens, reply_tokens,
                first_token_seconds, total_seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
                (conversation.id, turn.finished.isoformat(), turn.reply.interrupted, *astuple(turn.usage)),
            ).lastrowid
            for message in (turn.user, turn.reply):
                for part in message.parts:
                    self._append_part(connection, row, message.role, part)

        self._database.write(append)

    def _append_part(self, connection: sqlite3.Connection, turn: int | None, role: Role, part: ContentPart) -> None:
        values: dict[str, str | int | None] = {"turn": turn, "role": role}
        if isinstance(part, Text):
            values["text"] = part.text
        else:
            self._files.keep(part.digest, part.data)
            # Everything else that there is to know of it.
            values |= {name: value for name, value in vars(part).items() if name != "data"}
        columns, places = ", ".join(values), ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO parts ({columns}) VALUES ({places})", tuple(values.values()))  # noqa: S608

    def _load(self, id: str) -> tuple[Conversation, Sequence[Turn]]:
        identifier = self.find(id)

        def rows(connection: sqlite3.Connection) -> tuple[sqlite3.Row | None, Sequence[sqlite3.Row]]:
            connection.row_factory = sqlite3.Row
            head = connection.execute("SELECT * FROM conversations WHERE id = ?", (identifier,)).fetchone()
            parts = connection.execute(
                """SELECT turns.id AS turn_id, turns.*, parts.* FROM turns LEFT JOIN parts ON parts.turn = turns.id
                WHERE conversation = ? ORDER BY turns.id, parts.id""",
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
        return conversation, [self._turn([*rows]) for _, rows in groupby(parts, key=lambda row: row["turn_id"])]

    def _turn(self, rows: Sequence[sqlite3.Row]) -> Turn:
        said: dict[str, list[ContentPart]] = {"user": [], "assistant": []}
        for row in rows:
            if row["role"] is not None:
                said[row["role"]].append(self._part(row))
        first = rows[0]
        return Turn(
            Message("user", tuple(said["user"])),
            Message("assistant", tuple(said["assistant"]), interrupted=bool(first["interrupted"])),
            Usage(*(first[field.name] for field in fields(Usage))),
            datetime.fromisoformat(first["finished"]),
        )

    def _part(self, row: sqlite3.Row) -> ContentPart:
        if row["digest"] is None:
            return Text(row["text"])
        data = self._files.read(row["digest"])
        if data is None:
            what = f"picture {row['name']}" if row["name"] is not None else "recording"
            self.notices.append(f"The {what} of this conversation is missing or damaged: {row['digest']} is gone.")
            return Text(f"[The {what} is missing.]")
        if row["sample_rate"] is not None:
            return Audio(data, row["sample_rate"], row["digest"])
        return Image(data, row["media_type"], row["width"], row["height"], row["name"], row["digest"])


def _summaries(
    connection: sqlite3.Connection, excerpts: Mapping[str, str] | None = None, limit: int = -1
) -> Iterator[ConversationSummary]:
    """The conversations, the one with the latest turn first; only those with `excerpts`, if these are given."""
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
    """Conversation and excerpt of each message that matches, the best first."""
    return connection.execute(
        """SELECT turns.conversation, snippet(words, 0, '', '', '…', 16) FROM words
        JOIN parts ON parts.id = words.rowid JOIN turns ON turns.id = parts.turn
        WHERE words MATCH ? ORDER BY words.rank""",
        (pattern,),
    )


def _title(message: Message) -> str:
    """The id_prefix of the words of `message`, or the name of its picture, on one line."""
    words = message.text or ", ".join(image.name for image in message.images)
    line = "".join(character for character in " ".join(words.split()) if character.isprintable())
    return line if len(line) <= TITLE_LENGTH else f"{line[: TITLE_LENGTH - 1].rstrip()}…"


def _now() -> datetime:
    return datetime.now(UTC)
