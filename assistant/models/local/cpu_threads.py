"""The number of CPU threads that torch uses, for several models computing at the same time.

torch keeps one number for the process, which a thread adopts with its first operation, and one for each thread from
then on. `torch.set_num_threads` changes both. The process's number is therefore put back here, or else the next new
thread would compute with too few.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch

_lock = threading.Lock()


def set_num_threads(count: int) -> None:
    """Set the number of CPU threads for operations of the calling thread only."""
    # Reading the number makes this thread adopt the process's now, and not after its own has been set.
    if torch.get_num_threads() == count:
        return
    with _lock, ThreadPoolExecutor(1, "cpu-threads") as new_thread:
        before = new_thread.submit(torch.get_num_threads).result()
        torch.set_num_threads(count)
        new_thread.submit(torch.set_num_threads, before).result()


def split_evenly(total: int, parts: int) -> list[int]:
    """Split `total` into `parts` numbers that differ by one at most, the larger first."""
    quotient, remainder = divmod(total, parts)
    return [quotient + (index < remainder) for index in range(parts)]
