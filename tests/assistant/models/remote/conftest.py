"""A chat server for all tests of remote models."""

from collections.abc import Iterator

import pytest

from tests.fakes.chat_server import ChatServer
from tests.fakes.http_server import running


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """A server with one model, whose replies have five words."""
    with running(ChatServer(reply="One two three four five.", context_tokens=4096)) as server:
        yield server
