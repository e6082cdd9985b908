"""A batch API: answers the lines of an OpenAI batch file, in any order, as `vllm run-batch` and OpenAI write them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Reply = Callable[[dict[str, Any]], str | dict[str, Any]]
"""Returns the text of the reply to the body of a request, or a whole response."""


def requests(file: Path) -> list[dict[str, Any]]:
    """Return the requests in a batch file."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def question(body: dict[str, Any]) -> str:
    """Return the text of a request's only message."""
    [message] = body["messages"]
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def completion(text: str | None, **fields: object) -> dict[str, Any]:
    """Return a good response."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **fields}
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    return {"status_code": 200, "body": {"object": "chat.completion", "choices": [choice], "usage": usage}}


def failure(message: str, status: int = 400) -> dict[str, Any]:
    """Return the response to a request that was refused."""
    return {"status_code": status, "body": {"error": {"message": message, "code": status}}}


def answer(requested: Sequence[dict[str, Any]], file: Path, reply: Reply) -> Path:
    """Write the answers to some requests, the last one first, and return the file."""
    lines = []
    for request in reversed(requested):
        replied = reply(request["body"])
        response = completion(replied) if isinstance(replied, str) else replied
        lines.append({"id": "batch_req", "custom_id": request["custom_id"], "response": response, "error": None})
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file
