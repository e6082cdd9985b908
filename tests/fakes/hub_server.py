"""A fake Hugging Face hub on the loopback that serves folders as models."""

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "c0ffee" + "0" * 34
_API = "/api/models/"


class HubServer(ThreadingHTTPServer):
    """Serves each of `models` as a repository with one commit, under every revision.

    Attributes:
        models: Folders by repository.
        requests: Method and path of every request.
        ranges: Range headers of requests that do not start at the beginning of a file.
        gated: Repositories whose files are refused.
        vanished: Revisions that are gone.
        announced: Sizes that are told of files, where they are not those of the files.
        damaged: Files that are sent with other bytes than announced.
        cut_after: Bytes of a weight file after which the connection is closed, once.
    """

    daemon_threads = True

    def __init__(self, models: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models = models
        self.requests: list[tuple[str, str]] = []
        self.ranges: list[str] = []
        self.gated: set[str] = set()
        self.vanished: set[str] = set()
        self.announced: dict[str, int] = {}
        self.damaged: set[str] = set()
        self.cut_after: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fetched(self) -> list[str]:
        """Return the names of the files that were requested."""
        return [path.rpartition("/")[2] for method, path in self.requests if method == "GET" and "/resolve/" in path]

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect."""


class Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.handle_path(with_body=False)

    def do_GET(self) -> None:
        self.handle_path(with_body=True)

    def handle_path(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append((self.command, path))
        repository = next((name for name in self.server.models if f"/{name}/" in path), None)
        if repository is None:
            self.refuse(404, "RepoNotFound", "Repository not found")
        elif repository in self.server.gated and "/resolve/" in path:
            self.refuse(403, "GatedRepo", "Access to this model is restricted")
        elif any(f"/{revision}" in path for revision in self.server.vanished):
            self.refuse(404, "RevisionNotFound", "Invalid rev id")
        elif path.startswith(f"{_API}{repository}/revision/"):
            self.send_json(
                {"id": repository, "sha": COMMIT, "siblings": [], "private": False, "tags": [], "downloads": 0}
            )
        elif path.startswith(f"{_API}{repository}/tree/"):
            self.send_json([self.file_info(file) for file in sorted(self.server.models[repository].iterdir())])
        else:
            self.send_file(self.server.models[repository] / path.rpartition("/")[2], with_body=with_body)

    def file_info(self, file: Path) -> dict[str, Any]:
        data = file.read_bytes()
        size = self.server.announced.get(file.name, len(data))
        plain = {"type": "file", "path": file.name, "size": size, "oid": hashlib.sha1(data).hexdigest()}  # noqa: S324
        if file.suffix != ".safetensors":
            return plain
        return {**plain, "lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": size, "pointerSize": 100}}

    def send_file(self, file: Path, *, with_body: bool) -> None:
        if not file.is_file():
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        data = file.read_bytes()
        etag = hashlib.sha256(data).hexdigest()
        if file.name in self.server.damaged:
            data = bytes(len(data))
        size, start, end = len(data), 0, len(data)
        if requested := self.headers.get("Range"):
            self.server.ranges.append(requested)
            first, _, last = requested.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last) + 1 if last else size
        self.send_response(206 if start or end < size else 200)
        self.send_header("Content-Length", str(end - start))
        if start or end < size:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("ETag", f'"{etag}"')
        commit = re.search(r"/resolve/([0-9a-f]{40})/", self.path)
        self.send_header("X-Repo-Commit", commit[1] if commit else COMMIT)
        self.end_headers()
        if not with_body:
            return
        if self.server.cut_after is not None and file.suffix == ".safetensors":
            data, self.server.cut_after = data[: start + self.server.cut_after], None
            self.close_connection = True
        self.wfile.write(data[start:end])

    def send_json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


def point_client_to(server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the hub's client use `server` and keep downloads in the folder `cache`."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
