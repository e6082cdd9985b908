"""Keep files that cannot be used under other names."""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

_NUMBERS = ("", *(f"-{number}" for number in range(2, 100)))


def set_aside(path: Path, suffixes: Sequence[str]) -> str:
    """Rename `path` with each of `suffixes` to a name that is free, and return that name.

    Args:
        path: The file.
        suffixes: What follows its name, such as "-wal"; missing files are skipped. The last is in the result.

    Raises:
        OSError: The folder cannot be written.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    targets = [path.with_name(f"{path.stem}.corrupt-{stamp}{number}{path.suffix}") for number in _NUMBERS]
    target = next(target for target in targets if not (os.path.lexists(target) or os.path.lexists(f"{target}-wal")))
    for suffix in suffixes:
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{target}{suffix}")
    return f"{target.name}{suffixes[-1]}"
