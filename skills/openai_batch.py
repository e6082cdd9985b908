"""OpenAI batch files: questions that a batch API answers later, such as `vllm run-batch`, and its answers.

    file ─▶ skill ─▶ `BatchFileModel` has no answer ─▶ `Unanswered` ─▶ requests.jsonl ─▶ batch API
    file ─▶ skill ─▶ `BatchFileModel` ◀───────────────────────────── answers.jsonl ◀────────┘
              └─▶ result

The identifier of a request is made from what it asks. So its answer is found in whatever order and number of files it
comes, and nothing has to be kept between the two runs. A skill whose next question follows from an answer takes several
rounds.
"""

import hashlib
import os
import re
import threading
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import SkillError, first_line
from assistant.events import Usage
from assistant.messages import Image, Message, Reasoning, Text
from assistant.models.base import GenerationOptions, ModelInfo, ReplyItem
from assistant.models.data_urls import data_url
from assistant.models.remote.chunks import parse_chunk
from assistant.models.remote.http_errors import find_message
from assistant.models.remote.json_values import as_count, as_dict, as_text, parse_json
from assistant.models.remote.openai_api import supports_grounding, to_openai_message
from assistant.models.tool_call_deltas import ToolCallDeltas
from assistant.text_cleaning import clean_line, to_json
from skills.jsonl_results import cut_off, open_to_append, write_all
from skills.vision_model import Unanswered

_PREFIX = "parley-"
_MAX_ANSWER_BYTES = 1 << 24
# An image has 2048 pixels a side at most, and few skills show several.
_MAX_REQUEST_BYTES = 1 << 28
_REQUEST_BEGIN = b'{"custom_id": "parley-'
_REQUEST = re.compile(rb'{"custom_id": "(parley-[0-9a-f]{32})", ')
_OK = 200


