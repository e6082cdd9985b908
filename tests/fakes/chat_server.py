"""A server with OpenAI's chat completions that answers like vLLM, and misbehaves as a test tells it to."""

import base64
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from assistant.models.remote.model import RemoteModel

REPLY = " ".join(f"word{number}" for number in range(300))
IMAGE_TOKENS = 16

Behavior = Callable[["Handler"], None]
"""Answers one request, usually badly."""


class ChatServer(ThreadingHTTPServer):
    """A server on the loopback. A word counts as one token, an image as `IMAGE_TOKENS`.

    Attributes:
        models: Ids of the models.
        context_tokens: Context of each model.
        reply: Text of every reply.
        token_seconds: Pause before each word.
        reports_usage: False to leave out the token counts.
        behaviors: Answer the next chat requests, one each; later ones are answered well.
        models_behavior: Answers every request for the list of models; None for the list.
        responses: Answers every request for a response; None if there is no such API.
        requests: Chat requests received, and those for responses.
        paths: Path of each of `requests`.
        headers: Headers of all requests received.
        silent: Set when a behavior has sent its last byte and waits for the client to leave.
        client_left: Set when a client closed its connection early.
    """

    daemon_threads = True

    def __init__(self, *models: str, context_tokens: int = 512, reply: str = REPLY, listening: bool = True) -> None:
        """Start to listen, or only reserve an address until `server_activate` is called."""
        super().__init__(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.server_bind()
        if listening:
            self.server_activate()
        self.models = list(models or ("tiny-vlm",))
        self.context_tokens = context_tokens
        self.reply = reply
        self.token_seconds = 0.0
        self.reports_usage = True
        self.behaviors: deque[Behavior] = deque()
        self.models_behavior: Behavior | None = None
        self.responses: Behavior | None = None
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.silent = threading.Event()
        self.client_left = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def images(self) -> list[bytes]:
        """Return the image files of the last request."""
        parts = [
            part
            for message in self.requests[-1]["messages"]
            if isinstance(message["content"], list)
            for part in message["content"]
        ]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        return [base64.b64decode(url.partition(",")[2]) for url in urls]

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: tests close connections early on purpose."""
        self.client_left.set()


class Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_GET(self) -> None:
        self.server.headers.append(dict(self.headers))
        if self.server.models_behavior is not None:
            self.server.models_behavior(self)
        elif self.path == "/v1/models":
            details = {"object": "model", "max_model_len": self.server.context_tokens}
            models = [{"id": model, **details} for model in self.server.models]
            self.answer_json(200, {"object": "list", "data": models})
        else:
            self.answer_json(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        self.server.headers.append(dict(self.headers))
        self.server.paths.append(self.path)
        if self.path != "/v1/chat/completions":
            (self.server.responses or not_found)(self)
        elif self.server.behaviors:
            self.server.behaviors.popleft()(self)
        else:
            self.answer_chat(request)

    def answer_chat(self, request: dict[str, Any]) -> None:
        if request["model"] not in self.server.models:
            self.answer_error(404, f"The model `{request['model']}` does not exist.")
            return
        prompt, limit, max_tokens = count_tokens(request), self.server.context_tokens, request["max_tokens"]
        if prompt >= limit:
            self.answer_error(
                400,
                f"This model's maximum context length is {limit} tokens. However, your request has {prompt} input "
                "tokens. Please reduce the length of the input messages.",
            )
        elif prompt + max_tokens > limit:
            self.answer_error(
                400,
                f"'max_tokens' or 'max_completion_tokens' is too large: {max_tokens}. This model's maximum context "
                f"length is {limit} tokens and your request has {prompt} input tokens "
                f"({max_tokens} > {limit} - {prompt}).",
            )
        else:
            self.start_events()
            words = self.server.reply.split(" ")[:max_tokens]
            self.send_words(words)
            reason = "length" if len(words) < len(self.server.reply.split(" ")) else "stop"
            self.send_chunk({"choices": [{"delta": {}, "finish_reason": reason}]})
            if self.server.reports_usage and request["stream_options"]["include_usage"]:
                usage = {"prompt_tokens": prompt, "completion_tokens": len(words)}
                self.send_chunk({"choices": [], "usage": usage})
            self.send_data("[DONE]")

    def start_events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()
        self.send_chunk({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})

    def send_words(self, words: list[str]) -> None:
        for number, word in enumerate(words):
            time.sleep(self.server.token_seconds)
            text = f" {word}" if number else word
            self.send_chunk({"choices": [{"delta": {"content": text}, "finish_reason": None}]})

    def send_chunk(self, chunk: dict[str, Any]) -> None:
        self.send_data(json.dumps({"object": "chat.completion.chunk", "model": self.server.models[0], **chunk}))

    def send_data(self, data: str) -> None:
        self.wfile.write(f"data: {data}\n\n".encode())

    def answer_error(self, status: int, message: str, **headers: str) -> None:
        error = {"message": message, "type": "BadRequestError", "code": status}
        self.answer_json(status, {"error": error}, **headers)

    def answer_json(self, status: int, body: object, **headers: str) -> None:
        self.answer(status, json.dumps(body).encode(), "application/json", **headers)

    def answer(self, status: int, body: bytes, media_type: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": media_type, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def stay_silent(self) -> None:
        """Send nothing until the client leaves."""
        self.server.silent.set()
        if self.connection.recv(1) == b"":
            self.server.client_left.set()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


def count_tokens(request: dict[str, Any]) -> int:
    """Count the tokens of a request as the server does."""
    total = 0
    for message in request["messages"]:
        parts = message["content"]
        for part in [{"type": "text", "text": parts}] if isinstance(parts, str) else parts:
            total += len(part["text"].split()) if part["type"] == "text" else IMAGE_TOKENS
    return total


def error_response(status: int, message: str = "", **headers: str) -> Behavior:
    """Answer with an HTTP error, with `message` in vLLM's format."""
    return lambda handler: handler.answer_error(status, message, **headers)


def raw_response(body: bytes, media_type: str = "text/event-stream", status: int = 200) -> Behavior:
    """Answer with any body."""
    return lambda handler: handler.answer(status, body, media_type)


def event_stream(*events: object, end: bool = True, media_type: str = "text/event-stream") -> Behavior:
    """Answer with `events`, each JSON or a text that is sent as it is, and with `[DONE]` unless `end` is False."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", media_type)
        handler.end_headers()
        for event in events:
            handler.send_data(event if isinstance(event, str) else json.dumps(event))
        if end:
            handler.send_data("[DONE]")

    return answer


def then_open(behavior: Behavior) -> Behavior:
    """Answer, and keep the connection open in silence until the client leaves."""

    def answer(handler: Handler) -> None:
        behavior(handler)
        handler.stay_silent()

    return answer


def then_endless(behavior: Behavior, data: bytes) -> Behavior:
    """Answer, and send `data` again and again until the client leaves."""

    def answer(handler: Handler) -> None:
        behavior(handler)
        while True:
            handler.wfile.write(data)

    return answer


def delta(finish_reason: str | None = None, **fields: object) -> dict[str, Any]:
    """Return an event with one choice."""
    return {"choices": [{"delta": fields, "finish_reason": finish_reason}]}


def not_found(handler: Handler) -> None:
    """Answer that there is no such path, as FastAPI does."""
    handler.answer_json(404, {"detail": "Not Found"})


def silent(handler: Handler) -> None:
    """Send no byte."""
    handler.stay_silent()


def silent_after_headers(handler: Handler) -> None:
    """Send headers and an empty chunk, then nothing."""
    handler.start_events()
    handler.stay_silent()


def silent_after_a_word(handler: Handler) -> None:
    """Send one word, then nothing."""
    handler.start_events()
    handler.send_words(["One"])
    handler.stay_silent()


def hanging_up(handler: Handler) -> None:
    """Close the connection without an answer."""


def cut_off(handler: Handler) -> None:
    """Close the connection in the middle of an event, after three words."""
    handler.start_events()
    handler.send_words(["One", "two", "three"])
    handler.wfile.write(b'data: {"choices": [{"del')


def cut_off_before_a_word(handler: Handler) -> None:
    """Close the connection before the first word."""
    handler.start_events()


def garbled(handler: Handler) -> None:
    """Send an event that is not JSON, after two words."""
    handler.start_events()
    handler.send_words(["One", "two"])
    handler.send_data('{"choices": [{"delta": {"content": ')


def huge(handler: Handler) -> None:
    """Send one event of 8 MB."""
    handler.start_events()
    handler.send_words(["One"])
    handler.wfile.write(b"data: " + b"x" * 8 * 2**20 + b"\n\n")


def endless(handler: Handler) -> None:
    """Send words until the client leaves."""
    handler.start_events()
    while True:
        handler.send_words(["and"])


def failing_half_way(handler: Handler) -> None:
    """Send two words, then an error."""
    handler.start_events()
    handler.send_words(["One", "two"])
    handler.send_chunk({"error": {"message": "CUDA out of memory", "code": 500}})


def without_an_end_marker(handler: Handler) -> None:
    """Send a complete reply without `[DONE]`."""
    handler.start_events()
    handler.send_words(["One", "two"])
    handler.send_chunk({"choices": [{"delta": {}, "finish_reason": "stop"}]})


def not_http(handler: Handler) -> None:
    """Answer like a mail server."""
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


def connect(server: ChatServer, **options: Any) -> RemoteModel:
    """Connect to `server` with short delays between attempts."""
    return RemoteModel.connect(server.url, **{"retry_delays": (0.01, 0.01, 0.01), **options})
