"""Match predictions with references: two files of JSON lines, joined by the file or id that a line is about.

Every reference counts. Without a prediction, or with an error in its place, the predicted text is empty.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from assistant.errors import SkillError, first_line
from assistant.text_cleaning import clean_line

KEYS = ("photo", "image", "recording", "audio", "file", "id")
"""Fields that identify an item, in order of preference. Its `question`, if any, is part of the identity."""

_PREDICTED: Mapping[str, Sequence[str]] = {
    "caption": ("text", "caption"),
    "vqa": ("answer",),
    "emotion": ("label", "emotion"),
    "transcribe": ("text", "transcript"),
}
_REFERENCES: Mapping[str, Sequence[str]] = {
    "caption": ("captions", "references", "caption", "text"),
    "vqa": ("answers", "answer"),
    "emotion": ("label", "emotion"),
    "transcribe": ("text", "transcript", "reference"),
}

Key = tuple[str, str]


@dataclass(frozen=True)
class Pair:
    """A prediction ("" if there is none) with all right answers."""

    predicted: str
    references: tuple[str, ...]
    confidence: float | None = None


@dataclass(frozen=True)
class Pairs:
    """All pairs, in the order of the references, and the number of lines without a counterpart.

    Attributes:
        pairs: One pair per reference.
        unanswered: References without a prediction.
        unasked: Predictions without a reference.
    """

    pairs: Sequence[Pair]
    unanswered: int
    unasked: int


def read_pairs(task: str, predictions: Path, references: Path) -> Pairs:
    """Read both files of a task and match their lines. If no paths are equal, file names are compared.

    Raises:
        SkillError: A line cannot be read, which the message names, or no lines match.
    """
    expected = dict(_read_lines(references))
    found = dict(_read_lines(predictions))
    if not any(question for _, question in found) or not any(question for _, question in expected):
        expected, found = _without_questions(expected, references), _without_questions(found, predictions)
    if not expected.keys() & found.keys():
        expected, found = _by_file_name(expected), _by_file_name(found)
    matched = expected.keys() & found.keys()
    if _are_predictions(task, expected) and not _are_predictions(task, found):
        raise SkillError(
            f"{references} holds predictions and {predictions} what is right, it seems: name the predictions first."
        )
    if not matched:
        raise SkillError(f"Nothing in {predictions} is about what {references} is about: compare their first lines.")
    pairs = []
    for key, entry in expected.items():
        prediction = found.get(key, {})
        predicted = _first(prediction, _PREDICTED[task])
        pairs.append(
            Pair(
                predicted if isinstance(predicted, str) else "",
                _texts(_first(entry, _REFERENCES[task]), task, key, references),
                _probability(prediction.get("confidence")),
            )
        )
    unanswered = sum(1 for key in expected if not isinstance(_first(found.get(key, {}), _PREDICTED[task]), str))
    return Pairs(pairs, unanswered, len(found) - len(matched))


def _are_predictions(task: str, entries: Mapping[Key, Mapping[str, Any]]) -> bool:
    """Return True if lines name a model or an error, and have no list of right answers."""
    lists = set(_REFERENCES[task]) - set(_PREDICTED[task])
    return any(entry.keys() & {"model", "error"} for entry in entries.values()) and not any(
        entry.keys() & lists for entry in entries.values()
    )


def _read_lines(path: Path) -> Iterator[tuple[Key, dict[str, Any]]]:
    try:
        lines = path.read_text("utf-8").split("\n")
    except FileNotFoundError as error:
        raise SkillError(f"{path} does not exist: check the path.") from error
    except OSError as error:
        raise SkillError(f"{path} cannot be read: {first_line(error)}.") from error
    except UnicodeDecodeError as error:
        raise SkillError(f"{path} is not text in UTF-8: save it as such.") from error
    seen: set[Key] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SkillError(f"Line {number} of {path} is no JSON: each line has to be an object.") from error
        name = _first(entry, KEYS) if isinstance(entry, dict) else None
        if name is None:
            raise SkillError(
                f"Line {number} of {path} does not say what it is about: it needs one of {', '.join(KEYS)}."
            )
        key = str(name), str(entry.get("question", ""))
        if key in seen:
            raise SkillError(
                f"Line {number} of {path} is about {clean_line(' '.join(key))}, like a line before: keep one."
            )
        seen.add(key)
        yield key, entry
    if not seen:
        raise SkillError(f"{path} is empty: there is nothing to evaluate.")


def _without_questions(entries: dict[Key, dict[str, Any]], path: Path) -> dict[Key, dict[str, Any]]:
    found = {(name, ""): entry for (name, _), entry in entries.items()}
    if len(found) < len(entries):
        raise SkillError(f"{path} has several questions about one picture: the other file has to name them as well.")
    return found


def _by_file_name(entries: dict[Key, dict[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Key lines by file name instead of path, where the file name is unique."""
    shared = Counter((PurePath(name).name, question) for name, question in entries)
    return {
        (name if shared[PurePath(name).name, question] > 1 else PurePath(name).name, question): entry
        for (name, question), entry in entries.items()
    }


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _probability(value: Any) -> float | None:
    """Return a number from 0 to 1, or None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= 1 else None


def _texts(found: Any, task: str, key: Key, path: Path) -> tuple[str, ...]:
    texts = (found,) if isinstance(found, str) else tuple(found) if isinstance(found, list) else ()
    if not texts or not all(isinstance(text, str) for text in texts):
        names = " or ".join(_REFERENCES[task])
        raise SkillError(
            f"{path} says nothing to compare with about {clean_line(' '.join(key))}: give its {names} as text."
        )
    return texts
