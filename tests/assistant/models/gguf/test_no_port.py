"""llama.cpp brings an HTTP server: nothing outside this process may reach it, and it prints nothing."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from assistant.messages import user
from assistant.models.gguf.model import GgufModel
from tests.fakes.generation import complete

LoadModel = Callable[..., GgufModel]


def test_no_tcp_port_is_open(load_model: LoadModel) -> None:
    before = listening_ports()
    model = load_model()
    complete(model, user("Hi"), max_tokens=3)
    assert listening_ports() == before


def listening_ports() -> set[int]:
    connections = psutil.Process().net_connections("inet")
    return {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN}


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_nobody_can_connect_to_the_socket(load_model: LoadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    import xllamacpp

    sockets: list[str] = []
    # A class of an extension cannot be given another constructor.
    start = xllamacpp.Server

    def note_and_start(params: Any) -> Any:
        sockets.extend(params.hostnames)
        return start(params)

    monkeypatch.setattr(xllamacpp, "Server", note_and_start)
    load_model()
    assert len(sockets) == 1
    assert not Path(sockets[0]).parent.exists()
    with socket.socket(socket.AF_UNIX) as connection, pytest.raises(OSError, match=r"No such file|refused"):
        connection.connect(sockets[0])


def test_llama_cpp_prints_nothing(write_gguf: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "damaged.gguf").write_bytes(write_gguf().read_bytes()[:100_000])
    program = f"""
import threading
from pathlib import Path
from assistant.errors import ModelError
from assistant.messages import user
from assistant.models.base import GenerationOptions
from assistant.models.gguf.model import GgufModel
folder = Path({str(tmp_path)!r})
try:
    GgufModel.load(folder / "damaged.gguf", threads=1)
except ModelError:
    pass
model = GgufModel.load(folder / "tiny.gguf", threads=1)
list(model.stream([user("Hi")], GenerationOptions(max_tokens=5), threading.Event()))
model.close()
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert (run.stdout, run.stderr) == ("", "")
