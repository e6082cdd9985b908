"""docs/security.md names tests and fuzzers that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")


@pytest.mark.parametrize("named", sorted(set(re.findall(r"tests/[\w/]+\.py(?:::\w+)?", PAGE))))
def test_a_named_test_exists(named: str) -> None:
    path, _, name = named.partition("::")
    source = (ROOT / path).read_text("utf-8")
    assert re.search(rf"def {name}\(" if name else r"def test_\w+\(", source)


@pytest.mark.parametrize("kinds", sorted(set(re.findall(r"make fuzz ARGS=\"-k '?([\w ]+)'?\"", PAGE))))
def test_a_named_fuzzer_exists(kinds: str) -> None:
    fuzzers = [path.stem for path in (ROOT / "tests" / "fuzz").glob("test_*.py")]
    for kind in kinds.split(" or "):
        assert any(kind in fuzzer for fuzzer in fuzzers)


def test_every_threat_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| threat")]
    assert len(rows) > 20
    assert all("tests/" in row.rsplit("|", 2)[1] for row in rows)
