"""A model on a server: a real one on the loopback, well-behaved and in every way not."""

import asyncio
import base64
import io
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import PIL.Image
import pytest
import trustme

from assistant.attachments.images import ImageLoader
from assistant.conversation.session import Session
from assistant.errors import ConfigError, ContextOverflow, ModelError
from assistant.events import Event, Notice, Usage
from assistant.messages import Audio, Image, Message, assistant, system, user
from assistant.models.base import GenerationOptions
from assistant.models.remote.model import RemoteModel
from assistant.models.remote.openai_api import MAX_IMAGE_SIDE, data_url, parse_context_overflow
from tests.fakes import chat_server
from tests.fakes.chat_server import Behaviour, ChatServer, failing, running, sending

HELLO = [user("Hello there.")]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with running(ChatServer(reply="One two three four five.", context_tokens=4096)) as server:
        yield server


def connect(server: ChatServer, **options: Any) -> RemoteModel:
    return RemoteModel.connect(server.url, **{"retry_delays": (0.01, 0.01, 0.01), **options})


def ask(model: RemoteModel, *messages: Message, stop: threading.Event | None = None, **options: Any) -> str:
    stream = model.stream(messages or HELLO, GenerationOptions(**options), stop or threading.Event())
    return "".join(stream)


def usage_of(model: RemoteModel) -> Usage:
    stream = model.stream(HELLO, GenerationOptions(), threading.Event())
    while True:
        try:
            next(stream)
        except StopIteration as end:
            usage: Usage = end.value
            return usage


async def drain(session: Session, text: str) -> list[Event]:
    async with aclosing(session.turn(user(text))) as events:
        return [event async for event in events]


class TestTheModel:
    def test_the_only_one_of_a_server_answers(self, server: ChatServer) -> None:
        model = connect(server)
        assert (model.info.name, model.info.context_tokens) == ("tiny-vlm", 4096)
        assert model.info.device == f"127.0.0.1:{server.server_port}"
        assert ask(model) == "One two three four five."

    def test_of_several_one_has_to_be_named(self, server: ChatServer) -> None:
        server.models = ["large", "small"]
        with pytest.raises(ModelError, match=r"several models: choose with --model one of large, small\."):
            connect(server)
        assert ask(connect(server, model="small"))
        assert server.requests[-1]["model"] == "small"

    def test_one_that_only_makes_embeddings_is_no_choice(self, server: ChatServer) -> None:
        server.models = ["text-embedding-nomic", "qwen"]
        assert connect(server).info.name == "qwen"

    @pytest.mark.parametrize(
        ("name", "supports_grounding"),
        [("Qwen/Qwen3-VL-8B-Instruct", True), ("qwen3vl:4b", True), ("qwen2.5-vl", False)],
    )
    def test_one_that_draws_boxes_is_known_by_its_name(
        self, server: ChatServer, name: str, supports_grounding: bool
    ) -> None:
        server.models = [name]
        assert connect(server).info.supports_grounding == supports_grounding

    def test_without_any_it_says_so(self, server: ChatServer) -> None:
        server.models = []
        with pytest.raises(ModelError, match="has no model loaded"):
            connect(server)

    def test_a_name_the_server_does_not_know_is_its_own_to_refuse(self, server: ChatServer) -> None:
        model = connect(server, model="absent")
        with pytest.raises(ModelError, match=r"has no model absent .*does not exist.*--model"):
            ask(model)

    @pytest.mark.parametrize(("status", "phrase"), [(404, "404 Not Found.*--model"), (500, "500 Internal")])
    def test_a_server_without_a_list_takes_a_name(self, server: ChatServer, status: int, phrase: str) -> None:
        server.lists = sending(b"", "text/plain", status)
        assert ask(connect(server, model="tiny-vlm"))
        with pytest.raises(ModelError, match=phrase):
            connect(server)

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": [{}]}', b'{"data": {"id": "x"}}', b"", b"\xff" * 50])
    def test_a_page_in_place_of_the_list_is_named(self, server: ChatServer, body: bytes) -> None:
        server.lists = sending(body, "text/html")
        with pytest.raises(ModelError, match="has no list of models"):
            connect(server)


