"""Sampling tokens from logits, and decoding them without breaking a character."""

import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.errors import ModelError
from assistant.models.local.sampling import Detokenizer, Sampler

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def decode_bytes(tokens: Sequence[int]) -> str:
    """Decode like a tokenizer with one token per byte."""
    return bytes(tokens).decode("utf-8", "replace")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=REPLACEMENT)))
def test_bytes_are_decoded_to_complete_characters(text: str) -> None:
    detokenizer = Detokenizer(decode_bytes)
    chunks = [detokenizer.push(byte) for byte in text.encode()]
    assert "".join(chunks) == text
    assert not any(REPLACEMENT in chunk for chunk in chunks)


@given(st.text(st.sampled_from("aé日😀😁"), max_size=8), st.lists(st.integers(1, 6), min_size=1), st.booleans())
def test_a_token_may_end_one_character_and_begin_the_next(text: str, sizes: list[int], byte_fallback: bool) -> None:
    data, tokens = text.encode(), []
    for size in itertools.cycle([1] if byte_fallback else sizes):
        if not data:
            break
        tokens.append(data[:size])
        data = data[size:]

    def decode(ids: Sequence[int]) -> str:
        joined = b"".join(tokens[token] for token in ids)
        try:
            return joined.decode()
        except UnicodeDecodeError:
            # A tokenizer with byte fallback decodes each byte of such a run to a replacement character.
            return REPLACEMENT * len(joined) if byte_fallback else joined.decode("utf-8", "replace")

    detokenizer = Detokenizer(decode)
    chunks = [detokenizer.push(token) for token in range(len(tokens))]
    assert "".join(chunks) == text
    assert not any(REPLACEMENT in chunk for chunk in chunks)


def test_invalid_bytes_do_not_hold_back_what_follows() -> None:
    detokenizer = Detokenizer(decode_bytes)
    assert "".join(detokenizer.push(byte) for byte in b"\xff\xff\xff\xffabcd").endswith("abcd")


def test_an_incomplete_character_at_the_end_is_not_shown() -> None:
    detokenizer = Detokenizer(decode_bytes)
    assert "".join(detokenizer.push(byte) for byte in "dog 😀".encode()[:-1]) == "dog "


def test_a_token_is_decoded_together_with_those_before_it() -> None:
    def decode(tokens: Sequence[int]) -> str:
        return " ".join(f"w{token}" for token in tokens)

    detokenizer = Detokenizer(decode)
    assert [detokenizer.push(token) for token in (1, 2, 3)] == ["w1", " w2", " w3"]


def test_temperature_0_takes_the_most_probable_token() -> None:
    assert Sampler(0.0, None)(torch.tensor([0.0, 3.0, 1.0])) == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nan_logits_are_an_error(temperature: float) -> None:
    with pytest.raises(ModelError, match="NaN"):
        Sampler(temperature, 1)(torch.tensor([0.0, float("nan"), 1.0]))


def test_temperature_1_samples_from_the_softmax() -> None:
    sampler = Sampler(1.0, 5)
    logits = torch.tensor([0.0, 1.0, -100.0])
    frequencies = torch.tensor([sampler(logits) for _ in range(2000)]).bincount(minlength=3) / 2000
    # Four standard deviations of 2000 draws: 4 * sqrt(0.27 * 0.73 / 2000).
    torch.testing.assert_close(frequencies.double(), logits.double().softmax(0), atol=0.04, rtol=0)


@settings(deadline=None)
@given(st.sampled_from([1e-30, 1e-3, 0.7, 100.0]), st.integers(0, 2**40))
def test_a_seed_samples_the_same_tokens_at_any_temperature(temperature: float, seed: int) -> None:
    logits = torch.tensor([5.0, 100.0, 99.0, 1.0])
    one, other = Sampler(temperature, seed), Sampler(temperature, seed)
    assert [one(logits) for _ in range(5)] == [other(logits) for _ in range(5)]


def test_without_a_seed_replies_differ() -> None:
    logits = torch.zeros(1000)
    one, other = Sampler(1.0, None), Sampler(1.0, None)
    assert [one(logits) for _ in range(5)] != [other(logits) for _ in range(5)]
