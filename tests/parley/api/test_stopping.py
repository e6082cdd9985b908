"""Ways to stop a reply or a whole `Assistant`, and calls that would wait for themselves."""

import asyncio
import gc
import os
import signal
import threading
import time
from collections.abc import Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, cast

import pytest

from assistant.conversation.session import Session
from assistant.events import Usage
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from assistant.settings import Settings
from parley import Assistant, ParleyError, caption
from parley.loop_thread import LoopThread
from tests.fakes.scripts import run_script

pytestmark = pytest.mark.usefixtures("nobodys_machine")


LONG = " ".join(f"word{number}" for number in range(400))


def last_reply(assistant: Assistant) -> tuple[str, bool]:
    session = assistant._session
    assert session is not None
    return session.messages[-1].text, session.messages[-1].interrupted


def test_leaving_a_stream_early_stops_the_model(slow: Assistant) -> None:
    for text in slow.stream(LONG):
        assert text
        break
    text, interrupted = last_reply(slow)
    assert interrupted
    assert len(text.split()) < 400
    assert slow.ask("And now?") == "You said: And now?"


def test_leaving_an_async_stream_early_stops_the_model(slow: Assistant) -> None:
    async def main() -> str:
        async with aclosing(slow.stream_async(LONG)) as texts:
            async for _ in texts:
                break
        return await slow.ask_async("And now?")

    assert asyncio.run(main()) == "You said: And now?"


def wait_for_prompt(assistant: Assistant, number: int) -> None:
    """Wait until the model has received its prompt of this number."""
    deadline = time.monotonic() + 60
    while assistant._session is None or len(cast("ScriptedModel", assistant._session.model).prompts) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_cancelling_a_task_stops_the_model(slow: Assistant) -> None:
    async def main() -> None:
        task = asyncio.create_task(slow.ask_async(LONG))
        await asyncio.to_thread(wait_for_prompt, slow, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert last_reply(slow)[1]


def test_ctrl_c_stops_the_model_and_the_conversation_goes_on(slow: Assistant) -> None:
    def press() -> None:
        wait_for_prompt(slow, 1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        slow.ask(LONG)
    assert last_reply(slow)[1]
    assert slow.ask("And now?") == "You said: And now?"


def test_a_call_that_would_wait_for_itself_is_refused(slow: Assistant, photo: str) -> None:
    texts = slow.stream("one two three")
    next(texts)
    for call in (lambda: slow.ask("And?"), lambda: caption(photo, assistant=slow)):
        with pytest.raises(ParleyError, match="A reply is still being streamed"):
            call()
    texts.close()
    assert slow.ask("And?") == "You said: And?"


def test_a_plain_call_that_would_stop_the_task_of_a_stream_is_refused(slow: Assistant) -> None:
    async def main() -> str:
        async with aclosing(slow.stream_async(LONG)) as texts:
            await anext(texts)

            async def other_task() -> str:
                return slow.ask("And?")

            with pytest.raises(ParleyError, match="A reply is still being streamed"):
                await asyncio.create_task(other_task())
            waiting = asyncio.create_task(slow.ask_async("And?"))
        return await waiting

    assert asyncio.run(main()) == "You said: And?"


def test_the_garbage_collector_may_close_a_stream_on_the_models_thread(
    slow: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = ScriptedModel.stream

    def collecting(*args: Any) -> Generator[str, None, Usage]:
        texts = stream(*args)
        while True:
            try:
                text = next(texts)
            except StopIteration as end:
                usage: Usage = end.value
                return usage
            gc.collect()
            yield text

    def abandon() -> None:
        cycle: list[object] = [slow.stream(LONG)]
        cycle.append(cycle)
        next(cast("Generator[str, None, None]", cycle[0]))

    monkeypatch.setattr(ScriptedModel, "stream", collecting)
    gc.disable()
    try:
        abandon()
        deadline = time.monotonic() + 60
        while slow._streams and time.monotonic() < deadline:
            time.sleep(0.01)
        with ThreadPoolExecutor(1) as executor:
            assert executor.submit(slow.ask, "And now?").result(60) == "You said: And now?"
    finally:
        gc.enable()


def test_closing_stops_an_open_stream(slow: Assistant) -> None:
    texts = slow.stream(LONG)
    next(texts)
    slow.close()
    slow.close()
    with pytest.raises(ParleyError, match="is closed"):
        next(texts)
    with pytest.raises(ParleyError, match="is closed"):
        slow.ask("Hello")


def test_closing_stops_an_open_async_stream(slow: Assistant) -> None:
    async def main() -> None:
        texts = slow.stream_async(LONG)
        await anext(texts)
        slow.close()
        with pytest.raises(ParleyError, match="is closed"):
            await anext(texts)

    asyncio.run(main())


def test_a_reply_that_closing_cut_short_does_not_seem_complete(slow: Assistant) -> None:
    started = threading.Event()

    def read() -> None:
        for _ in slow.stream(LONG):
            started.set()

    with ThreadPoolExecutor(1) as executor:
        reading = executor.submit(read)
        assert started.wait(60)
        slow.close()
        with pytest.raises(ParleyError, match="is closed"):
            reading.result(60)


def test_ctrl_c_before_the_call_has_begun_to_wait_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    def submit(thread: LoopThread, coroutine: Coroutine[Any, Any, Any]) -> Any:
        asyncio.run_coroutine_threadsafe(coroutine, thread.loop)
        assert begun.wait(60)
        raise KeyboardInterrupt

    monkeypatch.setattr(LoopThread, "submit", submit)
    thread = LoopThread("test")
    with pytest.raises(KeyboardInterrupt):
        thread.run(work())
    assert ended.wait(30)
    thread.stop()


def test_ctrl_c_ends_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()

    def download(_settings: Settings, progress: Progress, **_options: Any) -> Session:
        os.kill(os.getpid(), signal.SIGINT)
        deadline = time.monotonic() + 10
        try:
            while time.monotonic() < deadline:
                progress("fetching a model", 0, 0)
                time.sleep(0.01)
        except BaseException:
            given_up.set()
            raise
        raise AssertionError("the download went on")

    monkeypatch.setattr("parley.factory.session.start_session", download)
    with Assistant(model="scripted") as assistant, pytest.raises(KeyboardInterrupt):
        assistant.ask("Hello")
    # The thread that downloads notices at its next report of progress.
    assert given_up.wait(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_gets_an_error_and_does_not_wait_for_ever() -> None:
    program = (
        "import multiprocessing\n"
        "from parley import Assistant, ParleyError\n"
        "assistant = Assistant(model='scripted')\n"
        "assistant.ask('Hello')\n"
        "def child():\n"
        "    try:\n"
        "        assistant.ask('Hello')\n"
        "    except ParleyError as error:\n"
        "        print(error)\n"
        "process = multiprocessing.get_context('fork').Process(target=child)\n"
        "process.start()\n"
        "process.join()\n"
        "print(assistant.ask('Hello'))\n"
    )
    assert run_script(program) == "This assistant is closed: create another one.\nYou said: Hello\n"


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    with Assistant(model="scripted") as assistant:
        assistant.ask("Hello")
        assert threading.active_count() > before
    assert assistant._loop_thread.thread not in threading.enumerate()


def test_an_assistant_that_is_dropped_ends_its_thread() -> None:
    assistant = Assistant(model="scripted")
    assistant.ask("Hello")
    thread = assistant._loop_thread.thread
    del assistant
    thread.join(10)
    assert not thread.is_alive()
