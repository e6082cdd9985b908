"""Predictions and references, two files of JSON lines, brought together by what they are about.

Every reference counts: one without a prediction, or whose prediction is an error, is answered by nothing at all.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from assistant.errors import SkillError

KEYS = ("photo", "image", "recording", "audio", "file", "id")
"""The fields that may say what a line is about; a `question` is part of that."""

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
    """What was predicted of one thing, "" if nothing was, and everything that would have been right."""

    predicted: str
    references: tuple[str, ...]
    confidence: float | None = None


@dataclass(frozen=True)
class Pairs:
    """All of them, in the order of the references, and how many of either file have no counterpart."""

    pairs: Sequence[Pair]
    unanswered: int
    unasked: int


def read_pairs(task: str, predictions: Path, references: Path) -> Pairs:
    """The two files for a `task`, brought together. Names of files are compared where no paths are the same.

    Raises `SkillError`, naming the line, for what cannot be read, and if nothing in the files belongs together.
    """
    wanted = dict(_entries(references))
    made = dict(_entries(predictions))
    if not any(question for _, question in made) or not any(question for _, question in wanted):
        wanted, made = _without_questions(wanted, references), _without_questions(made, predictions)
    if not wanted.keys() & made.keys():
        wanted, made = _by_name(wanted), _by_name(made)
    both = wanted.keys() & made.keys()
    if _are_predictions(task, wanted) and not _are_predictions(task, made):
        raise SkillError(
            f"{references} holds predictions and {predictions} what is right, it seems: name the predictions first."
        )
    if not both:
        raise SkillError(f"Nothing in {predictions} is about what {references} is about: compare their first lines.")
    pairs = []
    for key, entry in wanted.items():
        said = made.get(key, {})
        predicted = _first(said, _PREDICTED[task])
        confidence = said.get("confidence")
        pairs.append(
            Pair(
                predicted if isinstance(predicted, str) else "",
                _texts(_first(entry, _REFERENCES[task]), task, key, references),
                float(confidence) if isinstance(confidence, int | float) else None,
            )
        )
    unanswered = sum(1 for key in wanted if not isinstance(_first(made.get(key, {}), _PREDICTED[task]), str))
    return Pairs(pairs, unanswered, len(made) - len(both))


def _are_predictions(task: str, entries: Mapping[Key, Mapping[str, Any]]) -> bool:
    """Whether they look like what a model says: they name it, or an error, and give no list of right answers."""
    lists = set(_REFERENCES[task]) - set(_PREDICTED[task])
    return any(entry.keys() & {"model", "error"} for entry in entries.values()) and not any(
        entry.keys() & lists for entry in entries.values()
    )


def _entries(path: Path) -> Iterator[tuple[Key, dict[str, Any]]]:
    try:
        lines = path.read_text("utf-8").split("\n")
    except FileNotFoundError as error:
        raise SkillError(f"{path} does not exist: check the path.") from error
    except OSError as error:
        raise SkillError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SkillError(f"{path} is not text in UTF-8: save it as such.") from error
    seen: set[Key] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise SkillError(f"Line {number} of {path} is no JSON: each line has to be an object.") from error
        name = _first(entry, KEYS) if isinstance(entry, dict) else None
        if name is None:
            raise SkillError(
                f"Line {number} of {path} does not say what it is about: it needs one of {', '.join(KEYS)}."
            )
        key = str(name), str(entry.get("question", ""))
        if key in seen:
            raise SkillError(f"Line {number} of {path} is about {' '.join(key).strip()}, like a line before: keep one.")
        seen.add(key)
        yield key, entry
    if not seen:
        raise SkillError(f"{path} is empty: there is nothing to evaluate.")


def _without_questions(entries: dict[Key, dict[str, Any]], path: Path) -> dict[Key, dict[str, Any]]:
    found = {(name, ""): entry for (name, _), entry in entries.items()}
    if len(found) < len(entries):
        raise SkillError(f"{path} has several questions about one picture: the other file has to name them as well.")
    return found


def _by_name(entries: dict[Key, dict[str, Any]]) -> dict[Key, dict[str, Any]]:
    """By the last part of paths; those that two of them share stay as they are."""
    shared = Counter((PurePath(name).name, question) for name, question in entries)
    return {
        (name if shared[PurePath(name).name, question] > 1 else PurePath(name).name, question): entry
        for (name, question), entry in entries.items()
    }


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _texts(found: Any, task: str, key: Key, path: Path) -> tuple[str, ...]:
    texts = (found,) if isinstance(found, str) else tuple(found) if isinstance(found, list) else ()
    if not texts or not all(isinstance(text, str) for text in texts):
        names = " or ".join(_REFERENCES[task])
        raise SkillError(
            f"{path} says nothing to compare with about {' '.join(key).strip()}: give its {names} as text."
        )
    return texts
