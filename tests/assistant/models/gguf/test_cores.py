"""Cores that llama.cpp leaves to others."""

import os
import sys
from collections.abc import Callable, Iterator
from itertools import count
from types import SimpleNamespace

import pytest

from assistant.messages import user
from assistant.models.gguf import cores
from assistant.models.gguf.cores import CoreSharing, available_cores
from assistant.models.gguf.model import GgufModel
from tests.fakes.generation import complete

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads can be moved on Linux only")
LoadModel = Callable[..., GgufModel]


class Machine(CoreSharing):
    """Threads of which each measurement takes a second, in which others use `others` cores and these `own`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, num_cores: int) -> None:
        super().__init__()
        self._cores = list(range(num_cores))
        self.others = self.own = self.delay = 0.0
        self._total = cores._Sample(0, 0, 0, 0)
        self.moved: list[bool] = []
        seconds: Iterator[int] = count()
        monkeypatch.setattr(cores, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))

    def _measure(self, now: float) -> cores._Sample:
        total = self._total
        busy, own, delay = total.busy + self.others + self.own, total.own + self.own, total.delay + self.delay
        self._total = cores._Sample(now, busy, own, delay)
        return self._total

    def make_room(self, *, others_are_busy: bool) -> None:
        self._others_are_busy = others_are_busy
        self.moved.append(others_are_busy)

    def after(self, others: float, own: float, delay: float = 0.6) -> bool:
        self.others, self.own, self.delay = others, own, delay
        self.follow()
        return self._others_are_busy


def test_threads_make_room_while_others_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 2)
    machine.follow()
    assert not machine.after(others=0.05, own=2)
    assert machine.after(others=0.7, own=1.3)
    assert machine.after(others=1, own=1)
    assert machine.after(others=0.3, own=1), "not at once: they may only pause"
    assert not machine.after(others=0.1, own=1)
    assert not machine.after(others=0.3, own=1.7)


def test_programs_of_low_priority_keep_all_cores_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 2)
    machine.follow()
    assert not machine.after(others=0.9, own=1.1, delay=0.05)


def test_all_cores_are_tried_again_after_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 2)
    machine.follow()
    assert all(machine.after(others=1, own=1) for _ in range(5))
    assert not machine.after(others=1, own=1)
    assert machine.after(others=1, own=1)


@pytest.mark.parametrize("num_cores", [1, 16])
def test_nothing_is_moved_on_one_core_or_on_many(monkeypatch: pytest.MonkeyPatch, num_cores: int) -> None:
    machine = Machine(monkeypatch, num_cores)
    for _ in range(3):
        machine.others = 5
        machine.follow()
    assert machine.moved == []


@pytest.mark.skipif(len(available_cores()) < 2, reason="one core")
def test_the_threads_of_llama_cpp_move_and_come_back(load_model: LoadModel) -> None:
    model = load_model()
    sharing = model._server._cores
    complete(model, user("Hi"), max_tokens=3)
    threads = sharing.threads()
    assert threads
    own = os.sched_getaffinity(0)
    sharing.make_room(others_are_busy=True)
    moved = [os.sched_getaffinity(thread) for thread in threads]
    assert all(cores < own for cores in moved)
    assert os.sched_getaffinity(0) == own, "only llama.cpp's threads"
    sharing.make_room(others_are_busy=False)
    assert [os.sched_getaffinity(thread) for thread in threads] == [own] * len(threads)


def test_threads_of_another_model_are_left_alone(load_model: LoadModel) -> None:
    first, second = (load_model()._server._cores for _ in range(2))
    assert first.threads()
    assert not set(first.threads()) & set(second.threads())


def test_processor_time_is_measured(load_model: LoadModel) -> None:
    sample = load_model()._server._cores._measure(0)
    assert sample is not None
    assert sample.busy > 0
    assert sample.own >= 0
