"""Captions drawn by the model itself, and what they are worth."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from training.decoder import Decoder
from training.rewards import CaptionReward, draw_captions, worth

END = 2
TRAINING = [
    ["A dog runs on the grass.", "A brown dog runs."],
    ["A man rides a bicycle down the street.", "A man on a bicycle."],
    ["Two children play on the beach.", "Children on the beach."],
]


def greedy(decoder: Decoder, embeddings: torch.Tensor, tokens: int) -> list[int]:
    """What follows `embeddings` (tokens, width) when the likeliest is always chosen and everything is read anew."""
    chosen: list[int] = []
    for _ in range(tokens):
        x = torch.cat([embeddings, F.embedding(torch.tensor(chosen, dtype=torch.long), decoder.embedding)])[None]
        length = x.shape[1]
        mask = torch.full((1, 1, length, length), float("-inf")).triu(1)
        hidden = decoder(x, torch.arange(length)[None], mask)
        chosen.append(int(decoder.logits(hidden[0, -1]).argmax()))
    return chosen


def test_what_is_drawn_is_what_the_decoder_finds_likely(decoder_folder: Path) -> None:
    torch.manual_seed(0)
    decoder = Decoder(decoder_folder, 4, 8.0, torch.float32)
    # Logits so far apart that drawing is choosing the likeliest.
    decoder.norm.data *= 1000
    for layer in decoder.layers:
        torch.nn.init.normal_(layer.get_parameter("q_proj.lora_B"), std=0.3)
    prompts = torch.randn(3, 5, decoder.embedding.shape[1])
    with torch.inference_mode():
        expected = [greedy(decoder, prompt, 4) for prompt in prompts]
    drawn = draw_captions(decoder, prompts, 2, 4, END)
    assert drawn.shape == (3, 2, 4)
    for row, tokens in zip(drawn.tolist(), expected, strict=True):
        upto = tokens.index(END) + 1 if END in tokens else 4
        assert [one[:upto] for one in row] == [tokens[:upto]] * 2


def test_after_the_end_comes_nothing_else(decoder_folder: Path) -> None:
    decoder = Decoder(decoder_folder, 0, 1.0, torch.float32)
    torch.manual_seed(0)
    prompt = torch.randn(1, 3, decoder.embedding.shape[1])
    end = int(draw_captions(decoder, prompt, 1, 1, END)[0, 0, 0])
    for row in draw_captions(decoder, prompt, 8, 6, end)[0].tolist():
        after = row[row.index(end) :] if end in row else []
        assert set(after) <= {end}


def test_a_caption_people_would_write_earns_more_than_a_wrong_or_unfinished_one() -> None:
    pytest.importorskip("pycocoevalcap", reason="`make train-deps` brings the scorer")
    reward = CaptionReward(TRAINING)
    said = ["A brown dog runs.", "A man on a bicycle.", "A brown dog runs."]
    right, wrong, unfinished = reward(said, [True, True, False], [TRAINING[0]] * 3).tolist()
    assert right > unfinished > wrong


def test_worth_is_what_a_caption_is_better_than_its_siblings() -> None:
    values = worth(torch.tensor([[0.5, 0.5, 0.5], [0.2, 0.4, 0.6]]))
    assert torch.allclose(values.sum(1), torch.zeros(2), atol=1e-6)
    assert values[0].abs().max() == 0
    assert values[1, 0] < values[1, 1] < values[1, 2]
