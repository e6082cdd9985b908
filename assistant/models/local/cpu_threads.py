"""How many cores a thread may compute on, where several compute at the same time.

torch has one number for the whole process, which a thread takes over at its first operation, and one for each thread
after that. Setting it changes both: so the process's is put back, lest whatever thread comes next computes on too few.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

_changing = threading.Lock()


def set_num_threads(count: int) -> None:
    """Have this thread compute on `count` cores from here on; no other does so."""
    # To be asked first makes it take over the process's number now, and not after its own has been set.
    if torch.get_num_threads() == count:
        return
    with _changing, ThreadPoolExecutor(1, "cores") as newcomer:
        before = newcomer.submit(torch.get_num_threads).result()
        torch.set_num_threads(count)
        newcomer.submit(torch.set_num_threads, before).result()


@contextmanager
def num_threads(count: int | None) -> Iterator[None]:
    """Have this thread compute on `count` cores for as long as the block takes; None leaves it as it is."""
    before = torch.get_num_threads()
    set_num_threads(count or before)
    try:
        yield
    finally:
        set_num_threads(before)


def split_evenly(cores: int, count: int) -> list[int]:
    """`cores` dealt out to `count`, all of them, and as evenly as can be."""
    each, over = divmod(cores, count)
    return [each + (place < over) for place in range(count)]
