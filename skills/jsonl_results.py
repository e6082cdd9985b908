"""The results file of a long run (`--out`): JSON lines, one record per file, in order.

Each record is one write. A partial last line, left by a crash, is removed before the run is resumed. A lock admits one
run at a time.
"""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from assistant.atomic_files import replace_file
from assistant.errors import SkillError, first_line
from assistant.text_cleaning import clean_line, to_json
from skills.files import path_identity

if TYPE_CHECKING:
    from pydantic import BaseModel

IMAGE_KEY = "photo"
"""Record key of the file's name, as it was given, for skills that take only images."""

FILE_KEY = "file"
"""Record key of the file's name for other skills."""

ERROR_KEY = "error"
"""Record key of the error message, in records without a result."""


_MAX_LINE_BYTES = 1 << 24
"""More than any skill writes about a file."""

_MAX_QUOTED = 60


def make_record(name: str, result: "BaseModel | None", error: str = "", *, key: str = IMAGE_KEY) -> dict[str, Any]:
    """Return the record of a file: its name under `key`, and the fields of the result or the error."""
    if result is None:
        return {key: name, ERROR_KEY: error}
    return {key: name, **{field: value for field, value in result.model_dump(mode="json").items() if field != key}}


@dataclass(frozen=True)
class RecordSchema:
    """Expected content of the records.

    Attributes:
        fields: Field names of the results.
        key: Record key of the file's name.
        fixed_fields: Fields that have one value in all records, such as the question of a run.
        computed_fields: Fields that follow from others, so that records of an earlier version may lack them.
    """

    fields: Collection[str]
    key: str = IMAGE_KEY
    fixed_fields: Mapping[str, Any] | None = None
    computed_fields: Collection[str] = ()


class ResultFile:
    """A results file, open for appending.

    Attributes:
        done: Number of records per file, by `skills.files.path_identity`.
        failed: Number of records with an error per file.
    """

    def __init__(self, path: Path, descriptor: int, done: Counter[str], failed: Counter[str]) -> None:
        self.done = done
        self.failed = failed
        self._path = path
        self._descriptor = descriptor

    def write(self, record: dict[str, Any]) -> None:
        """Append a record. Raises `SkillError` if it cannot be written."""
        write_all(self._path, self._descriptor, f"{to_json(record)}\n".encode())


@contextmanager
def open_to_append(path: Path, *, resume: bool, option: str) -> Iterator[int]:
    """Open a file that one run at a time appends to, and yield its descriptor.

    Args:
        path: The file. Its folder must exist.
        resume: Continue an existing file.
        option: Option that names the file, for messages.

    Raises:
        SkillError: The file exists and `resume` is False, is in use, or cannot be written.
    """
    if path.exists() and not path.is_file():
        raise SkillError(f"{path} is not a regular file: name another one, or leave {option} away.")
    if not path.absolute().parent.is_dir():
        raise SkillError(f"There is no folder {path.parent} for {path.name}: make it first.")
    with _locked(path), _opened(path) as descriptor:
        if os.fstat(descriptor).st_size > 0 and not resume:
            raise SkillError(f"{path} exists already: go on with --resume, or name another file.")
        yield descriptor


