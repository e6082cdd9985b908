"""The contract of `ChatModel`, tested on the scripted model and on real ones with random weights."""

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from assistant.errors import ContextOverflow
from assistant.events import Usage
from assistant.messages import Image, Message, assistant, system, user
from assistant.models.base import ChatModel, GenerationOptions, ReplyItem
from assistant.models.gguf.model import GgufModel
from assistant.models.local.model import LocalModel
from assistant.models.pocket.model import PocketModel
from assistant.models.remote.model import RemoteModel
from assistant.models.scripted import ScriptedModel
from tests.fakes.describer import scripted_vision
from tests.fakes.tiny_gguf import make_gguf
from tests.fakes.tiny_models import clear_caches

LONG_REPLY = " ".join(f"word{number}" for number in range(300))
SEEING = ["scripted", "pocket", "remote", "llava", "llava-int8", "adapted-int8", "qwen", "qwen-int8", "even-nf4"]
"""Backends that take images."""
QUESTION = [system("Be brief."), user("What is in this picture? A dog runs over the grass.")]


@dataclass(frozen=True)
class Reply:
    chunks: list[str]
    usage: Usage

    @property
    def text(self) -> str:
        return "".join(self.chunks)


def ask(model: ChatModel, messages: Sequence[Message], **options: float) -> Reply:
    return finish(model.stream(messages, GenerationOptions(**options), threading.Event()))  # type: ignore[arg-type]


def finish(stream: Generator[ReplyItem, None, Usage]) -> Reply:
    chunks: list[str] = []
    while True:
        try:
            item = next(stream)
        except StopIteration as end:
            return Reply(chunks, end.value)
        assert isinstance(item, str)
        chunks.append(item)


