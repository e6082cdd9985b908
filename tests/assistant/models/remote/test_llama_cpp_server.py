"""A real server: llama.cpp's own, with a tiny model, over the loopback."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import xllamacpp

from assistant.errors import ContextOverflow
from assistant.messages import assistant, system, user
from assistant.models.base import GenerationOptions
from assistant.models.gguf.model import GgufModel
from assistant.models.remote.dialect import Dialect
from assistant.models.remote.model import RemoteModel
from skills.openai_batch import BatchAnswers, BatchFileModel
from skills.vision_model import Unanswered, VisionClient
from tests.fakes.generation import complete, complete_with_usage
from tests.fakes.tiny_gguf import make_gguf

pytestmark = pytest.mark.slow

MESSAGES = [system("Be brief."), user("Hello"), assistant("dog dog"), user("And now?")]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def address(file: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx, params.n_parallel = 512, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.verbosity = -1
    params.warmup = params.ui = False
    server: Any = xllamacpp.Server(params)
    # Its threads begin after the constructor returns.
    server.handle_completions({"prompt": "a", "max_tokens": 1})
    yield f"{server.listening_address}/v1"
    del server


@pytest.fixture
def remote(address: str) -> RemoteModel:
    return RemoteModel.connect(address)


def test_greedy_replies_are_those_of_the_same_file_in_this_process(remote: RemoteModel, file: Path) -> None:
    local = GgufModel.load(file)
    try:
        expected = complete(local, *MESSAGES, max_tokens=24, temperature=0)
    finally:
        local.close()
    assert len(expected) > 10
    assert complete(remote, *MESSAGES, max_tokens=24, temperature=0) == expected
    remote._learned[0] = Dialect().with_responses()
    assert complete(remote, *MESSAGES, max_tokens=24, temperature=0) == expected


def test_the_context_and_the_tokens_are_those_of_the_server(remote: RemoteModel) -> None:
    assert remote.info.context_tokens == 512
    options = GenerationOptions(max_tokens=20, temperature=0)
    for dialect in (Dialect(), Dialect().with_responses()):
        remote._learned[0] = dialect
        usage = complete_with_usage(remote.stream(MESSAGES, options, threading.Event()))[1]
        assert usage.reply_tokens == 20
        assert usage.prompt_tokens > 40
    assert usage.cached_tokens > 0


def test_a_batch_file_has_the_answers_of_a_live_run(remote: RemoteModel, address: str, tmp_path: Path) -> None:
    live = VisionClient(remote).ask("Hello", max_tokens=12)
    with pytest.raises(Unanswered) as raised:
        VisionClient(BatchFileModel(remote.info.name, BatchAnswers())).ask("Hello", max_tokens=12)
    request = json.loads(raised.value.requests[0].line())
    response = httpx2.post(f"{address}/chat/completions", json=request["body"], timeout=60, trust_env=False)
    answer = {"status_code": response.status_code, "body": response.json()}
    file = tmp_path / "answers.jsonl"
    file.write_text(json.dumps({"custom_id": request["custom_id"], "response": answer, "error": None}) + "\n")
    batch = VisionClient(BatchFileModel(remote.info.name, BatchAnswers([file])))
    assert batch.ask("Hello", max_tokens=12) == live
    assert batch.usage.reply_tokens == 12


def test_a_prompt_beyond_the_context_is_told_from_other_errors(remote: RemoteModel) -> None:
    for dialect in (Dialect(), Dialect().with_responses()):
        remote._learned[0] = dialect
        with pytest.raises(ContextOverflow) as raised:
            complete(remote, user("dog " * 2000))
        assert raised.value.prompt_tokens > 512