@contextmanager
def open_result_file(
    path: Path, schema: RecordSchema, *, resume: bool, retry_errors: bool = False
) -> Iterator[ResultFile]:
    """Open the results file `path`, new or to be resumed.

    Args:
        path: The file. Its folder must exist.
        schema: Expected content of the records.
        resume: Continue an existing file.
        retry_errors: Remove records of errors, so that those files are processed again.

    Raises:
        SkillError: The file exists and `resume` is False, belongs to another skill, is in use, or cannot be written.
    """
    with open_to_append(path, resume=resume, option="--out") as descriptor:
        done, failed = Counter[str](), Counter[str]()
        if os.fstat(descriptor).st_size > 0:
            done, failed = _repair(path, descriptor, schema)
            if failed.total() and retry_errors:
                _remove_errors(path, descriptor)
                done, failed = _repair(path, descriptor, schema)
        yield ResultFile(path, descriptor, done, failed)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SkillError(f"Another run is writing to {path}: wait until it is done, or name another file.") from error
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        yield
    finally:
        # Removed before it is released: otherwise another run could lock a file that is about to be removed.
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _repair(path: Path, descriptor: int, schema: RecordSchema) -> tuple[Counter[str], Counter[str]]:
    """Check the records and mend a last line without an end. Return records, and records with an error, per file.

    A crash may leave the beginning of a record, which is cut off. Anything else is not ours and stays.
    """
    done: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    complete_bytes = 0
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        # Limited, since a file of one endless line would fill the memory.
        for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES + 1), b""), 1):
            if len(line) > _MAX_LINE_BYTES:
                raise _no_record(path, number)
            if not line.endswith(b"\n") and _is_cut_record(line, schema.key):
                break
            identity, is_error = _parse_record(path, number, line, schema)
            done[identity] += 1
            failed[identity] += is_error
            complete_bytes += len(line)
            if not line.endswith(b"\n"):
                write_all(path, descriptor, b"\n")
                complete_bytes += 1
    cut_off(path, descriptor, complete_bytes)
    return done, failed


def cut_off(path: Path, descriptor: int, size: int) -> None:
    """Cut the file off after `size` bytes. Raises `SkillError`."""
    try:
        os.ftruncate(descriptor, size)
    except OSError as error:
        raise _not_writable(path, error) from error


def _is_cut_record(line: bytes, key: str) -> bool:
    """Return True if the last line is the beginning of a record, but no whole one."""
    begin = f'{{"{key}": "'.encode()
    if not (line.startswith(begin) or begin.startswith(line)):
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return True
    return False


def _parse_record(path: Path, number: int, line: bytes, schema: RecordSchema) -> tuple[str, bool]:
    """Return the identity of the file in line `number`, and whether it failed.

    Raises `SkillError` if the line does not fit the schema.
    """
    try:
        record: object = json.loads(line)
        name = record[schema.key] if isinstance(record, dict) else None
        if not isinstance(record, dict) or not isinstance(name, str):
            raise _no_record(path, number)
        identity = path_identity(name)
    except (ValueError, KeyError, RecursionError) as error:
        raise _no_record(path, number) from error
    if ERROR_KEY not in record and record.keys() | set(schema.computed_fields) != {schema.key, *schema.fields}:
        raise SkillError(f"Line {number} of {path} is the result of another skill: name another file.")
    for name, value in (schema.fixed_fields or {}).items():
        if record.get(name, value) != value:
            raise SkillError(
                f"Line {number} of {path} has the {name} “{clean_line(str(record[name]), _MAX_QUOTED)}” and not "
                f"“{clean_line(str(value), _MAX_QUOTED)}”: name another file."
            )
    return identity, ERROR_KEY in record


def _no_record(path: Path, number: int) -> SkillError:
    return SkillError(f"Line {number} of {path} is no record of a file: name another file, or put that line right.")


def _remove_errors(path: Path, descriptor: int) -> None:
    """Replace the file, and the one that `descriptor` refers to, by a copy without the records of errors."""
    target = path.resolve()
    try:
        with path.open("rb") as old, replace_file(target) as new:
            new.writelines(line for line in old if ERROR_KEY not in json.loads(line))
        replaced = os.open(target, os.O_RDWR | os.O_APPEND)
        os.dup2(replaced, descriptor)
        os.close(replaced)
    except OSError as error:
        raise _not_writable(path, error) from error


def write_all(path: Path, descriptor: int, data: bytes) -> None:
    """Append `data` to the file. Raises `SkillError`."""
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError as error:
        raise SkillError(
            f"{path} cannot be written ({first_line(error)}): make room, and go on with --resume."
        ) from error


def _not_writable(path: Path, error: OSError) -> SkillError:
    return SkillError(f"{path} cannot be written ({first_line(error)}): name a file in a folder of yours.")
