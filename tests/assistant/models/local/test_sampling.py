"""Sampling tokens from logits, and decoding them without breaking a character."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import MinPLogitsWarper, TopPLogitsWarper

from assistant.errors import ModelError
from assistant.models.base import GenerationOptions
from assistant.models.local.sampling import Detokenizer, Sampler, resolve

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


def sampler(prompt: Sequence[int] = (), **options: Any) -> Sampler:
    return Sampler(GenerationOptions(**options), prompt)


def drawn(logits: Tensor, **options: Any) -> set[int]:
    """Return the tokens that 400 draws give."""
    draw = sampler(seed=1, **{"temperature": 1.0, **options})
    return {draw(logits) for _ in range(400)}


def test_temperature_0_takes_the_most_probable_token() -> None:
    assert sampler(temperature=0)(torch.tensor([0.0, 3.0, 1.0])) == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nan_logits_are_an_error(temperature: float) -> None:
    with pytest.raises(ModelError, match="NaN"):
        sampler(temperature=temperature, seed=1)(torch.tensor([0.0, float("nan"), 1.0]))


def test_temperature_1_samples_from_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, -100.0])
    draw = sampler(temperature=1.0, seed=5)
    frequencies = torch.tensor([draw(logits) for _ in range(2000)]).bincount(minlength=3) / 2000
    # Four standard deviations of 2000 draws: 4 * sqrt(0.27 * 0.73 / 2000).
    torch.testing.assert_close(frequencies.double(), logits.double().softmax(0), atol=0.04, rtol=0)


@settings(deadline=None)
@given(st.sampled_from([1e-30, 1e-3, 0.7, 2.0]), st.integers(0, 2**40))
def test_a_seed_samples_the_same_tokens_at_any_temperature(temperature: float, seed: int) -> None:
    logits = torch.tensor([5.0, 100.0, 99.0, 1.0])
    one, other = (sampler(temperature=temperature, seed=seed) for _ in range(2))
    assert [one(logits) for _ in range(5)] == [other(logits) for _ in range(5)]


def test_without_a_seed_replies_differ() -> None:
    logits = torch.zeros(1000)
    one, other = (sampler(temperature=1.0) for _ in range(2))
    assert [one(logits) for _ in range(5)] != [other(logits) for _ in range(5)]


LOGITS = torch.tensor([0.1, 0.4, 0.2, 0.3]).log()


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({}, {0, 1, 2, 3}),
        ({"top_k": 2}, {1, 3}),
        ({"top_k": 0}, {0, 1, 2, 3}),
        ({"top_k": 10**6}, {0, 1, 2, 3}),
        ({"top_p": 0.39}, {1}),
        ({"top_p": 0.69}, {1, 3}),
        ({"top_p": 0.71}, {1, 2, 3}),
        ({"top_p": 1e-9}, {1}),
        ({"min_p": 0.45}, {1, 2, 3}),
        ({"min_p": 1.0}, {1}),
        ({"top_k": 3, "top_p": 0.7, "min_p": 0.5}, {1, 3}),
        ({"temperature": 1e-300}, {1}),
    ],
)
def test_the_tail_is_left_out(options: dict[str, float], tokens: set[int]) -> None:
    assert drawn(LOGITS, **options) == tokens


@given(
    st.integers(0, 2**31),
    st.sampled_from([0.3, 1.0, 1.5]),
    st.sampled_from([0.2, 0.9, 0.999, 1.0]),
    st.sampled_from([0.0, 0.05, 0.5]),
)
@settings(deadline=None, max_examples=30)
def test_large_vocabularies_keep_what_transformers_keeps(
    seed: int, temperature: float, top_p: float, min_p: float
) -> None:
    # Peaked and flat distributions: the nucleus is within the likeliest 1024 tokens, or not.
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4000, generator=generator) * (0.1 if seed % 2 else 4)
    no_ids: Any = torch.empty((1, 0), dtype=torch.long)
    scores = (logits.double() / temperature)[None]
    for warper in (TopPLogitsWarper(top_p), MinPLogitsWarper(min_p)):
        scores = warper(no_ids, scores)
    kept = set(scores[0].isfinite().nonzero().flatten().tolist())
    draw = sampler(temperature=temperature, top_p=top_p, min_p=min_p, seed=seed)
    assert {draw(logits) for _ in range(200)} <= kept


def test_the_repetition_penalty_is_about_prompt_and_reply() -> None:
    logits = torch.tensor([3.0, 2.9, -0.1, 2.0])
    choose = sampler([0], temperature=0, repetition_penalty=1.2)
    assert [choose(logits) for _ in range(3)] == [1, 0, 0]
    # Negative logits become more negative.
    assert sampler([2], temperature=0, repetition_penalty=2.0)(torch.tensor([-9.0, -0.25, -0.2])) == 1


def test_the_presence_penalty_is_about_the_reply_only() -> None:
    logits = torch.tensor([3.0, 2.9, 2.5])
    choose = sampler([0, 0], temperature=0, presence_penalty=0.45)
    assert [choose(logits) for _ in range(5)] == [0, 1, 0, 0, 0]
    encouraged = sampler(temperature=0, presence_penalty=-2.0)
    assert [encouraged(logits), encouraged(torch.tensor([1.0, 2.0, 0.0]))] == [0, 0]


def test_the_penalties_leave_the_logits_of_the_decoder_alone() -> None:
    logits = torch.tensor([3.0, 2.9])
    sampler([0], temperature=0, repetition_penalty=1.5)(logits)
    assert logits.tolist() == pytest.approx([3.0, 2.9])


@pytest.mark.parametrize(
    ("options", "plain"),
    [
        ({}, True),
        ({"temperature": 0, "top_p": 0.5, "repetition_penalty": 1.0, "presence_penalty": 0.0}, True),
        ({"temperature": 0.1}, False),
        ({"repetition_penalty": 1.1}, False),
        ({"presence_penalty": -0.1}, False),
    ],
)
def test_drafts_are_only_for_replies_of_the_likeliest_tokens(options: dict[str, Any], *, plain: bool) -> None:
    assert sampler(**options).takes_likeliest is plain


def test_what_is_not_asked_for_comes_from_the_model() -> None:
    makers = GenerationOptions(temperature=0.7, top_p=0.8, repetition_penalty=1.1)
    assert resolve(GenerationOptions(9), makers) == GenerationOptions(
        9, temperature=0.7, top_p=0.8, repetition_penalty=1.1
    )
    chosen = GenerationOptions(temperature=0, top_p=1.0, seed=3, stop=("x",), repetition_penalty=1.0)
    assert resolve(chosen, makers) == chosen
