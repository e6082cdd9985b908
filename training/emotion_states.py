"""Compute the decoder's hidden states of every GoEmotions comment, for `training.emotion_text`.

    python -m training.emotion_states --data DATA --work WORK --decoder WORK/decoder

Writes `WORK/emotion/states-SPLIT-NUMBER.npy`, in chunks of 2,048 comments: (comments, layers, 2, width) as float16. The
two are the mean over the text's tokens and the state of the prompt's last token, as in `skills.emotions.text`. An
interrupted run continues after the last complete chunk. On one core in bfloat16 a chunk takes about 20 seconds, and two
minutes on a busy machine.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skills.emotions.text import LAYERS, PROMPT_PREFIX, PROMPT_SUFFIX, WINDOW_TOKENS
from training.decoder import Decoder
from training.goemotions import read_comments

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHUNK_SIZE = 2048
BATCH_SIZE = 32
SPLITS = ("dev", "test", "train")


class HiddenStates:
    """Compute the pooled hidden states of many texts."""

    def __init__(self, folder: Path, dtype: torch.dtype = torch.bfloat16, *, compiled: bool = False) -> None:
        """Load the decoder.

        Args:
            folder: Dequantized decoder with its tokenizer.
            dtype: Precision of the computation.
            compiled: Compile the layers. Takes half a minute, which pays off from some thousand texts on.
        """
        from transformers import AutoTokenizer

        self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        self._decoder = Decoder(folder, 0, 1.0, dtype).requires_grad_(requires_grad=False)
        self._layers: list[Callable[..., Tensor]] = list(self._decoder.layers[: max(LAYERS)])
        if compiled:
            # All layers share their code, so it is compiled once. 1.4 times as fast.
            self._layers = [torch.compile(layer, dynamic=True) for layer in self._layers]
        self._dtype = dtype

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """Return states (texts, layers, 2, width). Texts of similar length share a batch."""
        ids = [self._tokenize(text)[:WINDOW_TOKENS] for text in texts]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        states = np.zeros((len(ids), len(LAYERS), 2, self._decoder.embedding.shape[1]), np.float16)
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            states[batch] = self._compute([ids[index] for index in batch]).half().numpy()
        return states

    def _tokenize(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    @torch.inference_mode()
    def _compute(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Return the states (texts, layers, 2, width) of one batch of token IDs."""
        prefix, suffix = self._tokenize(PROMPT_PREFIX), self._tokenize(PROMPT_SUFFIX)
        prompts = [torch.tensor([*prefix, *ids, *suffix]) for ids in texts]
        padded = torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True)
        count, length = padded.shape
        positions = torch.arange(length).expand(count, -1)
        # Padding is at the end, so the causal mask hides it.
        mask = torch.full((length, length), -torch.inf, dtype=self._dtype).triu(1).expand(count, 1, -1, -1)
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        is_text = (positions >= len(prefix)) & (positions < (lengths - len(suffix))[:, None])
        weights = is_text / is_text.sum(1, keepdim=True).clamp(min=1)
        cos, sin = self._decoder.rope_table(positions, self._dtype)
        x = self._decoder.embedding[padded]
        pooled = []
        for number, layer in enumerate(self._layers, 1):
            x = layer(x, cos, sin, mask)
            if number in LAYERS:
                states = x.float()
                states = states / states.pow(2).mean(-1, keepdim=True).sqrt()
                mean = torch.einsum("btw,bt->bw", states, weights)
                pooled.append(torch.stack((mean, states[torch.arange(count), lengths - 1]), 1))
        return torch.stack(pooled, 1)


def chunks(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the number and the texts of each chunk."""
    for number, start in enumerate(range(0, len(texts), CHUNK_SIZE)):
        yield number, texts[start : start + CHUNK_SIZE]


def write_chunk(states: NDArray[np.float16], path: Path) -> None:
    """Write an npy file atomically, so that an interrupted run leaves no partial chunk."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, states)
    partial.rename(path)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--decoder", type=Path, required=True, help="the folder of the dequantized decoder")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    folder: Path = arguments.work / "emotion"
    folder.mkdir(parents=True, exist_ok=True)
    hidden_states: HiddenStates | None = None
    for split in SPLITS:
        texts, _ = read_comments(arguments.data, split)
        for number, chunk in chunks(texts):
            target = folder / f"states-{split}-{number:03}.npy"
            if target.exists():
                continue
            hidden_states = hidden_states or HiddenStates(arguments.decoder, compiled=True)
            started = time.monotonic()
            write_chunk(hidden_states(chunk), target)
            seconds = time.monotonic() - started
            print(f"{target.name}: {len(chunk)} comments in {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
