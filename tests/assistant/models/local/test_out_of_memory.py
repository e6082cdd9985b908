"""When memory runs out in a turn, image detail is reduced, then old turns are dropped; the conversation goes on."""

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
from assistant.errors import ConfigError, ModelError, OutOfMemory
from assistant.events import Event, Notice, TextDelta
from assistant.history.store import History
from assistant.messages import Image, Message, user
from assistant.models.base import GenerationOptions
from assistant.models.local import image_detail
from assistant.models.local.model import LocalModel
from assistant.models.replies import only_text
from assistant.progress import no_progress
from assistant.settings import Settings
from parley.factory.session import build_session, start_session
from tests.fakes.tiny_models import cached_keys, decoder_of, image_encoder_of, reply_with_one_token


def exhausted(_: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class FullMemory:
    """Makes the decoder of `model` run out of memory while `is_full(prompt, start)`."""

    def __init__(self, model: LocalModel, is_full: Callable[[Any, int], bool]) -> None:
        decoder = decoder_of(model)
        self.attempts: list[int] = []
        self.freed: list[bool] = []
        leftovers: list[weakref.ref[torch.Tensor]] = []
        forward = decoder.forward

        def limited(prompt: Any, start: int, end: int) -> torch.Tensor:
            self.attempts.append(len(prompt))
            self.freed += [reference() is None for reference in leftovers]
            # A tensor that a failed step has computed by then.
            activations = torch.zeros(1000)
            leftovers[:] = [weakref.ref(activations)]
            if is_full(prompt, start):
                exhausted(activations)
            logits: torch.Tensor = forward(prompt, start, end)
            return logits

        decoder.forward = limited


async def run_turn(session: Session, message: Message) -> list[Event]:
    async with aclosing(session.turn(message)) as events:
        return [event async for event in events]


def notices(events: list[Event]) -> list[str]:
    """Return the notices but those of replies that end at their limit, as all do here."""
    texts = [event.text for event in events if isinstance(event, Notice)]
    return [text for text in texts if "cut off at 4 tokens" not in text]


@pytest.fixture
def model(llava_folder: Path, monkeypatch: pytest.MonkeyPatch) -> LocalModel:
    # As if a LLaVA could scale images down; its tokens stay the same.
    monkeypatch.setattr(
        image_detail,
        "processor_options",
        lambda _, pixels: {"rescale_factor": 1 / 255 if pixels > image_detail.LOW_PIXELS else 0.5},
    )
    received: list[str] = []
    loaded = LocalModel.load(str(llava_folder), device="cpu", quantize="none", detail="high", on_notice=received.append)
    loaded.received = received  # type: ignore[attr-defined]
    return loaded


def ask(model: LocalModel, message: Message) -> str:
    return "".join(only_text(model.stream([message], GenerationOptions(max_tokens=4), threading.Event())))


def test_the_second_attempt_uses_a_lower_resolution_and_reports_it_once(
    model: LocalModel, make_image: Callable[[int], Image]
) -> None:
    question = user("What is this?", make_image(1))
    high = {"rescale_factor": 1 / 255}
    memory = FullMemory(model, lambda prompt, _: str(high) in str(prompt.images))
    assert ask(model, question)
    assert all(memory.freed)
    assert model.received == [  # type: ignore[attr-defined]
        "tiny-llava ran out of memory: it looks at pictures less closely from here on."
    ]
    assert ask(model, user("And now?", make_image(2)))
    assert model.score([question], ["yes", "no"], threading.Event())
    assert len(model.received) == 1  # type: ignore[attr-defined]


def test_a_conversation_that_still_does_not_fit_drops_its_oldest_turns_and_goes_on(
    qwen_folder: Path, tmp_path: Path
) -> None:
    settings = Settings(
        model=str(qwen_folder), device="cpu", quantize="none", max_tokens=4, data_dir=tmp_path, cache_dir=tmp_path
    )
    session = start_session(settings)
    assert isinstance(session.model, LocalModel)
    reply_with_one_token(session.model, "a")
    memory = FullMemory(session.model, lambda prompt, _: len(prompt) > 95)

    async def talk() -> None:
        for number in range(4):
            assert not notices(await run_turn(session, user(f"in this picture {number}")))
        events = await run_turn(session, user("in this picture " * 4))
        assert notices(events) == [
            "The conversation no longer fits the model: its oldest 2 turns are left out from here on."
        ]
        assert len(session.messages) == 10
        assert any(isinstance(event, TextDelta) for event in await run_turn(session, user("And?")))
        await session.close()

    asyncio.run(talk())
    assert max(memory.attempts) > 95


def test_a_prompt_that_never_fits_is_refused_and_not_kept(model: LocalModel, tmp_path: Path) -> None:
    FullMemory(model, lambda *_: True)
    session = build_session(Settings(data_dir=tmp_path), model, History(tmp_path / "history.sqlite3"))
    with pytest.raises(OutOfMemory, match="tiny-llava ran out of memory: shorten the conversation"):
        asyncio.run(run_turn(session, user("Hello.")))
    assert session.messages == []
    assert not cached_keys(model)


def test_memory_that_runs_out_in_a_reply_keeps_its_beginning(model: LocalModel) -> None:
    question, options = [user("What is this?")], GenerationOptions(max_tokens=24)
    unlimited = FullMemory(model, lambda *_: False)
    expected = "".join(only_text(model.stream(question, options, threading.Event())))
    # Two steps before the end, however long the reply is.
    steps = iter(range(len(unlimited.attempts) - 2))
    FullMemory(model, lambda *_: next(steps, None) is None)
    chunks: list[str] = []
    with pytest.raises(OutOfMemory):
        chunks.extend(only_text(model.stream(question, options, threading.Event())))
    assert chunks
    assert expected.startswith("".join(chunks))


def test_a_failed_gpu_is_one_sentence(model: LocalModel) -> None:
    def fail(*_: object) -> torch.Tensor:
        raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronous")

    decoder_of(model).forward = fail
    with pytest.raises(ModelError, match=r"^The GPU has failed \(CUDA error: unspecified launch failure\): start"):
        ask(model, user("Hello."))


def test_changing_the_model_frees_the_previous_one_and_a_bad_choice_keeps_it(
    llava_folder: Path, qwen_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        model=str(llava_folder), device="cpu", quantize="none", max_tokens=4, data_dir=tmp_path, cache_dir=tmp_path
    )
    session = start_session(settings)
    before = session.model
    assert isinstance(before, LocalModel)
    watched = [weakref.ref(decoder_of(before)), weakref.ref(image_encoder_of(before)._model)]
    alive: list[bool] = []
    load = LocalModel.load

    def spy(*args: Any, **options: Any) -> LocalModel:
        alive.append(any(reference() is not None for reference in watched))
        return load(*args, **options)

    monkeypatch.setattr(LocalModel, "load", spy)

    async def talk() -> None:
        await run_turn(session, user("Hello."))
        with pytest.raises(ConfigError, match="There is no model"):
            await session.change_model("/no/such/folder", no_progress)
        assert alive == []
        assert await session.change_model(str(qwen_folder), no_progress) == "tiny-qwen answers from here on."
        assert alive == [False]
        events = await run_turn(session, user("And?"))
        assert any(isinstance(event, TextDelta) for event in events)
        await session.close()

    asyncio.run(talk())
