"""Results files and predictions with odd content: through `--resume`, `--retry-errors` and `parley evaluate`."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from assistant.text_cleaning import to_json
from skills.evaluation.pairs import read_pairs
from skills.evaluation.scores import Bootstrap, evaluate
from skills.jsonl_results import IMAGE_KEY, RecordSchema, make_record, open_result_file
from skills.question_answering import Answer
from tests.fuzz.harness import fuzz, mutate_bytes, odd_json, odd_text

pytestmark = pytest.mark.slow

KEYS = (*Answer.model_fields, IMAGE_KEY, "error", "answers", "captions", "text", "label", "file", "id")
SCHEMA = RecordSchema(list(Answer.model_fields), fixed_fields={"question": "What?"})
TASKS = ("vqa", "caption", "emotion", "transcribe")


@dataclass(frozen=True)
class Input:
    """Two files, and what is done with them."""

    results: bytes
    references: bytes
    task: str
    use: str


def valid_line(rng: random.Random, name: str, question: str) -> str:
    if rng.random() < 0.2:
        return to_json(make_record(name, None, odd_text(rng, 2))) + "\n"
    answer = Answer(
        question=question,
        answer=odd_text(rng, 3),
        confidence=rng.choice((None, 0.5, rng.random())),
        calibrated=True,
        visible=rng.random() < 0.5,
        model="m",
    )
    return to_json(make_record(name, answer)) + "\n"


def reference_line(rng: random.Random, name: str) -> str:
    right = odd_text(rng, 2) or "joy"
    return json.dumps({"photo": name, "answers": [right], "captions": [right], "label": right, "text": right}) + "\n"


def odd_line(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.5:
        return (
            json.dumps({**json.loads(valid_line(rng, "odd.png", "What?")), rng.choice(KEYS): odd_json(rng, KEYS)})
            + "\n"
        )
    if kind < 0.8:
        return json.dumps(odd_json(rng, KEYS)) + "\n"
    return '{"photo": ' + rng.choice(("[", '{"a":')) * rng.choice((10, 2000, 200_000)) + "\n"


def make_file(rng: random.Random, *, references: bool) -> bytes:
    oddness = rng.choice((0.0, 0.0, 0.2, 0.7))
    question = rng.choice(("What?", "What?", "What?", odd_text(rng, 2)))
    lines = []
    names = ["a.png", "b/c.png", "~/d.png", "~nobody/e.png", "https://x/y.png", odd_text(rng, 2) or "f.png"]
    for name in rng.sample(names, rng.randint(0, 6)):
        if rng.random() < oddness:
            lines.append(odd_line(rng))
        else:
            lines.append(reference_line(rng, name) if references else valid_line(rng, name, question))
    data = "".join(lines).encode("utf-8", "surrogatepass")
    if oddness and rng.random() < 0.5:
        data = mutate_bytes(rng, data, 4)
    return data[: -rng.randint(1, 60)] if rng.random() < 0.3 else data


def make_input(rng: random.Random) -> Input:
    return Input(
        make_file(rng, references=False),
        make_file(rng, references=True),
        rng.choice(TASKS),
        rng.choice(("resume", "retry", "evaluate")),
    )


def whole_lines(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\n")[:-1] if b'"error"' not in line]


def test_results_with_odd_content_are_continued_or_refused(tmp_path: Path) -> None:
    results, references = tmp_path / "out.jsonl", tmp_path / "right.jsonl"

    def use(value: Input) -> None:
        results.write_bytes(value.results)
        references.write_bytes(value.references)
        if value.use == "evaluate":
            evaluate(value.task, read_pairs(value.task, results, references).pairs, Bootstrap(20))
            return
        try:
            append(results, retry_errors=value.use == "retry")
        finally:
            kept = results.read_bytes()
            assert all(line in kept for line in whole_lines(value.results)), "a line is lost"

    fuzz("results", make_input, use)


def append(path: Path, *, retry_errors: bool) -> None:
    with open_result_file(path, SCHEMA, resume=True, retry_errors=retry_errors) as file:
        file.write(make_record("new.png", None, "no"))