@dataclass(frozen=True)
class BatchRequest:
    """One question to a model, decoded greedily.

    Attributes:
        model: Id of the model.
        messages: The question.
        max_tokens: Longest reply.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int

    @property
    def id(self) -> str:
        """Identifier that is equal for the same question about the same images."""
        asked = [[message.role, [_identity(part) for part in message.parts]] for message in self.messages]
        return _PREFIX + hashlib.sha256(to_json([self.model, self.max_tokens, asked]).encode()).hexdigest()[:32]

    def line(self) -> str:
        """Return the line of a batch file. Raises `AttachmentError` if an image cannot be decoded."""
        urls = {image.digest: data_url(image) for message in self.messages for image in message.images}
        body = {
            "model": self.model,
            "messages": [to_openai_message(message, urls) for message in self.messages],
            # Nothing that only some servers know: nobody is there to ask again without it.
            "max_completion_tokens": self.max_tokens,
            "temperature": 0,
        }
        return to_json({"custom_id": self.id, "method": "POST", "url": "/v1/chat/completions", "body": body})


def _identity(part: object) -> str:
    return part.digest if isinstance(part, Image) else part.text if isinstance(part, Text) else ""


@dataclass(frozen=True)
class BatchAnswer:
    """An answer of a batch API.

    Attributes:
        body: A completion of chat.
        error: What went wrong, in place of `body`; empty if nothing did.
    """

    body: dict[str, Any]
    error: str = ""


class BatchAnswers:
    """The answers in some files. Only where each one lies is in memory: some 250 bytes an answer."""

    def __init__(self, files: Sequence[Path] = ()) -> None:
        """Read through the files once. A good answer counts before an error, and a later one before an earlier one.

        Raises `SkillError` if a file cannot be read.
        """
        self.damaged: dict[Path, int] = {}
        """Number of lines that are no answers, of each file that has some."""
        self._files = list(files)
        self._places: dict[bytes, tuple[int, int]] = {}
        failed: set[bytes] = set()
        for number, file in enumerate(files):
            for offset, line in _lines(file):
                custom_id, answer = _parse_answer(line)
                if answer is None:
                    self.damaged[file] = self.damaged.get(file, 0) + bool(line.strip())
                elif custom_id.startswith(_PREFIX):
                    key = _key(custom_id)
                    if answer.error and key in self._places and key not in failed:
                        continue
                    self._places[key] = number, offset
                    (failed.add if answer.error else failed.discard)(key)

    def __len__(self) -> int:
        return len(self._places)

    def find(self, custom_id: str) -> BatchAnswer | None:
        """Return the answer to a request, or None if there is none. Raises `SkillError` if its file has changed."""
        place = self._places.get(_key(custom_id))
        if place is None:
            return None
        file = self._files[place[0]]
        found, answer = _parse_answer(next((line for _, line in _lines(file, place[1])), b""))
        if answer is None or found != custom_id:
            raise SkillError(f"{file} has changed while it was read: start again.")
        return answer


class BatchFileModel:
    """A `ChatModel` that has the answers of a batch and raises `Unanswered` for every other question."""

    def __init__(self, name: str, answers: BatchAnswers, *, asks_again: bool = False) -> None:
        """Answer as the model `name`. With `asks_again` an error among the answers counts as none."""
        self.info = ModelInfo(name, "batch", "unknown", 0, supports_grounding=supports_grounding(name))
        self._name = name
        self._answers = answers
        self._asks_again = asks_again

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        stop: threading.Event,  # noqa: ARG002 - there is nothing to wait for
    ) -> Generator[ReplyItem, None, Usage]:
        request = BatchRequest(self._name, tuple(messages), options.max_tokens)
        answer = self._answers.find(request.id)
        if answer is None or (answer.error and self._asks_again):
            raise Unanswered([request])
        if answer.error:
            raise SkillError(f"The batch gave an error in place of an answer: {answer.error}.")
        try:
            chunk = parse_chunk(to_json(answer.body))
        except ValueError as error:
            raise SkillError(f"The batch gave an answer that cannot be read ({error}): ask again.") from error
        if chunk.reasoning:
            yield Reasoning(chunk.reasoning)
        if chunk.text:
            yield chunk.text
        tools = ToolCallDeltas()
        for call in chunk.tool_calls:
            tools.add(call)
        yield from tools.complete()
        reason, usage = chunk.finish_reason or "stop", chunk.usage
        return Usage(
            (usage and usage.prompt_tokens) or 0,
            (usage and usage.cached_tokens) or 0,
            (usage and usage.completion_tokens) or 0,
            finish_reason="refusal" if chunk.refusal and reason == "stop" else reason,
            finish_detail=chunk.refusal,
            reasoning_tokens=(usage and usage.reasoning_tokens) or 0,
        )

    def close(self) -> None:
        """Nothing is held."""


class RequestFile:
    """A batch file, open for appending.

    Attributes:
        ids: Identifiers of the requests in it. APIs refuse a file that has one twice.
    """

    def __init__(self, path: Path, descriptor: int, ids: set[str]) -> None:
        self.ids: Collection[str] = ids
        self._ids = ids
        self._path = path
        self._descriptor = descriptor

    def write(self, custom_id: str, line: str) -> bool:
        """Append a request unless it is there. Returns True if it was new. Raises `SkillError`."""
        if custom_id in self._ids:
            return False
        write_all(self._path, self._descriptor, f"{line}\n".encode())
        self._ids.add(custom_id)
        return True


@contextmanager
def open_request_file(path: Path, *, resume: bool) -> Iterator[RequestFile]:
    """Open the batch file `path`, new or to be resumed, without the request that a crash has cut off.

    Raises:
        SkillError: The file exists and `resume` is False, has other lines, is in use, or cannot be written.
    """
    with open_to_append(path, resume=resume, option="--batch-file") as descriptor:
        ids: set[str] = set()
        complete_bytes = 0
        with os.fdopen(os.dup(descriptor), "rb") as file:
            file.seek(0)
            for number, line in enumerate(iter(lambda: file.readline(_MAX_REQUEST_BYTES), b""), 1):
                request = _REQUEST.match(line)
                if not line.endswith(b"\n") and (request or _REQUEST_BEGIN.startswith(line[: len(_REQUEST_BEGIN)])):
                    break
                if request is None or not line.endswith(b"}}\n"):
                    raise SkillError(f"Line {number} of {path} is no request of Parley's: name another file.")
                ids.add(request[1].decode())
                complete_bytes += len(line)
        cut_off(path, descriptor, complete_bytes)
        yield RequestFile(path, descriptor, ids)


def _lines(file: Path, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their offsets, those that are too long in parts. Raises `SkillError`."""
    try:
        with file.open("rb") as opened:
            opened.seek(offset)
            while line := opened.readline(_MAX_ANSWER_BYTES):
                yield offset, line
                offset += len(line)
    except OSError as error:
        raise SkillError(f"The answers in {file} cannot be read ({first_line(error)}): check the path.") from error


def _parse_answer(line: bytes) -> tuple[str, BatchAnswer | None]:
    """Return the identifier of a request and its answer; None if `line` is none."""
    try:
        value = as_dict(parse_json(line))
    except ValueError:
        return "", None
    custom_id = as_text(value.get("custom_id"))
    if not custom_id or not ("response" in value or "error" in value):
        return "", None
    response = as_dict(value.get("response"))
    body = as_dict(response.get("body"))
    if value.get("error") or response.get("status_code", _OK) != _OK or not body.get("choices"):
        message = find_message(to_json(value.get("error") or body).encode()) or "it has no text"
        status = as_count(response.get("status_code"))
        described = clean_line(message, 300).rstrip(".:")
        return custom_id, BatchAnswer({}, f"{described} (status {status})" if status not in (None, _OK) else described)
    return custom_id, BatchAnswer(body)


def _key(custom_id: str) -> bytes:
    return custom_id.removeprefix(_PREFIX).encode()
