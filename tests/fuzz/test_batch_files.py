"""Fuzz runs over files: damaged results files to resume, lists on standard input, folders with odd names."""

import json
import os
import random
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import pytest

from tests.fakes.command_line_faults import run_and_check
from tests.fuzz.harness import fuzz, mutate_bytes, odd_json, odd_text

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fuzz_machine")]

NAMES = ("a.png", "b c.png", "é.jpg", "line\nbreak.png", "\x1b[31m.png", "\u202egnp.png", "-.png", "'q'.png", "[x].png")
KEYS = ("photo", "text", "style", "model", "regions", "regions_from", "error", "file")


@dataclass(frozen=True)
class Batch:
    """A run of `caption`.

    Attributes:
        old: Content of the results file before it, or None if there is none.
        listed: Standard input.
        folder: Whether the folder is named as well.
        options: Options of the run.
        missing: Names of the list that are no files.
    """

    old: bytes | None
    listed: bytes
    folder: bool
    options: tuple[str, ...]


def make_batch(rng: random.Random) -> Batch:
    separator = rng.choice(("\n", "\r\n", "\0"))
    paths = [path(rng) for _ in range(rng.randint(0, 4))]
    listed = rng.choice(("", "\ufeff")) + separator.join(paths) + rng.choice(("", separator))
    data = listed.encode(errors="surrogatepass")
    options = [each for each in ("--resume", "--retry-errors", "--json") if rng.random() < 0.5]
    options += rng.choice(([], ["--on-error", "stop"], ["--style", "dense"], ["--jobs", "2"]))
    return Batch(
        old_results(rng) if rng.random() < 0.7 else None,
        mutate_bytes(rng, data, 2) if rng.random() < 0.3 else data,
        rng.random() < 0.5,
        tuple(options),
    )


def path(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.6:
        return f"folder/{rng.choice(NAMES)}"
    return (
        rng.choice(("folder", "gone.png", "broken.png", "~", "/", "http://x/y.png")) if kind < 0.8 else odd_text(rng, 3)
    )


def old_results(rng: random.Random) -> bytes:
    lines: list[str] = []
    for _ in range(rng.randint(0, 5)):
        record: object = {"photo": path(rng), "text": "A cat.", "style": "short", "model": "m", "regions": []}
        assert isinstance(record, dict)
        record["regions_from"] = None
        kind = rng.random()
        if kind < 0.2:
            record = {"photo": path(rng), "error": odd_text(rng, 2)}
        elif kind < 0.3:
            record = odd_json(rng, KEYS)
        elif kind < 0.4:
            record[rng.choice(KEYS)] = odd_json(rng, KEYS, 1)
        lines.append(json.dumps(record) + "\n")
    data = "".join(lines).encode()
    return mutate_bytes(rng, data, 3) if rng.random() < 0.4 and data else data


def use(batch: Batch) -> None:
    results = Path("out.jsonl")
    results.unlink(missing_ok=True)
    if batch.old is not None:
        results.write_bytes(batch.old)
    arguments = ["caption", "-", *(["folder"] if batch.folder else []), "--out", "out.jsonl", *batch.options]
    result = run_and_check(arguments, batch.listed)
    new = results.read_bytes() if results.exists() else b""
    if batch.old:
        old_lines = [line for line in batch.old.splitlines(keepends=True) if line.endswith(b"\n")]
        if "--retry-errors" in batch.options:
            old_lines = [line for line in old_lines if not _is_error(line)]
        kept = new.splitlines(keepends=True)
        assert new == batch.old or kept[: len(old_lines)] == old_lines, "records are lost"
    if result.exit_code == 0:
        assert not new or new.endswith(b"\n")
        assert not [line for line in new.splitlines() if "photo" not in json.loads(line)]
        again = [*arguments, *([] if "--resume" in arguments else ["--resume"])]
        run_and_check(again, batch.listed)
        assert results.read_bytes() == new, "a finished run is done again"
    assert not list(_left_over(Path())), "temporary files are left"


def _is_error(line: bytes) -> bool:
    with suppress(ValueError):
        record = json.loads(line)
        return isinstance(record, dict) and "error" in record
    return False


def _left_over(folder: Path) -> Iterable[Path]:
    return [each for each in folder.iterdir() if each.name.startswith(".out") or each.name.endswith(".lock")]


@pytest.fixture
def fuzz_machine(nobodys_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `nobodys_machine`, with the scripted model and a folder of pictures with odd names."""
    monkeypatch.setenv("PARLEY_MODEL", "scripted")
    # "/" and "~" in a list would be searched for pictures.
    monkeypatch.setenv("HOME", str(Path("home").absolute()))
    monkeypatch.setattr("os.walk", _walk_here(os.walk))
    Path("folder").mkdir()
    PIL.Image.new("RGB", (9, 9)).save("picture.png")
    for name in NAMES:
        shutil.copy("picture.png", f"folder/{name}")
    Path(os.fsdecode(b"folder/\xff\xe9.png")).write_bytes(Path("picture.png").read_bytes())
    Path("broken.png").write_bytes(b"\x89PNG\r\n")


def _walk_here(walk: object) -> object:
    assert callable(walk)
    return lambda folder, *rest, **options: walk(folder, *rest, **options) if os.fspath(folder) == "folder" else []


def test_batch_files() -> None:
    fuzz("batch_files", make_batch, use)
