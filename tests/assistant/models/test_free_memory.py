"""Free memory in containers, read from files as Linux writes them."""

from pathlib import Path

import psutil
import pytest

from assistant.models.free_memory import free_memory

GB = 10**9


@pytest.fixture(autouse=True)
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=64 * GB))


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def group(folder: str, limit: str, use: int, inactive: int) -> dict[str, str]:
    return {
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.current": f"{use}\n",
        f"{folder}/memory.stat": f"anon {use}\ninactive_file {inactive}\n",
    }


def test_without_control_groups_the_machine_counts(tmp_path: Path) -> None:
    assert free_memory(tmp_path) == 64 * GB


def test_the_tightest_group_counts_and_files_in_its_cache_are_free(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "0::/outer/inner\n"})
    write(tmp_path, **group("sys/fs/cgroup/outer", str(8 * GB), 5 * GB, 2 * GB))
    write(tmp_path, **group("sys/fs/cgroup/outer/inner", "max", 5 * GB, 2 * GB))
    assert free_memory(tmp_path) == 5 * GB


def test_a_container_that_is_its_own_root(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "0::/docker/0123\n"})
    write(tmp_path, **group("sys/fs/cgroup", str(2 * GB), GB, 0))
    assert free_memory(tmp_path) == GB


def test_groups_of_the_first_version(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup/memory/box"
    write(
        tmp_path,
        **{
            "proc/self/cgroup": "5:cpu:/\n4:hugetlb,memory:/box\n",
            f"{folder}/memory.limit_in_bytes": str(3 * GB),
            f"{folder}/memory.usage_in_bytes": str(GB),
            f"{folder}/memory.stat": "cache 0\ntotal_inactive_file 500\n",
        },
    )
    assert free_memory(tmp_path) == 2 * GB + 500


@pytest.mark.parametrize("text", ["", "nonsense", "0::", "::::", "0::/a\0b\n", "0::../../..\n"])
def test_what_cannot_be_read_limits_nothing(text: str, tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": text})
    assert free_memory(tmp_path) == 64 * GB