class TestTheRequest:
    def test_says_how_to_answer(self, server: ChatServer) -> None:
        ask(connect(server), system("Be brief."), *HELLO, max_tokens=7, temperature=0.5, seed=3)
        sent = server.requests[-1]
        assert sent["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello there."},
        ]
        assert (sent["max_tokens"], sent["temperature"], sent["seed"], sent["stream"]) == (7, 0.5, 3, True)
        ask(connect(server))
        assert "seed" not in server.requests[-1]

    def test_carries_the_pictures_before_the_words(self, server: ChatServer, picture: Callable[[int], Image]) -> None:
        ask(connect(server), user("Look!", picture(1)), assistant("I see."), user("And now?"))
        content = server.requests[-1]["messages"][0]["content"]
        assert [part["type"] for part in content] == ["image_url", "text"]
        with PIL.Image.open(io.BytesIO(server.pictures()[0])) as seen:
            assert seen.size == (40, 30)
            assert seen.convert("RGB").tobytes() == random.Random(1).randbytes(40 * 30 * 3)

    def test_a_recording_is_refused_before_anything_is_sent(self, server: ChatServer) -> None:
        with pytest.raises(ModelError, match="type the message instead"):
            ask(connect(server), Message("user", (Audio(b"\0" * 4, 16_000),)))
        assert not server.requests

    def test_a_photo_goes_upright_small_and_without_its_place(self) -> None:
        exif = PIL.Image.Exif()
        exif[0x0112] = 6  # turned by 90 degrees
        exif[0x010F] = "A camera that knows where it was"
        data = io.BytesIO()
        PIL.Image.new("RGB", (3000, 1000), "red").save(data, "JPEG", exif=exif)
        url = data_url(ImageLoader().load_bytes(data.getvalue(), "photo.jpg").image)
        kind, _, body = url.partition(",")
        assert kind == "data:image/jpeg;base64"
        with PIL.Image.open(io.BytesIO(base64.b64decode(body))) as sent:
            assert sent.size == (683, MAX_IMAGE_SIDE)
            assert not sent.getexif()


class TestTheUsage:
    def test_is_the_servers_count(self, server: ChatServer) -> None:
        usage = usage_of(connect(server))
        assert (usage.prompt_tokens, usage.reply_tokens) == (2, 5)
        assert 0 < usage.first_token_seconds <= usage.total_seconds

    def test_without_one_the_pieces_are_counted(self, server: ChatServer) -> None:
        server.tells_usage = False
        assert usage_of(connect(server)).reply_tokens == 5

    def test_knows_what_came_out_of_the_servers_cache(self, server: ChatServer) -> None:
        chunk = (
            b'data: {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9,'
            b' "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 8}}}\n\n'
        )
        server.behaviours.append(sending(chunk))
        assert usage_of(connect(server)).cached_tokens == 8


class TestStopping:
    @pytest.mark.parametrize(
        "waiting", [chat_server.silent, chat_server.silent_after_headers, chat_server.silent_after_a_word]
    )
    def test_closes_the_connection_at_once(self, server: ChatServer, waiting: Behaviour) -> None:
        server.behaviours.append(waiting)
        model = connect(server)
        stop = threading.Event()
        said: list[str] = []
        asking = threading.Thread(target=lambda: said.append(ask(model, stop=stop)))
        asking.start()
        while not server.requests:
            time.sleep(0.01)
        # The word is on its way by then, even on a busy machine.
        time.sleep(1 if waiting is chat_server.silent_after_a_word else 0.1)
        stop.set()
        asking.join(20)
        assert not asking.is_alive()
        assert server.hung_up.wait(20)
        assert said == ["One" if waiting is chat_server.silent_after_a_word else ""]

    def test_leaving_a_reply_closes_the_connection(self, server: ChatServer) -> None:
        server.behaviours.append(chat_server.silent_after_a_word)
        stream = connect(server).stream(HELLO, GenerationOptions(), threading.Event())
        assert next(stream) == "One"
        stream.close()
        assert server.hung_up.wait(20)

    def test_ends_the_wait_before_another_try(self, server: ChatServer) -> None:
        server.behaviours.append(failing(503, Retry_After="30"))
        model = connect(server)
        stop = threading.Event()
        threading.Timer(0.2, stop.set).start()
        started = time.monotonic()
        assert ask(model, stop=stop) == ""
        assert time.monotonic() - started < 5
        assert len(server.requests) == 1

    def test_one_who_waits_for_the_server_to_come_up_can_leave(self) -> None:
        class Left(Exception):
            pass

        def leave(what: str, done: int, total: int) -> None:
            assert "asking the server" in what
            raise Left

        listener = ChatServer()  # accepts connections, and answers none of them
        with pytest.raises(Left):
            RemoteModel.connect(listener.url, progress=leave)
        listener.server_close()


