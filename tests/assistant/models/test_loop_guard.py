"""A reply that repeats itself is found out; lists, code, tables and refrains are left alone."""

import random
import re
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.models.loop_guard import LoopGuard
from benchmarks.loop_texts import LOOPS, RIGHT, Reply


def watch(reply: Reply, size: int = 4) -> tuple[str, bool]:
    """Return the text that the guard lets through, in pieces of `size` characters, and whether it found a loop."""
    guard = LoopGuard(reply.request)
    shown = ""
    for start in range(0, len(reply.text), size):
        shown += guard.push(reply.text[start : start + size])
        if guard.found:
            break
    return shown, guard.found


@pytest.mark.parametrize("name", RIGHT)
def test_what_repeats_itself_for_a_reason_is_left_alone(name: str) -> None:
    assert watch(RIGHT[name]) == (RIGHT[name].text, False)


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_ended_before_it_is_tiring(name: str) -> None:
    shown, found = watch(LOOPS[name])
    assert found
    assert LOOPS[name].text.startswith(shown)
    # Sentences within a paragraph or two; code, tables and rows of signs within a page and a half.
    assert len(shown) < 2500


@pytest.mark.parametrize("size", [1, 3, 17, 100_000])
@pytest.mark.parametrize("name", ["numbered items", "two paragraphs in turn", "Chinese", "a function", "one letter"])
def test_the_pieces_in_which_a_reply_arrives_do_not_matter(name: str, size: int) -> None:
    whole, found = watch(LOOPS[name])
    shown, found_again = watch(LOOPS[name], size)
    assert found is found_again is True
    # A piece may end in the middle of a word, whose end is awaited.
    assert abs(len(shown) - len(whole)) < 8


def test_copies_that_were_asked_for_are_allowed() -> None:
    request = "Please write: the goose is loose. 30 times!"
    text = "The goose is loose. "
    assert not watch(Reply(text * 30, request))[1]
    assert watch(Reply(text * 40, request))[1]
    assert watch(Reply(text * 30, "Please write: the goose is loose, over and over."))[1]
    assert watch(Reply(text * 30, "Tell me 30 facts about herons."))[1]
    assert watch(Reply(text * 2000, request.replace("30", "99999")))[1]


def test_numbers_of_items_do_not_hide_a_loop_and_other_numbers_count() -> None:
    def found(line: str) -> bool:
        return watch(Reply("".join(line.format(n) for n in range(1, 40))))[1]

    assert found("{}. Take a deep breath and relax.\n")
    assert found("  {}) Take a deep breath and relax.\n")
    assert found("### Step {}: Take a deep breath and relax.\n")
    assert found("Chapter {}. The road went on and on. ")
    assert not found("{} sheep jump over the low fence.\n")
    assert not found("Platform {} is for the slow trains.\n")
    assert not found("<a href='#{0}.0.0'>13.{0}.0</a><br/>\n")
    assert not found("weekday_{}: Optional whole number\n")


def test_nothing_follows_the_end() -> None:
    guard = LoopGuard()
    assert guard.push("Yes, I know. " * 100)
    assert guard.found
    assert guard.push("More.") == ""


@given(st.lists(st.text(st.sampled_from("ab1.\n -|`#的ก😀\u0301\ud800"), max_size=30), max_size=60))
def test_any_text_passes_as_it_is_until_it_is_ended(chunks: list[str]) -> None:
    guard = LoopGuard("ab 1")
    shown = "".join(map(guard.push, chunks))
    assert "".join(chunks).startswith(shown)
    assert guard.found or shown == "".join(chunks)


def test_random_streams_of_tokens_are_shown_up_to_where_they_repeat() -> None:
    rng = random.Random(11)
    for _ in range(60):
        vocabulary = ["".join(rng.choices("abcde .,\n0123-的", k=rng.randint(1, 6))) for _ in range(rng.randint(1, 60))]
        chunks = rng.choices(vocabulary, k=400)
        if rng.random() < 0.5:
            chunks += rng.choices(vocabulary, k=rng.randint(1, 40)) * 400
        guard = LoopGuard()
        shown = "".join(map(guard.push, chunks))
        assert "".join(chunks).startswith(shown)
        assert guard.found or shown == "".join(chunks)


def test_any_period_is_found() -> None:
    rng = random.Random(5)
    words = [f"w{''.join(rng.choices('abcdefgh', k=4))}" for _ in range(400)]
    for length in (*range(1, 40), 100, 300, 1000):
        period = " ".join(rng.choices(words, k=length)) + " "
        shown, found = watch(Reply("A beginning. " + period * 60), 50)
        assert found, length
        assert len(shown) < max(2000, 5 * len(period))


def test_a_long_reply_takes_bounded_memory() -> None:
    rng = random.Random(3)
    guard = LoopGuard()
    tracemalloc.start()
    try:
        for _ in range(15):
            guard.push(" ".join(str(rng.random())[2:8] + rng.choice("abcdef") for _ in range(1000)))
        assert tracemalloc.get_traced_memory()[0] < 4 << 20
    finally:
        tracemalloc.stop()
    assert not guard.found


def test_time_is_linear_also_within_a_loop_that_is_allowed() -> None:
    def seconds(copies: int) -> float:
        guard = LoopGuard(f"Write a line {copies} times.")
        begun = time.thread_time()
        for _ in range(copies):
            guard.push("Write a line times. ")
        assert not guard.found
        return time.thread_time() - begun

    seconds(100)
    assert seconds(900) < 100 * max(seconds(90), 1e-3)


def test_every_reason_for_repetition_has_a_text() -> None:
    assert len(RIGHT) > 35
    assert len(LOOPS) > 30
    assert all(len(re.sub(r"\s", "", reply.text)) > 40 for reply in RIGHT.values())
