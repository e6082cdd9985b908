"""Tokens chosen from logits, and text that never breaks a character."""

import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.errors import ModelError
from assistant.models.local.sampling import Detokenizer, Sampler


def decode_bytes(tokens: Sequence[int]) -> str:
    """What a tokenizer does that has one token for each byte."""
    return bytes(tokens).decode("utf-8", "replace")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\N{REPLACEMENT CHARACTER}")))
def test_text_comes_out_as_it_went_in_and_no_character_in_halves(text: str) -> None:
    words = Detokenizer(decode_bytes)
    shown = [words.push(byte) for byte in text.encode()]
    assert "".join(shown) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in shown)


@given(st.text(st.sampled_from("aé日😀😁"), max_size=8), st.lists(st.integers(1, 6), min_size=1), st.booleans())
def test_a_token_may_end_one_character_and_begin_the_next(text: str, sizes: list[int], fallback: bool) -> None:
    data, tokens = text.encode(), []
    for size in itertools.cycle([1] if fallback else sizes):
        if not data:
            break
        tokens.append(data[:size])
        data = data[size:]

    def decode(numbers: Sequence[int]) -> str:
        joined = b"".join(tokens[number] for number in numbers)
        try:
            return joined.decode()
        except UnicodeDecodeError:
            # A tokenizer with byte fallback has tokens of one byte, and shows each in such a run on its own.
            return "\N{REPLACEMENT CHARACTER}" * len(joined) if fallback else joined.decode("utf-8", "replace")

    words = Detokenizer(decode)
    shown = [words.push(number) for number in range(len(tokens))]
    assert "".join(shown) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in shown)


def test_bytes_that_are_no_text_do_not_hold_up_what_follows() -> None:
    words = Detokenizer(decode_bytes)
    shown = "".join(words.push(byte) for byte in b"\xff\xff\xff\xffabcd")
    assert shown.endswith("abcd")


def test_a_character_begun_and_not_ended_is_not_shown() -> None:
    words = Detokenizer(decode_bytes)
    assert "".join(words.push(byte) for byte in "dog 😀".encode()[:-1]) == "dog "


def test_a_token_written_differently_at_the_start_of_a_text_is_decoded_with_those_before_it() -> None:
    def decode(tokens: Sequence[int]) -> str:
        return " ".join(f"w{token}" for token in tokens)

    words = Detokenizer(decode)
    assert [words.push(token) for token in (1, 2, 3)] == ["w1", " w2", " w3"]


def test_cold_it_takes_the_likeliest() -> None:
    assert Sampler(0.0, None)(torch.tensor([0.0, 3.0, 1.0])) == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_no_number_is_an_error_and_no_word(temperature: float) -> None:
    with pytest.raises(ModelError, match="NaN"):
        Sampler(temperature, 1)(torch.tensor([0.0, float("nan"), 1.0]))


def test_warm_it_draws_by_the_chances() -> None:
    choose = Sampler(1.0, 5)
    logits = torch.tensor([0.0, 1.0, -100.0])
    drawn = torch.tensor([choose(logits) for _ in range(2000)]).bincount(minlength=3) / 2000
    torch.testing.assert_close(drawn.double(), logits.double().softmax(0), atol=0.04, rtol=0)


@settings(deadline=None)
@given(st.sampled_from([1e-30, 1e-3, 0.7, 100.0]), st.integers(0, 2**40))
def test_a_seed_draws_the_same_tokens_at_any_temperature(temperature: float, seed: int) -> None:
    logits = torch.tensor([5.0, 100.0, 99.0, 1.0])
    one, other = Sampler(temperature, seed), Sampler(temperature, seed)
    assert [one(logits) for _ in range(5)] == [other(logits) for _ in range(5)]


def test_without_a_seed_two_replies_differ() -> None:
    logits = torch.zeros(1000)
    one, other = Sampler(1.0, None), Sampler(1.0, None)
    assert [one(logits) for _ in range(5)] != [other(logits) for _ in range(5)]