@pytest.fixture(params=[*SEEING, "gguf"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def make_model(backend: str, request: pytest.FixtureRequest) -> Callable[[], ChatModel]:
    """Make a new model of the backend."""
    family, _, quantize = backend.partition("-")
    if family == "remote":
        server = request.getfixturevalue("chat_server")
        return partial(RemoteModel.connect, server.url)
    if family == "scripted":
        return lambda: ScriptedModel(*[LONG_REPLY] * 20, context_tokens=512)
    if family == "pocket":
        return lambda: PocketModel(ScriptedModel(*[LONG_REPLY] * 20, context_tokens=512), scripted_vision)
    if family == "gguf":
        file = make_gguf(request.getfixturevalue("tmp_path") / "tiny.gguf")
        return partial(GgufModel.load, file, threads=1)
    folder: Path = request.getfixturevalue(f"{family}_folder")
    return partial(LocalModel.load, str(folder), device="cpu", quantize=quantize or "none")


@pytest.fixture(scope="module")
def shared_models() -> dict[str, LocalModel]:
    """Local models that have been loaded already, by backend."""
    return {}


@pytest.fixture
def model(backend: str, make_model: Callable[[], ChatModel], shared_models: dict[str, LocalModel]) -> ChatModel:
    """A model of the backend; local ones are shared, with empty caches."""
    if backend not in shared_models:
        made = make_model()
        if not isinstance(made, LocalModel):
            return made
        shared_models[backend] = made
    clear_caches(shared_models[backend])
    return shared_models[backend]


def test_info_describes_the_model(model: ChatModel) -> None:
    assert model.info.name
    assert model.info.device.partition(":")[0] in {"cpu", "127.0.0.1"}
    assert model.info.quantization in {"none", "int8", "nf4", "f32", "unknown"}
    assert model.info.context_tokens == 512
    assert not model.info.supports_grounding


@pytest.mark.gpu_stack
def test_a_model_trained_on_bounding_boxes_supports_grounding(qwen3_vl_folder: Path) -> None:
    assert LocalModel.load(str(qwen3_vl_folder), device="cpu").info.supports_grounding


def test_a_reply_arrives_in_chunks_and_its_usage_adds_up(model: ChatModel) -> None:
    reply = ask(model, QUESTION, max_tokens=20)
    assert all(reply.chunks)
    assert len(reply.chunks) > 1
    assert 0 < reply.usage.reply_tokens <= 20
    assert reply.usage.prompt_tokens > 5
    assert 0 < reply.usage.first_token_seconds <= reply.usage.total_seconds


def test_a_reply_is_no_longer_than_max_tokens(model: ChatModel) -> None:
    assert ask(model, QUESTION, max_tokens=1).usage.reply_tokens == 1
    assert len(ask(model, QUESTION, max_tokens=3).chunks) <= 3


def test_a_reply_that_reaches_max_tokens_says_so(model: ChatModel) -> None:
    assert ask(model, QUESTION, max_tokens=2).usage.finish_reason == "length"


def test_a_greedy_reply_is_repeatable(model: ChatModel) -> None:
    assert ask(model, QUESTION, max_tokens=12).text == ask(model, QUESTION, max_tokens=12).text


def test_a_seed_makes_sampling_repeatable(model: ChatModel) -> None:
    once, again = (ask(model, QUESTION, max_tokens=12, temperature=1.5, seed=7).text for _ in range(2))
    assert once == again


def test_a_stop_before_the_first_token_returns_nothing(model: ChatModel) -> None:
    stop = threading.Event()
    stop.set()
    reply = finish(model.stream(QUESTION, GenerationOptions(), stop))
    assert not reply.chunks
    assert reply.usage.reply_tokens == 0


def test_stop_ends_a_reply_within_one_token(model: ChatModel) -> None:
    stop = threading.Event()
    stream = model.stream(QUESTION, GenerationOptions(max_tokens=200), stop)
    shown = [next(stream), next(stream)]
    stop.set()
    rest = finish(stream)
    assert len(rest.chunks) <= 1
    assert rest.usage.reply_tokens < 30
    assert shown


def test_a_closed_stream_does_not_change_later_replies(make_model: Callable[[], ChatModel]) -> None:
    model = make_model()
    expected = ask(make_model(), QUESTION, max_tokens=12).text
    stream = model.stream([user("Something else entirely.")], GenerationOptions(), threading.Event())
    next(stream)
    stream.close()
    assert ask(model, QUESTION, max_tokens=12).text == expected


def test_a_prompt_that_does_not_fit_is_refused_before_the_first_chunk(model: ChatModel) -> None:
    with pytest.raises(ContextOverflow) as caught:
        ask(model, [user("dog " * 600)])
    assert caught.value.prompt_tokens > caught.value.limit
    assert caught.value.limit < model.info.context_tokens
    # Three tokens of random weights may be no text.
    assert ask(model, QUESTION, max_tokens=3).usage.reply_tokens == 3


def test_prompt_and_reply_together_never_exceed_the_context(model: ChatModel) -> None:
    reply = ask(model, [user("dog " * 200)], max_tokens=100_000)
    assert reply.usage.prompt_tokens + reply.usage.reply_tokens <= model.info.context_tokens


@pytest.mark.parametrize("backend", SEEING, indirect=True)
def test_an_image_is_part_of_the_prompt(model: ChatModel, make_image: Callable[[int], Image]) -> None:
    without = ask(model, [user("Look!")], max_tokens=1).usage.prompt_tokens
    with_image = ask(model, [user("Look!", make_image(1))], max_tokens=1).usage.prompt_tokens
    assert with_image >= without + 4


@pytest.mark.parametrize("backend", SEEING, indirect=True)
def test_a_conversation_continues(model: ChatModel, make_image: Callable[[int], Image]) -> None:
    opening = user("Look!", make_image(1))
    first = ask(model, [opening], max_tokens=8)
    second = ask(model, [opening, assistant(first.text), user("And now?")], max_tokens=8)
    assert second.usage.prompt_tokens > first.usage.prompt_tokens


def test_closing_twice_is_allowed(make_model: Callable[[], ChatModel]) -> None:
    model = make_model()
    info = model.info
    model.close()
    model.close()
    assert model.info == info, "the status bar still names it"
