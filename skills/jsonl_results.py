"""The file that a long run writes its results to: a JSON object on each line, in the order of the pictures.

A line is written whole by one call. Should the machine or the program die in the middle of it, the piece is taken off
before the run goes on. Only one run at a time writes to a file.
"""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from assistant.errors import SkillError
from skills.files import identity

if TYPE_CHECKING:
    from pydantic import BaseModel

PICTURE = "photo"
"""The key that has the path of its picture, as it was given, in every record of a skill that takes pictures alone."""

FILE = "file"
"""That key in the records of a skill that takes other files as well."""

ERROR = "error"
"""The key of a record without a result: why there is none."""


def record(name: str, result: "BaseModel | None", error: str = "", *, key: str = PICTURE) -> dict[str, Any]:
    """What is written down of one picture: its `name` under `key`, and the result's own fields or the error."""
    if result is None:
        return {key: name, ERROR: error}
    return {key: name, **{field: value for field, value in result.model_dump(mode="json").items() if field != key}}


def as_line(entry: dict[str, Any]) -> str:
    """A record as a line of JSON."""
    # A path that is no UTF-8 has lone surrogates in it, which no reader of JSON takes as text: they stay escaped.
    text = json.dumps(entry, ensure_ascii=False)
    return (text if _is_text(text) else json.dumps(entry)) + "\n"


class ResultFile:
    """A file of records, open for more.

    `done` counts the pictures that it has, by the file that their names lead to (see `skills.files.identity`); `failed`
    of them have an error.
    """

    def __init__(self, path: Path, descriptor: int, done: Counter[str], failed: int) -> None:
        self.done = done
        self.failed = failed
        self._path = path
        self._descriptor = descriptor

    def write(self, entry: dict[str, Any]) -> None:
        """Add a record. Raises `SkillError` if it cannot be written."""
        data = as_line(entry).encode()
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            raise SkillError(
                f"{self._path} cannot be written ({error.strerror}): make room, and go on with --resume."
            ) from error


@contextmanager
def open_result_file(
    path: Path,
    fields: Collection[str],
    *,
    resume: bool,
    retry_errors: bool = False,
    key: str = PICTURE,
    same: Mapping[str, Any] | None = None,
) -> Iterator[ResultFile]:
    """The records in the file `path`: a new file, or with `resume` one to be gone on with, if it is there.

    `fields` are those of the results that it is for, and `key` is where the name of the picture stands. With
    `retry_errors` the records of errors are taken out of it, so that those pictures count as not done.

    Raises `SkillError` if it exists and is not to be gone on with, holds something else, or is being written.
    """
    if not path.absolute().parent.is_dir():
        raise SkillError(f"There is no folder {path.parent} for {path.name}: make it first.")
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SkillError(f"Another run is writing to {path}: wait until it is done, or name another file.") from error
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            has_records = os.fstat(descriptor).st_size > 0
            if has_records and not resume:
                raise SkillError(f"{path} exists already: go on with --resume, or name another file.")
            wanted = {key, *fields}
            repair = partial(_repaired, path, descriptor, wanted, key, same or {})
            done, failed = repair() if has_records else (Counter[str](), 0)
            if failed and retry_errors:
                _take_out_errors(path, descriptor)
                done, failed = repair()
            yield ResultFile(path, descriptor, done, failed)
        finally:
            os.close(descriptor)
    finally:
        # While it is still held, so that nobody can hold a file that is about to go.
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


def _repaired(
    path: Path, descriptor: int, fields: Collection[str], key: str, same: Mapping[str, Any]
) -> tuple[Counter[str], int]:
    """The pictures that the file has records of, after taking off a last line that was never finished.

    And how many of them are records of an error.
    """
    done: Counter[str] = Counter()
    failed = 0
    whole = 0
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                done[identity(entry[key])] += 1
            except (ValueError, KeyError, TypeError) as error:
                raise SkillError(
                    f"Line {number} of {path} is no record of a file: name another file, or put that line right."
                ) from error
            if ERROR not in entry and entry.keys() != fields:
                raise SkillError(f"Line {number} of {path} is the result of another skill: name another file.")
            for name, value in same.items():
                if entry.get(name, value) != value:
                    raise SkillError(
                        f"Line {number} of {path} has the {name} “{entry[name]}” and not “{value}”: name another file."
                    )
            failed += ERROR in entry
            whole += len(line)
    os.ftruncate(descriptor, whole)
    return done, failed


def _take_out_errors(path: Path, descriptor: int) -> None:
    """Put in the place of the file, and behind `descriptor`, one without its records of errors."""
    rest = path.with_name(f".{path.name}.rest")
    try:
        with path.open("rb") as old, rest.open("wb") as new:
            new.writelines(line for line in old if ERROR not in json.loads(line))
        rest.chmod(path.stat().st_mode)
        rest.replace(path)
        anew = os.open(path, os.O_RDWR | os.O_APPEND)
        os.dup2(anew, descriptor)
        os.close(anew)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        rest.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> SkillError:
    return SkillError(f"{path} cannot be written ({error.strerror}): name a file in a folder of yours.")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
