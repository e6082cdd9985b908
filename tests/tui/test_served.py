"""The app in front of a model on a server."""

from functools import partial

from assistant.conversation.session import Session
from assistant.progress import Progress
from assistant.settings import Settings
from parley.factory.models import build_model
from tests.fakes import chat_server
from tests.fakes.chat_server import ChatServer, running
from tests.tui.conftest import Use
from tui.app import ParleyApp


def open_app(server: ChatServer) -> ParleyApp:
    def build(progress: Progress) -> Session:
        return Session(build_model(Settings(base_url=server.url), progress))

    return ParleyApp(build)


async def test_the_reply_of_a_server_is_shown_with_its_name(use: Use) -> None:
    with running(ChatServer(reply="It is a red square.")) as server:
        async with use(open_app(server)) as person:
            await person.type("What is this?")
            await person.press("enter")
            await person.sees("It is a red square.")
            await person.sees("ready")
            await person.sees("tiny-vlm")


async def test_escape_hangs_up_while_the_server_has_said_nothing(use: Use) -> None:
    with running(ChatServer(reply="It is a red square.")) as server:
        server.behaviours.append(chat_server.silent)
        async with use(open_app(server)) as person:
            await person.type("What is this?")
            await person.press("enter")
            await person.until(lambda: server.requests)
            await person.press("escape")
            await person.until(server.hung_up.is_set)
            await person.sees("ready")
            await person.type("Again.")
            await person.press("enter")
            await person.sees("It is a red square.")


async def test_leaving_while_a_server_is_silent_takes_no_time(use: Use) -> None:
    with running(ChatServer()) as server:
        server.lists = chat_server.silent
        async with use(open_app(server)) as person:
            await person.until(partial(len, server.headers))
            await person.press("ctrl+q")
        assert server.hung_up.wait(5)
