"""The comparison with llama.cpp's own server, on a tiny model."""

from pathlib import Path

import pytest

from benchmarks import language
from tests.fakes.tiny_gguf import make_gguf


@pytest.mark.slow
def test_every_engine_answers_in_both_conditions(tmp_path: Path) -> None:
    file = make_gguf(tmp_path / "tiny.gguf", context_tokens=2048)
    figures = {figure.name: figure for figure in language.measure(file, runs=1)}
    for condition in ("idle", "beside a busy program"):
        for engine in ("ours", "server", "one"):
            assert figures[f"decode, {engine}, {condition}"].median > 0
            assert figures[f"first token, {engine}, {condition}"].median > 0
    assert figures["time of a token, ours to server, idle"].goal == language.GOAL_PERCENT
