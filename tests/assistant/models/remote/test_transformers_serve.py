"""A real server: the one that comes with transformers, with a model that is also loaded locally."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from assistant.errors import ModelError
from assistant.messages import Image, assistant, user
from assistant.models.base import GenerationOptions
from assistant.models.local.model import LocalModel
from assistant.models.remote.dialect import Dialect
from assistant.models.remote.model import RemoteModel
from tests.fakes.generation import complete, complete_with_usage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def address(llava_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with the tiny LLaVA model, in a process of its own."""
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
        deadline = time.monotonic() + 120
        while not _is_healthy(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


def _is_healthy(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5, trust_env=False).is_success
    except httpx2.TransportError:
        return False


@pytest.fixture
def remote(address: str, llava_folder: Path) -> RemoteModel:
    return RemoteModel.connect(address, model=str(llava_folder))


def test_greedy_replies_are_those_of_the_same_model_loaded_locally(
    remote: RemoteModel, llava_folder: Path, make_image: Callable[[int], Image]
) -> None:
    local = LocalModel.load(str(llava_folder), device="cpu", quantize="none")
    messages = [user("What is in this picture?", make_image(1))]
    replies = [complete(model, *messages, max_tokens=24) for model in (local, remote)]
    assert len(replies[0]) > 10
    assert replies[0] == replies[1]
    messages += [assistant(replies[0]), user("And now?")]
    assert complete(local, *messages, max_tokens=24) == complete(remote, *messages, max_tokens=24)
    assert complete(remote, user("What is in this picture?", make_image(2)), max_tokens=24) != replies[0]


def test_usage_is_counted_by_the_server(remote: RemoteModel) -> None:
    stream = remote.stream([user("Hello")], GenerationOptions(max_tokens=5), threading.Event())
    text, usage = complete_with_usage(stream)
    assert text
    assert usage.prompt_tokens > 5
    assert usage.reply_tokens == 5


def test_responses_have_the_same_text_and_their_tokens_are_counted(
    remote: RemoteModel, make_image: Callable[[int], Image]
) -> None:
    messages = [user("What is in this picture?", make_image(1)), assistant("A dog."), user("And now?")]
    by_chat = complete(remote, *messages, max_tokens=24)
    remote._learned[0] = Dialect().with_responses()
    text, usage = complete_with_usage(remote.stream(messages, GenerationOptions(max_tokens=24), threading.Event()))
    assert text == by_chat
    assert usage.reply_tokens == 24
    assert usage.prompt_tokens > 5


def test_a_stream_closed_early_leaves_the_server_usable(remote: RemoteModel) -> None:
    stream = remote.stream([user("Hello")], GenerationOptions(max_tokens=400), threading.Event())
    next(stream)
    stream.close()
    assert complete(remote, user("Hello"), max_tokens=5)


def test_a_missing_model_is_reported_in_one_sentence(address: str) -> None:
    with pytest.raises(ModelError) as raised:
        complete(RemoteModel.connect(address, model="no-such/model", retry_delays=()), user("Hello"))
    assert "\n" not in str(raised.value)
