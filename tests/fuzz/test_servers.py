"""Servers: odd and damaged lists of models, event streams, JSON bodies and errors, through the real remote model."""

import json
import random
import threading
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from functools import partial

import httpx2
import pytest

from assistant.errors import ParleyError
from assistant.events import TextWasReasoning
from assistant.messages import user
from assistant.models.base import GenerationOptions
from assistant.models.remote import streamed_reply
from assistant.models.remote.http_client import ApiClient
from assistant.models.remote.model import RemoteModel
from assistant.models.replies import stream_reply
from assistant.models.reply_text import is_blank
from assistant.text_cleaning import clean_line, to_json
from tests.fuzz.harness import fuzz, mutate_bytes, odd_json, odd_text

KEY = "sk-secret-4711"
KEYS = (
    *("choices", "delta", "content", "finish_reason", "index", "usage", "prompt_tokens", "completion_tokens"),
    *("prompt_tokens_details", "cached_tokens", "error", "message", "detail", "loc", "msg", "param", "object", "id"),
    *("role", "reasoning_content", "reasoning", "refusal", "tool_calls", "function", "name", "type", "text", "data"),
    *("output", "summary", "response", "status", "incomplete_details", "summary_index", "item", "input_tokens"),
    *("output_tokens", "input_tokens_details", "output_tokens_details", "call_id", "reason"),
    *("arguments", "max_model_len", "meta", "n_ctx", "context_length", "model", "created", "timings", "code"),
)
KINDS = (
    *(
        "output_text.delta",
        "output_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_text.delta",
        "refusal.delta",
    ),
    *("reasoning_summary_part.added", "output_item.added", "output_item.done", "completed", "incomplete", "failed"),
)
REASONS = (None, None, "stop", "length", "tool_calls", "content_filter", "refusal", "", "null", "error", "eos", 7)
MEDIA_TYPES = ("text/event-stream", "text/event-stream; charset=utf-16", "application/json", "text/html", "text/plain")
REFUSALS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "Unrecognized request argument supplied: stream_options",
    "Extra inputs are not permitted",
    "'temperature' does not support 0 with this model",
    "max_tokens is too large: at most 3",
    "This model's maximum context length is 100 tokens. However, your request has 99 input tokens.",
    "This model is only supported in v1/responses and not in v1/chat/completions.",
    "Unsupported parameter: 'reasoning.summary' is not supported with this model.",
)


@dataclass(frozen=True)
class Answer:
    """One HTTP response, in pieces as they arrive."""

    status: int
    headers: dict[str, str]
    pieces: list[bytes]


def make_event(rng: random.Random) -> object:
    """Make a chunk: usual, with odd parts, or anything."""
    kind = rng.random()
    if kind < 0.04:
        return odd_json(rng, KEYS, 4)
    text = odd_text(rng, 3) if rng.random() < 0.96 else odd_json(rng, KEYS, 2)
    field = rng.choice(("content", "content", "content", "reasoning_content", "refusal", "tool_calls"))
    choice = {"index": rng.choice((0, 0, 0, None, 1, "0")), "delta": {field: text}}
    choice["finish_reason"] = rng.choice(REASONS) if rng.random() < 0.3 else None
    event: dict[str, object] = {"choices": [choice] * rng.choice((1, 1, 1, 2, 0)), "object": "chat.completion.chunk"}
    if rng.random() < 0.2:
        event[rng.choice(KEYS)] = odd_json(rng, KEYS, 3)
    if rng.random() < 0.3:
        event["usage"] = {"prompt_tokens": odd_json(rng, (), 1), "completion_tokens": odd_json(rng, (), 1)}
    return event


def make_response_event(rng: random.Random) -> object:
    """Make an event of the responses API: usual, with odd parts, or anything."""
    if rng.random() < 0.04:
        return odd_json(rng, KEYS, 4)
    text = odd_text(rng, 3) if rng.random() < 0.96 else odd_json(rng, KEYS, 2)
    part = {"type": rng.choice(("output_text", "reasoning_text", "summary_text", "refusal")), "text": text}
    kind = rng.choice(("message", "reasoning", "function_call"))
    item = {"type": kind, "content": [part], "summary": [part], "name": text, "arguments": text}
    response: dict[str, object] = {"status": rng.choice(("completed", "completed", "incomplete", "failed", 3))}
    response["output"] = [item] * rng.choice((0, 1, 2)) if rng.random() < 0.8 else odd_json(rng, KEYS, 3)
    response["usage"] = {"input_tokens": odd_json(rng, (), 1), "output_tokens": odd_json(rng, (), 1)}
    event: dict[str, object] = {"type": f"response.{rng.choice(KINDS)}", "delta": text, "item": item}
    event["response"] = response if rng.random() < 0.9 else odd_json(rng, KEYS, 3)
    if rng.random() < 0.2:
        event[rng.choice(KEYS)] = odd_json(rng, KEYS, 3)
    return response | {"object": "response"} if rng.random() < 0.05 else event


