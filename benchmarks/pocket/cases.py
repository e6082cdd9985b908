"""A case: an image or none, questions that follow each other, and what the replies are measured by."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from assistant.attachments.images import ImageLoader
from assistant.messages import Image


@dataclass(frozen=True)
class Case:
    """One conversation to hold.

    Attributes:
        key: Name of the case, unique within its part.
        questions: Messages of the user, one a turn. The first has the image.
        image: The image, or None.
        system: Instructions before the conversation, or "".
        expected: What a reply is measured by; `scores` says how. JSON values.
    """

    key: str
    questions: tuple[str, ...]
    image: Image | None = None
    system: str = ""
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """The replies to a case, as a line of a file.

    Attributes:
        key: That of the case.
        questions: Those of the case.
        expected: That of the case.
        replies: One a question.
        finish_reasons: Why each reply ended.
        seconds: Time for all of them.
    """

    key: str
    questions: tuple[str, ...]
    expected: Mapping[str, Any]
    replies: tuple[str, ...]
    finish_reasons: tuple[str, ...]
    seconds: float

    @property
    def reply(self) -> str:
        """The first reply."""
        return self.replies[0]


def read_records(path: Path) -> list[Record]:
    """Return the records of a file, or none if it is missing. A last line that was cut short is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text("utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        for name in ("questions", "replies", "finish_reasons"):
            row[name] = tuple(row[name])
        records.append(Record(**row))
    return records


def append_record(path: Path, record: Record) -> None:
    """Add a record to a file at once, so that a run that is stopped goes on from there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")


def read_questions(path: Path) -> list[Case]:
    """Return the cases of a JSON-lines file.

    A line has `prompt` and any of `image` (a path, relative to the file), `system`, `answer_matches`, `must_not_match`
    (regular expressions) and `must_not_loop`.
    """
    loader = ImageLoader()
    cases = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.strip():
            row = json.loads(line)
            image = loader.load(path.parent / row["image"]).image if "image" in row else None
            expected = {name: row[name] for name in row if name not in ("prompt", "image", "system")}
            cases.append(Case(f"{number}", (row["prompt"],), image, row.get("system", ""), expected))
    return cases


def matches(pattern: str, text: str) -> bool:
    """Return True if a regular expression is found in `text`, whatever the case of its letters."""
    return re.search(pattern, text, re.IGNORECASE) is not None


def limited(cases: Iterable[Case], limit: int | None) -> Sequence[Case]:
    """Return the first `limit` cases, or all."""
    return list(cases)[:limit]
