"""The bridge between a blocking generator and the event loop."""

import asyncio
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from assistant.async_bridge import stream_in_thread, wait_uncancelled


async def test_items_including_none_and_the_result_cross_the_bridge() -> None:
    def produce(stop: threading.Event) -> Generator[int | None, None, str]:
        yield 1
        yield None
        return "done"

    with ThreadPoolExecutor(1) as executor:
        async with stream_in_thread(executor, produce) as stream:
            assert [item async for item in stream] == [1, None]
    assert stream.result == "done"


async def test_leaving_the_block_stops_the_generator_and_keeps_its_result() -> None:
    def produce(stop: threading.Event) -> Generator[int, None, str]:
        yield 1
        assert stop.wait(60)
        return "stopped"

    with ThreadPoolExecutor(1) as executor:
        async with stream_in_thread(executor, produce) as stream:
            async for item in stream:
                assert item == 1
                break
    assert stream.result == "stopped"


async def test_an_exception_of_the_generator_is_raised_out_of_the_iteration() -> None:
    def produce(stop: threading.Event) -> Generator[int, None, None]:
        yield 1
        raise ValueError("broken")

    with ThreadPoolExecutor(1) as executor:
        async with stream_in_thread(executor, produce) as stream:
            items = aiter(stream)
            assert await anext(items) == 1
            with pytest.raises(ValueError, match="broken"):
                await anext(items)
    assert stream.result is None


async def test_waiting_survives_cancellation_and_then_lets_it_through() -> None:
    started, may_end = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        may_end.wait(60)

    done = asyncio.get_running_loop().run_in_executor(None, work)
    task = asyncio.create_task(wait_uncancelled(done))
    await asyncio.to_thread(started.wait, 60)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.done()


async def test_a_paused_generator_waits_and_then_goes_on() -> None:
    computed: list[int] = []
    begun, is_paused = threading.Event(), threading.Event()

    def produce(stop: threading.Event) -> Generator[int, None, None]:
        begun.set()
        is_paused.wait(60)
        for number in range(3):
            computed.append(number)
            yield number

    with ThreadPoolExecutor(1) as executor:
        async with stream_in_thread(executor, produce) as stream:
            await asyncio.to_thread(begun.wait, 60)
            stream.pause(paused=True)
            is_paused.set()
            items = aiter(stream)
            assert await anext(items) == 0
            await asyncio.sleep(0.05)
            assert computed == [0]
            stream.pause(paused=False)
            assert [item async for item in items] == [1, 2]


async def test_leaving_the_block_ends_a_paused_generator() -> None:
    is_paused = threading.Event()

    def produce(stop: threading.Event) -> Generator[int, None, str]:
        assert is_paused.wait(60)
        yield 1
        return "stopped" if stop.is_set() else "not told to stop"

    with ThreadPoolExecutor(1) as executor:
        async with stream_in_thread(executor, produce) as stream:
            stream.pause(paused=True)
            is_paused.set()
    assert stream.result in ("stopped", None)
