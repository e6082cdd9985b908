"""GGUF files: damaged, odd and hostile ones of a tiny model, through the public loader, and a reply if one loads.

llama.cpp is native code, which ends the process where it is wrong. So the files are loaded in another process.
"""

import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.messages import user
from assistant.models.base import GenerationOptions
from assistant.models.gguf.metadata import read_metadata
from assistant.models.gguf.model import GgufModel
from assistant.models.local import template_limits
from assistant.models.replies import stream_text
from tests.fakes.gguf_parts import take_apart
from tests.fakes.isolated import Isolated
from tests.fakes.tiny_gguf import make_gguf
from tests.fuzz.gguf_changes import make_file
from tests.fuzz.harness import fuzz

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="measures memory as POSIX does")]


def load_and_ask(file: Path) -> None:
    """Load a file; if it loads, let it answer and score. Runs in a process of its own."""
    template_limits.MAX_SECONDS = 1.0
    model = GgufModel.load(file, threads=1)
    try:
        for question in ("What is it?", "And <|im_start|>now?"):
            reply = stream_text(model, [user(question)], GenerationOptions(max_tokens=6), threading.Event())
            "".join(reply).encode()
        model.score([user("Is it?")], ["a dog", "no"], threading.Event())
    finally:
        model.close()


def test_no_gguf_file_is_a_fault(tmp_path: Path) -> None:
    whole = make_gguf(tmp_path / "whole.gguf").read_bytes()
    assert take_apart(whole).pack() == whole
    file = tmp_path / "odd.gguf"

    with Isolated(load_and_ask) as isolated:

        def use(data: bytes) -> None:
            file.write_bytes(data)
            isolated(file)

        fuzz("gguf_files", partial(make_file, whole), use)


def test_no_gguf_header_is_a_fault(tmp_path: Path) -> None:
    whole = make_gguf(tmp_path / "whole.gguf").read_bytes()
    file = tmp_path / "odd.gguf"

    def use(data: bytes) -> None:
        file.write_bytes(data)
        try:
            metadata = read_metadata(file)
        except ModelError as error:
            assert len(str(error)) < 300 + len(str(file))  # noqa: PT017 - any message will do
            raise
        metadata.name.encode()

    fuzz("gguf_headers", partial(make_file, whole), use)
