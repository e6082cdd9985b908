"""The app with a model on a server."""

from functools import partial

from assistant.conversation.session import Session
from assistant.progress import Progress
from assistant.settings import Settings
from parley.factory.models import build_model
from tests.fakes import chat_server
from tests.fakes.chat_server import ChatServer
from tests.fakes.http_server import running
from tests.fakes.tui import WAIT_SECS, RunApp
from tui.app import ParleyApp


def make_app(server: ChatServer) -> ParleyApp:
    def build(progress: Progress) -> Session:
        return Session(build_model(Settings(base_url=server.url), progress))

    return ParleyApp(build)


async def test_reply_of_a_server_is_shown_with_the_name_of_its_model(run_app: RunApp) -> None:
    with running(ChatServer(reply="It is a red square.")) as server:
        async with run_app(make_app(server)) as person:
            await person.send("What is this?")
            await person.expect_text("It is a red square.")
            await person.expect_text("ready")
            await person.expect_text("tiny-vlm")


async def test_esc_closes_the_connection_to_a_silent_server(run_app: RunApp) -> None:
    with running(ChatServer(reply="It is a red square.")) as server:
        server.behaviors.append(chat_server.silent)
        async with run_app(make_app(server)) as person:
            await person.send("What is this?")
            await person.wait_until(lambda: server.requests)
            await person.press("escape")
            await person.wait_until(server.client_left.is_set)
            await person.expect_text("ready")
            await person.send("Again.")
            await person.expect_text("It is a red square.")


async def test_quitting_closes_the_connection_to_a_silent_server(run_app: RunApp) -> None:
    with running(ChatServer()) as server:
        server.models_behavior = chat_server.silent
        async with run_app(make_app(server)) as person:
            await person.wait_until(partial(len, server.headers))
            await person.press("ctrl+q")
        assert server.client_left.wait(WAIT_SECS)
