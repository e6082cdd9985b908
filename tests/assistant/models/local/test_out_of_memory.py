"""Memory that runs out in a turn costs detail, then what is oldest, and never the conversation."""

import asyncio
import threading
import weakref
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.conversation.session import Session
from assistant.errors import ModelError, OutOfMemory
from assistant.events import Event, Notice, TextDelta
from assistant.history.store import History
from assistant.messages import Image, Message, user
from assistant.models.base import GenerationOptions
from assistant.models.local import image_detail
from assistant.models.local.model import LocalModel
from assistant.progress import no_progress
from assistant.settings import Settings
from parley.factory.session import build_session, start_session


def exhausted(_: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class Card:
    """Makes the decoder of `model` run out of memory while `full` of a prompt and where its reading begins."""

    def __init__(self, model: LocalModel, full: Callable[[Any, int], bool]) -> None:
        decoder: Any = model._decoder
        self.attempts: list[int] = []
        self.freed: list[bool] = []
        left: list[weakref.ref[torch.Tensor]] = []
        read = decoder.forward

        def guarded(prompt: Any, start: int, end: int) -> torch.Tensor:
            self.attempts.append(len(prompt))
            self.freed += [reference() is None for reference in left]
            # What a failed step has computed by then.
            activations = torch.zeros(1000)
            left[:] = [weakref.ref(activations)]
            if full(prompt, start):
                exhausted(activations)
            logits: torch.Tensor = read(prompt, start, end)
            return logits

        decoder.forward = guarded


async def say(session: Session, message: Message) -> list[Event]:
    async with aclosing(session.turn(message)) as events:
        return [event async for event in events]


def told(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


@pytest.fixture
def model(llava_folder: Path, monkeypatch: pytest.MonkeyPatch) -> LocalModel:
    # As if pictures of a LLaVA could be made smaller, which leaves their tokens as they are.
    monkeypatch.setattr(
        image_detail, "options", lambda _, pixels: {"rescale_factor": 1 / 255 if pixels > image_detail.LOW_PIXELS else 0.5}
    )
    notices: list[str] = []
    loaded = LocalModel.load(str(llava_folder), device="cpu", quantize="none", detail="high", on_notice=notices.append)
    loaded.told = notices  # type: ignore[attr-defined]
    return loaded


def ask(model: LocalModel, message: Message) -> str:
    return "".join(model.stream([message], GenerationOptions(max_tokens=4), threading.Event()))


def test_the_second_try_looks_less_closely_and_it_is_said_once(
    model: LocalModel, picture: Callable[[int], Image]
) -> None:
    question = user("What is this?", picture(1))
    high = {"rescale_factor": 1 / 255}
    card = Card(model, lambda prompt, _: str(high) in str(prompt.pictures))
    assert ask(model, question)
    assert all(card.freed)
    assert model.told == [  # type: ignore[attr-defined]
        "tiny-llava ran out of memory: it looks at pictures less closely from here on."
    ]
    assert ask(model, user("And now?", picture(2)))
    assert model.score([question], ["yes", "no"], threading.Event())
    assert len(model.told) == 1  # type: ignore[attr-defined]


def test_what_still_does_not_fit_loses_its_oldest_turns_and_the_conversation_goes_on(
    qwen_folder: Path, tmp_path: Path
) -> None:
    settings = Settings(
        model=str(qwen_folder), device="cpu", quantize="none", max_tokens=4, data_dir=tmp_path, cache_dir=tmp_path
    )
    session = start_session(settings)
    assert isinstance(session.model, LocalModel)
    card = Card(session.model, lambda prompt, _: len(prompt) > 100)

    async def talk() -> None:
        for number in range(4):
            assert not told(await say(session, user(f"in this picture {number}")))
        events = await say(session, user("in this picture " * 4))
        assert told(events) == [
            "The conversation no longer fits the model: its oldest 2 turns are left out from here on."
        ]
        assert len(session.messages) == 10
        assert any(isinstance(event, TextDelta) for event in await say(session, user("And?")))
        await session.close()

    asyncio.run(talk())
    assert max(card.attempts) > 100


def test_a_prompt_that_fits_in_no_way_is_refused_and_forgets_nothing(model: LocalModel, tmp_path: Path) -> None:
    Card(model, lambda *_: True)
    session = build_session(Settings(data_dir=tmp_path), model, History(tmp_path / "history.sqlite3"))
    with pytest.raises(OutOfMemory, match="tiny-llava ran out of memory: shorten the conversation"):
        asyncio.run(say(session, user("Hello.")))
    assert session.messages == []
    assert not model._cache.keys


def test_memory_that_runs_out_in_a_reply_keeps_what_was_said(model: LocalModel) -> None:
    question, options = [user("What is this?")], GenerationOptions(max_tokens=24)
    expected = "".join(model.stream(question, options, threading.Event()))
    steps = iter(range(16))
    Card(model, lambda *_: next(steps, None) is None)
    said: list[str] = []
    with pytest.raises(OutOfMemory):
        said.extend(model.stream(question, options, threading.Event()))
    assert said
    assert expected.startswith("".join(said))


def test_a_gpu_that_disappears_is_one_sentence(model: LocalModel) -> None:
    def gone(*_: object) -> torch.Tensor:
        raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronous")

    decoder: Any = model._decoder
    decoder.forward = gone
    with pytest.raises(ModelError, match=r"^The GPU has failed \(CUDA error: unspecified launch failure\): start"):
        ask(model, user("Hello."))


def test_changing_the_model_frees_the_one_before_and_a_bad_choice_leaves_it(
    llava_folder: Path, qwen_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        model=str(llava_folder), device="cpu", quantize="none", max_tokens=4, data_dir=tmp_path, cache_dir=tmp_path
    )
    session = start_session(settings)
    before: Any = session.model
    watched = [weakref.ref(before._decoder), weakref.ref(before._pictures._model)]
    alive: list[bool] = []
    load = LocalModel.load

    def spy(*args: Any, **options: Any) -> LocalModel:
        alive.append(any(reference() is not None for reference in watched))
        return load(*args, **options)

    monkeypatch.setattr(LocalModel, "load", spy)

    async def talk() -> None:
        await say(session, user("Hello."))
        with pytest.raises(ModelError, match="There is no model folder"):
            await session.change_model("/no/such/folder", no_progress)
        assert alive == []
        assert await session.change_model(str(qwen_folder), no_progress) == "tiny-qwen answers from here on."
        assert alive == [False]
        events = await say(session, user("And?"))
        assert any(isinstance(event, TextDelta) for event in events)
        await session.close()

    asyncio.run(talk())
