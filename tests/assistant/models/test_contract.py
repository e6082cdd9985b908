"""What every `ChatModel` promises, held against the scripted one and real ones with random weights."""

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from assistant.errors import ContextOverflow
from assistant.events import Usage
from assistant.messages import Image, Message, assistant, system, user
from assistant.models.base import ChatModel, GenerationOptions
from assistant.models.local.model import LocalModel
from assistant.models.remote.model import RemoteModel
from assistant.models.scripted import ScriptedModel

LONG_REPLY = " ".join(f"word{number}" for number in range(300))
QUESTION = [system("Be brief."), user("What is in this picture? A dog runs over the grass.")]


@dataclass(frozen=True)
class Reply:
    pieces: list[str]
    usage: Usage

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def ask(model: ChatModel, messages: Sequence[Message], **options: float) -> Reply:
    return finish(model.stream(messages, GenerationOptions(**options), threading.Event()))  # type: ignore[arg-type]


def finish(stream: Generator[str, None, Usage]) -> Reply:
    pieces: list[str] = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return Reply(pieces, end.value)


@pytest.fixture(params=["scripted", "remote", "llava", "llava-int8", "adapted-int8", "qwen", "qwen-int8", "even-nf4"])
def make_model(request: pytest.FixtureRequest) -> Callable[[], ChatModel]:
    family, _, quantize = request.param.partition("-")
    if family == "remote":
        server = request.getfixturevalue("chat_server")
        return partial(RemoteModel.connect, server.url)
    if family == "scripted":
        return lambda: ScriptedModel(*[LONG_REPLY] * 20, context_tokens=512)
    folder: Path = request.getfixturevalue(f"{family}_folder")
    return partial(LocalModel.load, str(folder), device="cpu", quantize=quantize or "none")


@pytest.fixture
def model(make_model: Callable[[], ChatModel]) -> ChatModel:
    return make_model()


def test_it_says_what_it_is(model: ChatModel) -> None:
    assert model.info.name
    assert model.info.device.partition(":")[0] in {"cpu", "127.0.0.1"}
    assert model.info.quantization in {"none", "int8", "nf4", "unknown"}
    assert model.info.context_tokens == 512
    assert not model.info.supports_grounding


@pytest.mark.gpu_stack
def test_one_that_was_taught_to_draw_boxes_says_so(qwen3_vl_folder: Path) -> None:
    assert LocalModel.load(str(qwen3_vl_folder), device="cpu").info.supports_grounding


def test_a_reply_comes_in_pieces_and_its_usage_adds_up(model: ChatModel) -> None:
    reply = ask(model, QUESTION, max_tokens=20)
    assert all(reply.pieces)
    assert len(reply.pieces) > 1
    assert 0 < reply.usage.reply_tokens <= 20
    assert reply.usage.prompt_tokens > 5
    assert 0 < reply.usage.first_token_seconds <= reply.usage.total_seconds


def test_a_reply_is_no_longer_than_asked_for(model: ChatModel) -> None:
    assert ask(model, QUESTION, max_tokens=1).usage.reply_tokens == 1
    assert len(ask(model, QUESTION, max_tokens=3).pieces) <= 3


def test_the_same_question_has_the_same_answer(model: ChatModel) -> None:
    assert ask(model, QUESTION, max_tokens=12).text == ask(model, QUESTION, max_tokens=12).text


def test_a_seed_makes_sampling_repeatable(model: ChatModel) -> None:
    once, again = (ask(model, QUESTION, max_tokens=12, temperature=1.5, seed=7).text for _ in range(2))
    assert once == again


def test_stopped_before_it_begins_it_says_nothing(model: ChatModel) -> None:
    stop = threading.Event()
    stop.set()
    reply = finish(model.stream(QUESTION, GenerationOptions(), stop))
    assert not reply.pieces
    assert reply.usage.reply_tokens == 0


def test_stop_ends_a_reply_within_one_token(model: ChatModel) -> None:
    stop = threading.Event()
    stream = model.stream(QUESTION, GenerationOptions(max_tokens=200), stop)
    shown = [next(stream), next(stream)]
    stop.set()
    rest = finish(stream)
    assert len(rest.pieces) <= 1
    assert rest.usage.reply_tokens < 30
    assert shown


def test_an_abandoned_reply_changes_no_later_one(make_model: Callable[[], ChatModel]) -> None:
    model = make_model()
    expected = ask(make_model(), QUESTION, max_tokens=12).text
    stream = model.stream([user("Something else entirely.")], GenerationOptions(), threading.Event())
    next(stream)
    stream.close()
    assert ask(model, QUESTION, max_tokens=12).text == expected


def test_a_prompt_that_does_not_fit_is_refused_before_the_first_word(model: ChatModel) -> None:
    with pytest.raises(ContextOverflow) as caught:
        ask(model, [user("dog " * 600)])
    assert caught.value.prompt_tokens > caught.value.limit
    assert caught.value.limit < model.info.context_tokens
    assert ask(model, QUESTION, max_tokens=3).pieces


def test_prompt_and_reply_together_never_exceed_the_context(model: ChatModel) -> None:
    reply = ask(model, [user("dog " * 200)], max_tokens=100_000)
    assert reply.usage.prompt_tokens + reply.usage.reply_tokens <= model.info.context_tokens


def test_a_picture_is_part_of_the_prompt(model: ChatModel, picture: Callable[[int], Image]) -> None:
    without = ask(model, [user("Look!")], max_tokens=1).usage.prompt_tokens
    shown = ask(model, [user("Look!", picture(1))], max_tokens=1).usage.prompt_tokens
    assert shown >= without + 4


def test_a_conversation_goes_on(model: ChatModel, picture: Callable[[int], Image]) -> None:
    opening = user("Look!", picture(1))
    first = ask(model, [opening], max_tokens=8)
    second = ask(model, [opening, assistant(first.text), user("And now?")], max_tokens=8)
    assert second.usage.prompt_tokens > first.usage.prompt_tokens


def test_closing_twice_is_fine(model: ChatModel) -> None:
    model.close()
    model.close()
