"""Prompt lookup decoding changes the speed of a reply and nothing else."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.messages import Image, user
from assistant.models.local.model import LocalModel
from assistant.models.local.prompt_cache import Prompt
from assistant.models.local.prompt_lookup import NUM_DRAFT_TOKENS, PromptLookupDecoder
from tests.fakes.generation import complete
from tests.fakes.tiny_models import use_compiled_decoder

VOCAB_SIZE = 5


class ScriptedDecoder:
    """A decoder whose greedy choice follows `text`, then token 0 forever. Counts its forward passes."""

    def __init__(self, text: list[int]) -> None:
        self.text = text
        self.length = 0
        self.passes = 0

    def build_prompt(self, text: str, images: Sequence[Image]) -> Prompt:
        raise NotImplementedError

    def crop(self, prompt: Prompt, length: int) -> int:
        raise NotImplementedError

    def forward(self, prompt: Prompt, start: int, end: int) -> torch.Tensor:
        return self.verify(Prompt(prompt.ids[:end], []), [])[-1]

    def verify(self, prompt: Prompt, draft_tokens: Sequence[int]) -> torch.Tensor:
        assert self.length == len(prompt) - 1, "the KV cache holds all tokens before, and no others"
        self.passes += 1
        self.length += 1 + len(draft_tokens)
        following = [(self.text + [0] * 99)[index] for index in range(len(prompt), self.length + 1)]
        return torch.eye(VOCAB_SIZE)[following]

    def rollback(self, count: int) -> None:
        self.length -= count


def decode(text: list[int], prompt_length: int, *, enabled: bool = True) -> tuple[list[int], int]:
    """Return the tokens that follow the first `prompt_length` of `text`, and the number of forward passes."""
    decoder = ScriptedDecoder(text)
    prompt = Prompt(text[:prompt_length], list(text[:prompt_length]))
    lookup = PromptLookupDecoder(decoder, 1000, enabled=enabled)
    decoder.length = prompt_length - 1
    tokens = []
    while len(prompt) < len(text):
        tokens.append(int(lookup.next_logits(prompt).argmax()))
        prompt.append(tokens[-1])
    return tokens, decoder.passes


@settings(deadline=None)
@given(st.lists(st.integers(0, VOCAB_SIZE - 1), min_size=2, max_size=60), st.data())
def test_the_tokens_are_those_of_greedy_decoding(text: list[int], data: st.DataObject) -> None:
    prompt_length = data.draw(st.integers(1, len(text) - 1))
    tokens, passes = decode(text, prompt_length)
    assert tokens == text[prompt_length:]
    assert passes <= len(tokens)


def test_a_repetition_takes_fewer_forward_passes() -> None:
    text = [1, 2, 3, 4, 1, 1, 3, 2, 2, 4]
    assert decode(text * 2, len(text) + 2)[1] == (len(text) - 2) // (1 + NUM_DRAFT_TOKENS)
    assert decode(text * 2, len(text) + 2, enabled=False)[1] == len(text) - 2


def test_no_more_drafts_are_made_after_eight_rejections() -> None:
    class DisagreeingDecoder(ScriptedDecoder):
        drafts = 0

        def verify(self, prompt: Prompt, draft_tokens: Sequence[int]) -> torch.Tensor:
            self.drafts += bool(draft_tokens)
            # Always another token than any that came before at this point.
            return super().verify(prompt, draft_tokens).roll(1, 1)

    decoder = DisagreeingDecoder([1, 2, 3] * 30)
    lookup = PromptLookupDecoder(decoder, 1000, enabled=True)
    for length in range(10, 60):
        decoder.length = length - 1
        lookup.next_logits(Prompt(decoder.text[:length], []))
    assert decoder.drafts == 8


def test_a_model_that_accepts_drafts_writes_the_reply_of_plain_greedy_decoding(
    qwen_folder: Path, make_image: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    question = user("A dog runs over the grass, and a child looks on. " * 3, make_image(1))
    plain, model = (LocalModel.load(str(qwen_folder), device="cpu", quantize="none") for _ in range(2))
    tokens: list[int] = []
    decode_step = plain._engine.decode_step

    def record(lookup: PromptLookupDecoder, prompt: Prompt, token: int) -> torch.Tensor:
        tokens.append(token)
        return decode_step(lookup, prompt, token)

    monkeypatch.setattr(plain._engine, "decode_step", record)
    expected = complete(plain, question, max_tokens=40, temperature=0)

    # A random model repeats nothing. Drafts are the reply that is to come, every other one with a wrong end.
    first_length: list[int] = []

    def foresee(_: PromptLookupDecoder, ids: Sequence[int]) -> list[int]:
        first_length.append(len(ids))
        known = 1 + len(ids) - first_length[0]
        draft = tokens[known : known + NUM_DRAFT_TOKENS]
        wrong_end = [(draft[-1] + 1) % 100] if known % 2 and draft else draft[-1:]
        return [*draft[:-1], *wrong_end]

    monkeypatch.setattr(PromptLookupDecoder, "_draft", foresee)
    # Static shapes as on a GPU, without a compiler.
    use_compiled_decoder(model, 512, None)
    assert complete(model, question, max_tokens=40, temperature=0) == expected
    assert 0 < len(first_length) < len(tokens) / 2, "most drafts are accepted"
