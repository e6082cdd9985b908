"""The server that comes with transformers, as a process of its own, with a model that is also loaded here."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import httpx2
import pytest

from assistant.errors import ModelError
from assistant.events import Usage
from assistant.messages import Image, Message, assistant, user
from assistant.models.base import ChatModel, GenerationOptions
from assistant.models.local.model import LocalModel
from assistant.models.remote.model import RemoteModel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def address(llava_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("hub")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(llava_folder)]
    command += ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5, trust_env=False).is_success
    except httpx2.TransportError:
        return False


@pytest.fixture
def remote(address: str, llava_folder: Path) -> RemoteModel:
    return RemoteModel.connect(address, model=str(llava_folder))


def ask(model: ChatModel, *messages: Message, max_tokens: int = 24) -> str:
    return "".join(model.stream(messages, GenerationOptions(max_tokens=max_tokens), threading.Event()))


def test_it_says_word_for_word_what_the_same_model_says_here(
    remote: RemoteModel, llava_folder: Path, picture: Callable[[int], Image]
) -> None:
    local = LocalModel.load(str(llava_folder), device="cpu", quantize="none")
    talk = [user("What is in this picture?", picture(1))]
    answers = [ask(model, *talk) for model in (local, remote)]
    assert len(answers[0]) > 10
    assert answers[0] == answers[1]
    talk += [assistant(answers[0]), user("And now?")]
    assert ask(local, *talk) == ask(remote, *talk)
    assert ask(remote, user("What is in this picture?", picture(2))) != answers[0]


def test_it_counts_its_tokens(remote: RemoteModel) -> None:
    def count() -> Generator[str, None, None]:
        usages.append((yield from remote.stream([user("Hello")], GenerationOptions(max_tokens=5), threading.Event())))

    usages: list[Usage] = []
    assert "".join(count())
    assert usages[0].prompt_tokens > 5
    assert usages[0].reply_tokens == 5


def test_it_is_left_in_the_middle_and_answers_the_next(remote: RemoteModel) -> None:
    stream = remote.stream([user("Hello")], GenerationOptions(max_tokens=400), threading.Event())
    next(stream)
    started = time.monotonic()
    stream.close()
    assert time.monotonic() - started < 1
    assert ask(remote, user("Hello"), max_tokens=5)


def test_a_model_it_does_not_have_is_one_sentence(address: str) -> None:
    with pytest.raises(ModelError) as raised:
        ask(RemoteModel.connect(address, model="no-such/model", retry_delays=()), user("Hello"))
    assert "\n" not in str(raised.value)
