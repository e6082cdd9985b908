"""A server with OpenAI's chat completions that answers like vLLM, and misbehaves in every way that it is told to."""

import base64
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPLY = " ".join(f"word{number}" for number in range(300))
IMAGE_TOKENS = 16

Behaviour = Callable[["Handler"], None]
"""What a request meets in the place of a good answer."""


class ChatServer(ThreadingHTTPServer):
    """Listens on the loopback. A token is a word here, and a picture counts as `IMAGE_TOKENS` of them.

    One that is not `listening` has an address at which nobody answers until `server_activate`.
    """

    daemon_threads = True

    def __init__(self, *models: str, context_tokens: int = 512, reply: str = REPLY, listening: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.server_bind()
        if listening:
            self.server_activate()
        self.models = list(models or ("tiny-vlm",))
        self.context_tokens = context_tokens
        self.reply = reply
        self.token_seconds = 0.0
        self.tells_usage = True
        self.behaviours: deque[Behaviour] = deque()
        """Met by the next requests, one each; after the last of them all is well."""
        self.lists: Behaviour | None = None
        """Met by those who ask for the models."""
        self.requests: list[dict[str, Any]] = []
        """The chat requests, as they came."""
        self.headers: list[dict[str, str]] = []
        self.hung_up = threading.Event()
        """A client closed its connection while it was kept waiting or written to."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def pictures(self) -> list[bytes]:
        """The picture files of the last request."""
        parts = [
            part
            for message in self.requests[-1]["messages"]
            if isinstance(message["content"], list)
            for part in message["content"]
        ]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        return [base64.b64decode(url.partition(",")[2]) for url in urls]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up in the middle are what is tested here."""
        self.hung_up.set()


class Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_GET(self) -> None:
        self.server.headers.append(dict(self.headers))
        if self.server.lists is not None:
            self.server.lists(self)
        elif self.path == "/v1/models":
            told = {"object": "model", "max_model_len": self.server.context_tokens}
            self.answer(200, {"object": "list", "data": [{"id": model, **told} for model in self.server.models]})
        else:
            self.answer(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        self.server.headers.append(dict(self.headers))
        if self.server.behaviours:
            self.server.behaviours.popleft()(self)
        else:
            self.reply(request)

    def reply(self, request: dict[str, Any]) -> None:
        if request["model"] not in self.server.models:
            self.complain(404, f"The model `{request['model']}` does not exist.")
            return
        prompt, limit, wanted = count_tokens(request), self.server.context_tokens, request["max_tokens"]
        if prompt >= limit:
            self.complain(
                400,
                f"This model's maximum context length is {limit} tokens. However, your request has {prompt} input "
                "tokens. Please reduce the length of the input messages.",
            )
        elif prompt + wanted > limit:
            self.complain(
                400,
                f"'max_tokens' or 'max_completion_tokens' is too large: {wanted}. This model's maximum context length "
                f"is {limit} tokens and your request has {prompt} input tokens ({wanted} > {limit} - {prompt}).",
            )
        else:
            self.begin_events()
            words = self.server.reply.split(" ")[:wanted]
            self.say(words)
            self.event({"choices": [{"delta": {}, "finish_reason": "length"}]})
            if self.server.tells_usage and request["stream_options"]["include_usage"]:
                counted = {"prompt_tokens": prompt, "completion_tokens": len(words)}
                self.event({"choices": [], "usage": counted})
            self.data("[DONE]")

    def begin_events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()
        self.event({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})

    def say(self, words: list[str]) -> None:
        for number, word in enumerate(words):
            time.sleep(self.server.token_seconds)
            self.event({"choices": [{"delta": {"content": f" {word}" if number else word}, "finish_reason": None}]})

    def event(self, chunk: dict[str, Any]) -> None:
        self.data(json.dumps({"object": "chat.completion.chunk", "model": self.server.models[0], **chunk}))

    def data(self, data: str) -> None:
        self.wfile.write(f"data: {data}\n\n".encode())

    def complain(self, status: int, message: str, **headers: str) -> None:
        self.answer(status, {"error": {"message": message, "type": "BadRequestError", "code": status}}, **headers)

    def answer(self, status: int, body: object, **headers: str) -> None:
        self.send(status, json.dumps(body).encode(), "application/json", **headers)

    def send(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def wait_for_hangup(self) -> None:
        if self.connection.recv(1) == b"":
            self.server.hung_up.set()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


def count_tokens(request: dict[str, Any]) -> int:
    total = 0
    for message in request["messages"]:
        parts = message["content"]
        for part in [{"type": "text", "text": parts}] if isinstance(parts, str) else parts:
            total += len(part["text"].split()) if part["type"] == "text" else IMAGE_TOKENS
    return total


def failing(status: int, message: str = "", **headers: str) -> Behaviour:
    """An error of HTTP, with `message` as vLLM words it."""
    return lambda handler: handler.complain(status, message, **headers)


def sending(body: bytes, kind: str = "text/event-stream", status: int = 200) -> Behaviour:
    """A body of whatever kind."""
    return lambda handler: handler.send(status, body, kind)


def silent(handler: Handler) -> None:
    """No byte of an answer."""
    handler.wait_for_hangup()


def silent_after_headers(handler: Handler) -> None:
    handler.begin_events()
    handler.wait_for_hangup()


def silent_after_a_word(handler: Handler) -> None:
    handler.begin_events()
    handler.say(["One"])
    handler.wait_for_hangup()


def hanging_up(handler: Handler) -> None:
    """The connection ends without an answer."""


def cut_off(handler: Handler) -> None:
    """The answer ends in the middle of an event."""
    handler.begin_events()
    handler.say(["One", "two", "three"])
    handler.wfile.write(b'data: {"choices": [{"del')


def cut_off_before_a_word(handler: Handler) -> None:
    handler.begin_events()


def garbled(handler: Handler) -> None:
    handler.begin_events()
    handler.say(["One", "two"])
    handler.data('{"choices": [{"delta": {"content": ')


def huge(handler: Handler) -> None:
    """One event of many megabytes."""
    handler.begin_events()
    handler.say(["One"])
    handler.wfile.write(b"data: " + b"x" * 8 * 2**20 + b"\n\n")


def endless(handler: Handler) -> None:
    """Words for as long as anyone listens."""
    handler.begin_events()
    while True:
        handler.say(["and"])


def failing_half_way(handler: Handler) -> None:
    handler.begin_events()
    handler.say(["One", "two"])
    handler.event({"error": {"message": "CUDA out of memory", "code": 500}})


def without_an_end_marker(handler: Handler) -> None:
    handler.begin_events()
    handler.say(["One", "two"])
    handler.event({"choices": [{"delta": {}, "finish_reason": "stop"}]})


def speaking_no_http(handler: Handler) -> None:
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


@contextmanager
def running(server: ChatServer) -> Iterator[ChatServer]:
    """Answer from a thread for as long as the block lasts."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
