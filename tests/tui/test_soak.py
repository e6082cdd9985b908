"""A long conversation costs as much at its end as at its beginning. SOAK_TURNS sets how long it is."""

import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

from benchmarks.app import converse

TURNS = int(os.environ.get("SOAK_TURNS", "120"))
LONG = 1000
"""Turns from which on the caches of the toolkit are full, so that memory may not grow any more."""


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_long_conversation_stays_small() -> None:
    conversation = converse(TURNS)
    early, late = conversation.cpu_ms()
    growth = conversation.resident_growth()
    first, last = conversation.costs[TURNS // 3], conversation.costs[-1]
    print(
        f"\n{TURNS} turns: CPU of a turn {early:.0f} ms early, {late:.0f} ms late; memory {growth:+.1%}, "
        f"{first.resident_bytes / 1e6:.0f} to {last.resident_bytes / 1e6:.0f} MB; "
        f"threads {first.threads} to {last.threads}; descriptors {first.descriptors} to {last.descriptors}"
    )
    assert growth < (0.05 if TURNS >= LONG else 0.15)
    # The event loop's pool starts a thread when none is idle, up to a few.
    assert last.threads <= first.threads + 4
    assert last.descriptors <= first.descriptors
