"""A reply that is paused: llama.cpp computes nothing meanwhile, and the reply is the same as without a pause."""

import threading
from collections.abc import Callable
from itertools import islice

import pytest

from assistant.messages import system, user
from assistant.models.base import GenerationOptions, PausableModel, ReplyItem
from assistant.models.gguf.model import GgufModel
from assistant.models.gguf.reply import Reply
from assistant.models.gguf.requests import continuation
from assistant.models.replies import only_text
from tests.fakes.generation import complete, complete_with_usage

LoadModel = Callable[..., GgufModel]
QUESTION = [system("Be brief."), user("What is in this picture? A dog runs over the grass.")]
OPTIONS = GenerationOptions(max_tokens=60, temperature=0)


def test_a_paused_reply_goes_on_as_if_it_had_not_been(load_model: LoadModel) -> None:
    model = load_model()
    assert isinstance(model, PausableModel)
    expected, usage = complete_with_usage(model.stream(QUESTION, OPTIONS, threading.Event()))
    pauses = (1, 2, 5, 10, 20, 30)
    equal = 0
    for after in pauses:
        stream = model.stream(QUESTION, OPTIONS, threading.Event())
        text = "".join(only_text(islice(stream, after)))
        model.pause(paused=True)
        model.pause(paused=False)
        rest, paused_usage = complete_with_usage(stream)
        equal += text + rest == expected
        assert expected.startswith(text)
        assert paused_usage.prompt_tokens == usage.prompt_tokens
        assert paused_usage.finish_reason == "length"
        assert paused_usage.reply_tokens == usage.reply_tokens
    # Random weights have near ties, which another size of batch may decide otherwise.
    assert equal >= len(pauses) // 2


def test_nothing_comes_while_a_reply_is_paused(load_model: LoadModel) -> None:
    model = load_model()
    stop = threading.Event()
    chunks: list[ReplyItem] = []
    stream = model.stream(QUESTION, GenerationOptions(max_tokens=400, temperature=0), stop)
    chunks.append(next(stream))
    model.pause(paused=True)
    reader = threading.Thread(target=lambda: chunks.extend(stream))
    reader.start()
    reader.join(0.5)
    assert reader.is_alive(), "it waits"
    computed = len(chunks)
    reader.join(0.3)
    assert len(chunks) == computed
    model.pause(paused=False)
    reader.join(60)
    assert not reader.is_alive()
    assert len("".join(only_text(chunks))) > len("".join(only_text(chunks[:computed]))), "it goes on"


def test_a_pause_while_the_request_before_still_ends_is_not_lost(
    load_model: LoadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model()
    finish = model._server._finish

    def finish_and_pause() -> None:
        monkeypatch.setattr(model._server, "_finish", finish)
        model.pause(paused=True)
        finish()

    monkeypatch.setattr(model._server, "_finish", finish_and_pause)
    chunks: list[ReplyItem] = []
    stream = model.stream(QUESTION, GenerationOptions(max_tokens=400, temperature=0), threading.Event())
    reader = threading.Thread(target=lambda: chunks.extend(stream))
    reader.start()
    reader.join(0.5)
    assert reader.is_alive(), "it waits"
    computed = len(chunks)
    reader.join(0.3)
    assert len(chunks) == computed
    model.pause(paused=False)
    reader.join(60)
    assert not reader.is_alive()
    assert "".join(only_text(chunks))


def test_stop_ends_a_paused_reply(load_model: LoadModel) -> None:
    model = load_model()
    stop = threading.Event()
    stream = model.stream(QUESTION, GenerationOptions(max_tokens=400, temperature=0), stop)
    next(stream)
    model.pause(paused=True)
    stop.set()
    assert len(list(stream)) <= 1
    assert complete(model, *QUESTION, max_tokens=3), "the next reply is not paused"


def test_a_pause_before_the_first_word_changes_nothing(load_model: LoadModel) -> None:
    model = load_model()
    expected = complete(model, *QUESTION, max_tokens=30, temperature=0)
    model.pause(paused=True)
    assert complete(model, *QUESTION, max_tokens=30, temperature=0) == expected


@pytest.mark.parametrize(
    ("text", "kept", "repeated"),
    [
        ("A dog runs", "A dog", " runs"),
        ("A dog runs. \n\n", "A dog", " runs. \n\n"),
        ("Dog", "D", "og"),
        ("", "", ""),
        ("一只狗在草地上跑", "一只狗在草地", "上跑"),
        ("x" * 200, "x" * 198, "xx"),
    ],
)
def test_a_continuation_repeats_the_last_word_only(text: str, kept: str, repeated: str) -> None:
    reply = Reply(100)
    reply.add({"choices": [{"delta": {"content": text}}]})
    request = continuation({"messages": [], "max_tokens": 10}, reply)
    assert [message["content"] for message in request["messages"]] == ([kept] if kept else [])
    assert reply.add({"choices": [{"delta": {"content": f"{repeated} and"}}]}) == [" and"]
