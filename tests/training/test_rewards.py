"""Captions sampled from the model, their rewards and advantages."""

from pathlib import Path

import torch
from torch.nn import functional as F

from training.decoder import Decoder
from training.rewards import CaptionReward, advantages, sample_captions

END = 2
TRAINING = [
    ["A dog runs on the grass.", "A brown dog runs."],
    ["A man rides a bicycle down the street.", "A man on a bicycle."],
    ["Two children play on the beach.", "Children on the beach."],
]


def greedy(decoder: Decoder, embeddings: torch.Tensor, tokens: int) -> list[int]:
    """Continue `embeddings` (tokens, width) greedily, without a KV cache."""
    chosen: list[int] = []
    for _ in range(tokens):
        x = torch.cat([embeddings, F.embedding(torch.tensor(chosen, dtype=torch.long), decoder.embedding)])[None]
        length = x.shape[1]
        mask = torch.full((1, 1, length, length), float("-inf")).triu(1)
        hidden = decoder(x, torch.arange(length)[None], mask)
        chosen.append(int(decoder.logits(hidden[0, -1]).argmax()))
    return chosen


def test_samples_follow_the_probabilities_of_the_decoder(decoder_folder: Path) -> None:
    torch.manual_seed(0)
    decoder = Decoder(decoder_folder, 4, 8.0, torch.float32)
    # Logits so far apart that sampling equals greedy decoding.
    decoder.norm.data *= 1000
    for layer in decoder.layers:
        torch.nn.init.normal_(layer.get_parameter("q_proj.lora_B"), std=0.3)
    prompts = torch.randn(3, 5, decoder.embedding.shape[1])
    with torch.inference_mode():
        expected = [greedy(decoder, prompt, 4) for prompt in prompts]
    sampled = sample_captions(decoder, prompts, 2, 4, END)
    assert sampled.shape == (3, 2, 4)
    for row, tokens in zip(sampled.tolist(), expected, strict=True):
        end = tokens.index(END) + 1 if END in tokens else 4
        assert [sample[:end] for sample in row] == [tokens[:end]] * 2


def test_only_end_tokens_follow_the_end(decoder_folder: Path) -> None:
    decoder = Decoder(decoder_folder, 0, 1.0, torch.float32)
    torch.manual_seed(0)
    prompt = torch.randn(1, 3, decoder.embedding.shape[1])
    end = int(sample_captions(decoder, prompt, 1, 1, END)[0, 0, 0])
    for row in sample_captions(decoder, prompt, 8, 6, end)[0].tolist():
        after = row[row.index(end) :] if end in row else []
        assert set(after) <= {end}


def test_a_right_caption_earns_more_than_a_wrong_or_truncated_one() -> None:
    reward = CaptionReward(TRAINING)
    candidates = ["A brown dog runs.", "A man on a bicycle.", "A brown dog runs."]
    right, wrong, truncated = reward(candidates, [True, True, False], [TRAINING[0]] * 3).tolist()
    assert right > truncated > wrong


def test_advantages_compare_the_captions_of_one_image() -> None:
    values = advantages(torch.tensor([[0.5, 0.5, 0.5], [0.2, 0.4, 0.6]]))
    assert torch.allclose(values.sum(1), torch.zeros(2), atol=1e-6)
    assert values[0].abs().max() == 0
    assert values[1, 0] < values[1, 1] < values[1, 2]
