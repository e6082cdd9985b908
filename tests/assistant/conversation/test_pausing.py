"""Pausing a turn: the model waits, and goes on where it was."""

import asyncio
from contextlib import aclosing

from assistant.conversation.session import Session
from assistant.events import TextDelta
from assistant.messages import user
from assistant.models.scripted import ScriptedModel
from tests.fakes.conversation import AttentiveModel, ask

REPLY = "One two three four five."
DEADLINE = 60


async def test_a_paused_turn_gives_the_same_reply_once_it_goes_on() -> None:
    reply = " ".join(map(str, range(100)))
    session = Session(ScriptedModel(reply, token_seconds=0.005))
    turn = session.turn(user("Count."))
    texts: list[str] = []

    async def read() -> None:
        async with aclosing(turn) as events:
            texts.extend([event.text async for event in events if isinstance(event, TextDelta)])

    turn.pause(paused=True)
    reading = asyncio.create_task(read())
    done, _ = await asyncio.wait([reading], timeout=1)
    assert not done
    turn.pause(paused=False)
    async with asyncio.timeout(DEADLINE):
        await reading
    assert "".join(texts) == reply


async def test_a_paused_turn_can_be_stopped_and_the_next_one_is_not_paused() -> None:
    session = Session(ScriptedModel(REPLY, "Done."))
    turn = session.turn(user("Count."))
    async with asyncio.timeout(DEADLINE):
        async with aclosing(turn) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    turn.pause(paused=True)
                    break
        assert await ask(session, "And now?") == "Done."


async def test_a_model_with_threads_of_its_own_is_told() -> None:
    model = AttentiveModel(REPLY)
    session = Session(model)
    turn = session.turn(user("Count."))
    async with asyncio.timeout(DEADLINE), aclosing(turn) as events:
        async for event in events:
            if isinstance(event, TextDelta) and not model.pauses:
                turn.pause(paused=True)
                turn.pause(paused=True)
                turn.pause(paused=False)
    assert model.pauses == [True, False]
