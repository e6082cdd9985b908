"""Guessing what follows changes how fast a reply comes, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.messages import Image, user
from assistant.models.local.model import LocalModel
from assistant.models.local.prompt_cache import Prompt
from assistant.models.local.prompt_lookup import NUM_DRAFT_TOKENS, PromptLookupDecoder
from tests.fakes.generation import complete
from tests.fakes.tiny_models import decoder_of

VOCABULARY = 5


class Reciter:
    """A decoder that knows one text by heart and counts how often it had to read; after it, it says 0 for ever."""

    def __init__(self, text: list[int]) -> None:
        self.text = text
        self.length = 0
        self.reads = 0

    def build_prompt(self, text: str, images: Any) -> Prompt:
        raise NotImplementedError

    def crop(self, prompt: Prompt, count: int) -> int:
        raise NotImplementedError

    def forward(self, prompt: Prompt, start: int, end: int) -> torch.Tensor:
        return self.verify(Prompt(prompt.ids[:end], []), [])[-1]

    def verify(self, prompt: Prompt, guesses: list[int]) -> torch.Tensor:
        assert self.length == len(prompt) - 1, "all before it is read, and nothing else"
        self.reads += 1
        self.length += 1 + len(guesses)
        following = [(self.text + [0] * 99)[place] for place in range(len(prompt), self.length + 1)]
        return torch.eye(VOCABULARY)[following]

    def rollback(self, count: int) -> None:
        self.length -= count


def recite(text: list[int], begun: int, *, enabled: bool = True) -> tuple[list[int], int]:
    """What is said after the first `begun` tokens, and how many reads that took."""
    decoder = Reciter(text)
    prompt, ahead = Prompt(text[:begun], list(text[:begun])), PromptLookupDecoder(decoder, 1000, enabled=enabled)
    decoder.length = begun - 1
    said = []
    while len(prompt) < len(text):
        said.append(int(ahead.next_logits(prompt).argmax()))
        prompt.append(said[-1])
    return said, decoder.reads


@settings(deadline=None)
@given(st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=60), st.data())
def test_what_is_said_is_what_would_have_been_said(text: list[int], data: st.DataObject) -> None:
    begun = data.draw(st.integers(1, len(text) - 1))
    said, reads = recite(text, begun)
    assert said == text[begun:]
    assert reads <= len(said)


def test_what_was_said_before_is_said_again_in_fewer_reads() -> None:
    text = [1, 2, 3, 4, 1, 1, 3, 2, 2, 4]
    assert recite(text * 2, len(text) + 2)[1] == (len(text) - 2) // (1 + NUM_DRAFT_TOKENS)
    assert recite(text * 2, len(text) + 2, enabled=False)[1] == len(text) - 2


def test_guessing_ends_where_it_never_helps() -> None:
    class Contrary(Reciter):
        guessed = 0

        def verify(self, prompt: Prompt, guesses: list[int]) -> torch.Tensor:
            self.guessed += bool(guesses)
            # Always another token than any that came before in this place.
            return super().verify(prompt, guesses).roll(1, 1)

    decoder = Contrary([1, 2, 3] * 30)
    ahead = PromptLookupDecoder(decoder, 1000, enabled=True)
    for length in range(10, 60):
        decoder.length = length - 1
        ahead.next_logits(Prompt(decoder.text[:length], []))
    assert decoder.guessed == 8


@pytest.mark.parametrize("quantize", ["int8", "none"])
def test_a_real_decoder_writes_the_same(
    llava_folder: Path, make_image: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch, quantize: str
) -> None:
    question = [user("A dog runs over the grass, and a child looks on. " * 3, make_image(1))]

    def say(model: LocalModel) -> str:
        return complete(model, *question, max_tokens=60)

    model = LocalModel.load(str(llava_folder), device="cpu", quantize=quantize)
    decoder: Any = decoder_of(model)
    verify, widths = decoder.verify, []

    def count(prompt: Prompt, guesses: list[int]) -> torch.Tensor:
        widths.append(len(guesses))
        return verify(prompt, guesses)  # type: ignore[no-any-return]

    decoder.verify = count
    first = say(model)
    assert widths
    assert say(model) == first, "from what is remembered, too"
    decoder.verify = lambda *_: None
    assert say(LocalModel.load(str(llava_folder), device="cpu", quantize=quantize)) == first
    assert say(model) == first
