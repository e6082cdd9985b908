"""Measure how much memory this process may still take, also in a container."""

from collections.abc import Iterator
from pathlib import Path

# Files of a control group: limit, use, and the part of the use that is given back under pressure.
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")


def free_memory(root: Path = Path("/")) -> int:
    """Return the free main memory in bytes: of the machine, or of the tightest control group around this process.

    Args:
        root: Folder of `proc` and `sys`.
    """
    import psutil

    return min([int(psutil.virtual_memory().available), *_control_groups(root)])


def _control_groups(root: Path) -> Iterator[int]:
    """Yield the free bytes of each control group that limits this process. Other systems than Linux have none."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        names = _VERSION_1 if controllers else _VERSION_2
        # A container may see its own group as the root, under the path that it has outside.
        inner = mount / path.lstrip("/")
        for folder in (inner, *inner.parents):
            if (free := _free_bytes(folder, names)) is not None:
                yield free
            if folder == mount:
                break


def _free_bytes(folder: Path, names: tuple[str, str, str]) -> int | None:
    limit, use, inactive = names
    try:
        # "max" where there is no limit.
        allowed = int((folder / limit).read_text())
        used = int((folder / use).read_text())
        stat = dict(line.split(" ", 1) for line in (folder / "memory.stat").read_text().splitlines())
        return max(0, allowed - used + int(stat.get(inactive, 0)))
    except (OSError, ValueError):
        return None