def make_stream(rng: random.Random) -> bytes:
    lines: list[str] = []
    make = rng.choice((make_event, make_event, make_response_event))
    for _ in range(rng.randint(0, 8)):
        data = json.dumps(make(rng), ensure_ascii=rng.random() < 0.5)
        usual = rng.random() < 0.9
        prefix = "data: " if usual else rng.choice(("data:", "event: error\ndata: ", ": ", "id: 1\n", ""))
        lines.append(prefix + data + rng.choice(("\n\n", "\n\n", "\r\n\r\n", "\r\r")))
    if rng.random() < 0.7:
        lines.append("data: [DONE]\n\n")
    if rng.random() < 0.05:
        rng.shuffle(lines)
    return "".join(lines).encode(errors="surrogatepass" if rng.random() < 0.3 else "replace")


def make_body(rng: random.Random) -> bytes:
    kind = rng.random()
    if kind < 0.3:
        return json.dumps({"error": {"message": f"{rng.choice(REFUSALS)} {KEY} {odd_text(rng, 2)}"}}).encode()
    if kind < 0.5:
        return json.dumps({"data": [odd_json(rng, KEYS, 2), {"id": odd_text(rng, 2) or "m"}]}).encode()
    if kind < 0.6:
        return b"[" * rng.choice((10, 100_000))
    return json.dumps(odd_json(rng, KEYS, 4)).encode()


def make_answer(rng: random.Random) -> Answer:
    is_stream = rng.random() < 0.8
    content = make_stream(rng) if is_stream else make_body(rng)
    if rng.random() < 0.2:
        content = mutate_bytes(rng, content)
    status = 200 if rng.random() < 0.85 else rng.choice((204, 301, 307, 400, 401, 404, 413, 422, 429, 500, 599))
    headers = {"content-type": "text/event-stream" if is_stream else rng.choice(MEDIA_TYPES)}
    for name in ("location", "retry-after", "content-type", "content-encoding"):
        if rng.random() < 0.03:
            value = rng.choice(("gzip", "http://[", "/v2/models", "-1", "9" * 30, "Fri, 99 Foo", f"http://h/{KEY}"))
            headers[name] = value
    cuts = sorted(rng.randrange(len(content) + 1) for _ in range(rng.choice((0, 1, 3, 20))))
    pieces = [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    return Answer(status, headers, pieces)


def make_server(rng: random.Random) -> list[Answer]:
    """Make the answers of a server to one request after another: mostly a list of models, then replies."""
    models = {"data": [{"id": "m", "max_model_len": odd_json(rng, (), 0), "meta": odd_json(rng, KEYS, 1)}]}
    usual = Answer(200, {"content-type": "application/json"}, [json.dumps(models).encode()])
    first = usual if rng.random() < 0.9 else make_answer(rng)
    # Half of the servers have no chat completions.
    no_chat = [] if rng.random() < 0.5 else [Answer(404, usual.headers, [b'{"detail": "Not Found"}'])]
    return [first, *no_chat, *(make_answer(rng) for _ in range(rng.randint(1, 3)))]


class Pieces(httpx2.AsyncByteStream):
    """A body that arrives in pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


class Network:
    """Answers every request with the next of `answers`; the last is repeated."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def client(self) -> httpx2.AsyncClient:
        """Return a client that asks this instead of a real network."""
        return httpx2.AsyncClient(transport=httpx2.MockTransport(self._respond))

    def _respond(self, request: httpx2.Request) -> httpx2.Response:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return httpx2.Response(answer.status, headers=answer.headers, stream=Pieces(answer.pieces), request=request)


def ask_server(network: Network, answers: list[Answer]) -> None:
    """List the models of a server, and ask one of them."""
    network.answers = list(answers)
    try:
        model = RemoteModel.connect("http://server.invalid/v1", key=KEY, retry_delays=(0.0,))
        items = list(stream_reply(model, [user("Hi")], GenerationOptions(max_tokens=50, seed=1), threading.Event()))
    except ParleyError as error:
        check_sentence(str(error))
        raise
    to_json([asdict(item) for item in items if not isinstance(item, str)]).encode()
    begin = max((number for number, item in enumerate(items) if isinstance(item, TextWasReasoning)), default=0)
    text = "".join(item for item in items[begin:] if isinstance(item, str))
    text.encode()
    assert not is_blank(text)
    assert len(text) <= 50 * 256


def check_sentence(sentence: str) -> None:
    """Raise `AssertionError` unless `sentence` can be shown."""
    assert KEY not in sentence
    assert sentence == clean_line(sentence, 5000)
    assert len(sentence) < 2500


@pytest.mark.slow
def test_no_answer_of_a_server_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_reply, "FINISH_GRACE", 0.05)
    network = Network()
    monkeypatch.setattr(ApiClient, "_client", lambda _: network.client())
    fuzz("servers", make_server, partial(ask_server, network))