class TestAnotherTry:
    @pytest.mark.parametrize(
        "trouble",
        [
            failing(429),
            failing(500, "CUDA error"),
            failing(503),
            chat_server.hanging_up,
            chat_server.cut_off_before_a_word,
        ],
    )
    def test_follows_what_passes(self, server: ChatServer, trouble: Behaviour) -> None:
        server.behaviours.extend([trouble, trouble])
        assert ask(connect(server)) == "One two three four five."
        assert len(server.requests) == 3

    def test_comes_when_the_server_asks_for_it(self, server: ChatServer) -> None:
        server.behaviours.append(failing(429, Retry_After="1"))
        started = time.monotonic()
        assert ask(connect(server))
        assert time.monotonic() - started >= 1

    @pytest.mark.parametrize("when", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
    def test_is_left_to_the_person_where_it_would_take_long(self, server: ChatServer, when: str) -> None:
        server.behaviours.append(failing(429, "Quota exceeded.", Retry_After=when))
        with pytest.raises(ModelError, match=r"429 Too Many Requests \(Quota exceeded\): try again in \d+ seconds"):
            ask(connect(server))
        assert len(server.requests) == 1

    @pytest.mark.parametrize("when", ["soon", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", ""])
    def test_is_not_confused_by_an_odd_moment(self, server: ChatServer, when: str) -> None:
        server.behaviours.append(failing(429, Retry_After=when))
        assert ask(connect(server))

    def test_ends_after_four(self, server: ChatServer) -> None:
        server.behaviours.extend([failing(503, "Loading model")] * 9)
        with pytest.raises(ModelError, match=r"503 Service Unavailable \(Loading model\): try again later"):
            ask(connect(server))
        assert len(server.requests) == 4

    def test_never_follows_a_word(self, server: ChatServer) -> None:
        server.behaviours.append(chat_server.cut_off)
        with pytest.raises(ModelError, match="broke off"):
            ask(connect(server))
        assert len(server.requests) == 1

    def test_finds_a_server_that_comes_up_late(self) -> None:
        server = ChatServer(listening=False)
        threading.Timer(0.3, server.server_activate).start()
        with running(server):
            model = RemoteModel.connect(server.url, retry_delays=(0.1,) * 50)
        assert model.info.name == "tiny-vlm"


class TestMisbehaviour:
    @pytest.mark.parametrize(
        ("trouble", "sentence"),
        [
            (chat_server.garbled, "sent an invalid chunk"),
            (chat_server.cut_off, "broke off its answer"),
            (chat_server.huge, "sent an invalid event stream"),
            (chat_server.failing_half_way, r"stopped with an error \(CUDA out of memory\)"),
            (sending(b"<html>Welcome to nginx</html>", "text/html"), "answered with text/html instead of events"),
            (sending(b"x" * 8 * 2**20, "application/octet-stream"), "octet-stream instead of events"),
            (sending(b'{"error": {"message": "no such slot"}}', "application/json"), "no such slot"),
            (sending(b"\xff\xfe\x00\x01" * 100), "broke off"),
            (sending(b"data: [1, 2]\n\n"), "invalid chunk"),
            (sending(b'data: {"choices": [{"delta": {"content": 7}}]}\n\n'), "invalid chunk"),
            (sending(b'data: {"object": "error", "message": "Oh no", "code": 400}\n\n'), r"stopped with an error \(Oh no\)"),
            (
                sending(b'{"detail": [{"msg": "Input should be a string"}]}', "application/json", 422),
                "422 .*be a string",
            ),
            (sending(b'{"error": "image input is not supported"}', "application/json", 400), "image input is not"),
            (sending(b"", "text/plain", 307), "307 Temporary Redirect: check the address"),
            (sending(b"", "text/plain", 599), "answered 599"),
            (chat_server.speaking_no_http, "broke off"),
        ],
    )
    def test_is_one_sentence(self, server: ChatServer, trouble: Behaviour, sentence: str) -> None:
        server.behaviours.extend([trouble] * 4)
        model = connect(server)
        with pytest.raises(ModelError, match=sentence) as caught:
            ask(model)
        assert "\n" not in str(caught.value)
        assert server.url in str(caught.value)
        assert len(str(caught.value)) < 600
        server.behaviours.clear()
        assert ask(model) == "One two three four five."

    def test_a_server_that_never_ends_is_left(self, server: ChatServer) -> None:
        server.behaviours.append(chat_server.endless)
        assert ask(connect(server), max_tokens=20).count("and") == 20
        assert server.hung_up.wait(1)

    def test_a_server_that_falls_silent_is_left(self, server: ChatServer) -> None:
        server.behaviours.append(chat_server.silent_after_a_word)
        with pytest.raises(ModelError, match=r"has sent nothing for 0\.2 seconds"):
            ask(connect(server, read_timeout=0.2))

    def test_an_end_without_its_marker_is_an_end(self, server: ChatServer) -> None:
        server.behaviours.append(chat_server.without_an_end_marker)
        assert ask(connect(server)) == "One two"

    def test_nobody_there_is_one_sentence(self) -> None:
        server = ChatServer()
        server.server_close()
        with pytest.raises(ModelError, match=r"No server answers at http://127\.0\.0\.1:\d+/v1: start it"):
            connect(server)

    def test_a_name_that_leads_nowhere_is_one_sentence(self) -> None:
        with pytest.raises(ModelError, match="No server answers"):
            RemoteModel.connect("http://no-such-host.invalid/v1", retry_delays=())

    def test_what_is_no_address_is_one_sentence(self) -> None:
        with pytest.raises(ConfigError, match="not the address of a server"):
            RemoteModel.connect("http://[::1/v1")

    def test_a_certificate_of_nobody_is_refused(self, server: ChatServer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        with pytest.raises(ModelError, match="no valid certificate, so nothing was sent"):
            RemoteModel.connect(server.url.replace("http:", "https:"))


class TestTheKey:
    KEY = "sk-very-secret-1234"

    def test_goes_with_every_request_and_nowhere_else(
        self, server: ChatServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        model = connect(server, key=self.KEY)
        server.behaviours.append(failing(401, f"Incorrect API key provided: {self.KEY}."))
        with pytest.raises(ModelError, match="requires a valid API key") as caught:
            ask(model)
        assert self.KEY not in str(caught.value)
        assert self.KEY not in caplog.text
        assert self.KEY not in repr(model)
        assert [headers["Authorization"] for headers in server.headers] == [f"Bearer {self.KEY}"] * 2

    def test_is_asked_for_where_the_server_wants_one(self, server: ChatServer) -> None:
        server.lists = failing(401, "Unauthorized")
        with pytest.raises(ModelError, match="set it in the environment as PARLEY_API_KEY"):
            connect(server)
        assert "Authorization" not in server.headers[0]

    @pytest.mark.parametrize("key", ["two\nlines", "ключ", " spaced"])
    def test_that_is_none_is_told_without_showing_it(self, server: ChatServer, key: str) -> None:
        with pytest.raises(ConfigError, match="API key contains characters") as caught:
            connect(server, key=key)
        assert key not in str(caught.value)

    def test_stays_behind_when_the_server_sends_elsewhere(self, server: ChatServer) -> None:
        with running(ChatServer()) as other:
            server.lists = lambda handler: handler.send(307, b"", "text/plain", Location=f"{other.url}/models")
            with pytest.raises(ModelError, match="307"):
                connect(server, key=self.KEY)
            assert not other.headers


class TestAContextThatIsFull:
    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (
                (
                    "This model's maximum context length is 16384 tokens. However, you requested 122946 tokens (112946 "
                    "in the messages, 10000 in the completion). Please reduce the length of the messages or completion."
                ),
                (112946, 16384),
            ),
            (
                (
                    "'max_tokens' or 'max_completion_tokens' is too large: 512. This model's maximum context length is "
                    "4096 tokens and your request has 4000 input tokens (512 > 4096 - 4000)."
                ),
                (4000, 4096),
            ),
            (
                (
                    "The prompt (total length 25938) is too long to fit into the model (context length 4096). Make "
                    "sure that `max_model_len` is no smaller than the number of text tokens plus multimodal tokens."
                ),
                (25938, 4096),
            ),
            (
                (
                    "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that "
                    "`max_model_len` is no smaller than the number of text tokens plus multimodal tokens."
                ),
                (5000, 4096),
            ),
            (
                (
                    "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a "
                    "total of 5000 tokens: 4488 tokens from the input messages and 512 tokens for the completion."
                ),
                (4488, 4096),
            ),
            ("The input (5000 tokens) is longer than the model's context length (4096 tokens).", (5000, 4096)),
            (
                (
                    "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded "
                    "with context length of only 4096 tokens, which is not enough."
                ),
                (5000, 4096),
            ),
            (
                (
                    '{"error":{"code":400,"message":"the request exceeds the available context size. try increasing '
                    'the context size or enable context shift","type":"exceed_context_size_error",'
                    '"n_prompt_tokens":14429,"n_ctx":8192}}'
                ),
                (14429, 8192),
            ),
            ("Requested tokens exceed context window", (0, 0)),
            ("CUDA out of memory", None),
            ("Unauthorized", None),
        ],
    )
    def test_is_understood_from_every_server(self, words: str, found: tuple[int, int] | None) -> None:
        assert parse_context_overflow(words) == found

    def test_leaves_the_oldest_turns_out(self, server: ChatServer) -> None:
        server.context_tokens = 512
        notices: list[str] = []

        async def talk() -> None:
            session = Session(connect(server), options=GenerationOptions(max_tokens=16))
            for number in range(8):
                heard = await drain(session, f"{number} " + "dog " * 80)
                notices.extend(event.text for event in heard if isinstance(event, Notice))
            await session.close()

        asyncio.run(talk())
        assert "no longer fits the model" in notices[0]
        sent = [message["content"] for message in server.requests[-1]["messages"]]
        assert sent[-1].startswith("7 ")
        assert not any(content.startswith("0 ") for content in sent)

    def test_of_unknown_length_is_one_sentence(self, server: ChatServer) -> None:
        server.behaviours.append(failing(400, "Requested tokens exceed context window"))
        with pytest.raises(ContextOverflow, match="longer than the model has room for"):
            ask(connect(server))

    def test_may_be_the_body_of_the_request(self, server: ChatServer) -> None:
        server.behaviours.append(sending(b"too large", "text/plain", 413))
        with pytest.raises(ContextOverflow):
            ask(connect(server))

    def test_found_out_while_the_reply_begins_counts_as_well(self, server: ChatServer) -> None:
        server.behaviours.append(
            sending(b'data: {"error": {"message": "the request exceeds the available context size", "n_ctx": 256}}\n\n')
        )
        with pytest.raises(ContextOverflow):
            ask(connect(server))


def test_what_was_said_before_a_failure_is_kept(server: ChatServer) -> None:
    async def talk() -> None:
        session = Session(connect(server))
        server.behaviours.append(chat_server.cut_off)
        with pytest.raises(ModelError, match="broke off"):
            await drain(session, "Count.")
        assert session.messages[-1] == assistant("One two three", interrupted=True)
        await drain(session, "Go on.")
        assert [message["content"] for message in server.requests[-1]["messages"]] == [
            "Count.",
            "One two three",
            "Go on.",
        ]
        await session.close()

    asyncio.run(talk())


def test_a_proxy_of_the_environment_is_not_asked_about_this_machine(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert connect(server).info.name == "tiny-vlm"


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks9://127.0.0.1:9")
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ModelError, match="The proxy set in the environment cannot be used"):
        RemoteModel.connect("http://server.invalid/v1", retry_delays=())


def test_certificates_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    with pytest.raises(ConfigError, match="certificates set in SSL_CERT_FILE"):
        RemoteModel.connect("https://server.invalid/v1", retry_delays=())
