"""Answers of a batch API: odd and damaged files, read by a skill."""

import json
import random
import threading
from functools import partial
from pathlib import Path

import pytest

from assistant.messages import user
from skills.openai_batch import BatchAnswers, BatchFileModel, BatchRequest
from skills.vision_model import VisionClient
from tests.fuzz.harness import fuzz, mutate_bytes, odd_json, odd_text

KEYS = (
    *("custom_id", "response", "error", "status_code", "body", "choices", "message", "content", "finish_reason"),
    *("usage", "prompt_tokens", "code", "index", "refusal", "tool_calls", "function", "name", "arguments", "type"),
)
ID = BatchRequest("m", (user("Hi"),), 64).id


def make_answers(rng: random.Random) -> bytes:
    """Make a file: usual answers with odd parts, or anything."""
    lines = []
    for _ in range(rng.randint(0, 4)):
        text = odd_text(rng, 3) if rng.random() < 0.8 else odd_json(rng, KEYS, 3)
        choice = {"message": {"content": text}, "finish_reason": rng.choice(("stop", "length", None, 7))}
        body: object = {"choices": [choice], "usage": odd_json(rng, KEYS, 2)}
        if rng.random() < 0.3:
            body = odd_json(rng, KEYS, 4)
        response: object = {"status_code": rng.choice((200, 200, 200, 400, "200", None)), "body": body}
        line = {"custom_id": ID if rng.random() < 0.8 else odd_json(rng, KEYS, 1), "response": response}
        line["error"] = odd_json(rng, KEYS, 2) if rng.random() < 0.2 else None
        lines.append(json.dumps(line if rng.random() < 0.9 else odd_json(rng, KEYS, 4)))
    content = "\n".join(lines).encode(errors="replace")
    return mutate_bytes(rng, content) if rng.random() < 0.3 else content


def read_answers(file: Path, content: bytes) -> None:
    """Let a client answer from the file."""
    file.write_bytes(content)
    model = BatchFileModel("m", BatchAnswers([file]))
    text = VisionClient(model, threading.Event()).ask("Hi")
    assert text.strip()
    text.encode()


@pytest.mark.slow
def test_no_file_of_answers_is_a_fault(tmp_path: Path) -> None:
    fuzz("batch answers", make_answers, partial(read_answers, tmp_path / "answers.jsonl"))
