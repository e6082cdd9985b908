"""A packed sequence equals the separate conversations that it holds."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from training.decoder import Decoder
from training.packed_sequences import IMAGE, SequencePacker, collate
from training.questions import Exchange

IMAGE_TOKENS = 7
EXCHANGES = [
    Exchange("Describe the photo.", ["A dog runs.", "A brown dog."], "caption"),
    Exchange("What is this?", ["A dog."], "name", [Exchange("What is it doing?", ["Running."], "doing")]),
    Exchange("Is there a cat?", ["No."], "there"),
]


@pytest.fixture
def packer(decoder_folder: Path) -> SequencePacker:
    return SequencePacker(Tokenizer.from_file(str(decoder_folder / "tokenizer.json")), IMAGE_TOKENS, 256)


def conversations(packer: SequencePacker) -> list[tuple[list[int], list[int]]]:
    """Return prompt and answer of each conversation."""
    out = []
    for exchange in EXCHANGES:
        prompt = [*packer.image_prompt, *packer.encode_question(exchange.question)]
        for answer in exchange.answers:
            reply = [*packer.encode(answer), *packer.end_of_turn]
            out.append((prompt, reply))
            for follow_up in exchange.follow_ups:
                question = packer.encode_question(follow_up.question)
                longer = [*prompt, *reply, *packer.next_user_start, *question]
                out.append((longer, [*packer.encode(follow_up.answers[0]), *packer.end_of_turn]))
    return out


def test_predictions_equal_those_of_separate_conversations(packer: SequencePacker, decoder_folder: Path) -> None:
    torch.manual_seed(0)
    decoder = Decoder(decoder_folder, 0, 1.0, torch.float32)
    image = torch.randn(IMAGE_TOKENS, decoder.embedding.shape[1])

    def hidden(
        tokens: torch.Tensor, image_mask: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        embeddings = torch.nn.functional.embedding(tokens, decoder.embedding)
        embeddings = embeddings.masked_scatter(image_mask[..., None], image.repeat(len(tokens), 1))
        out: torch.Tensor = decoder(embeddings, positions, mask)
        return out

    sequences = [packer.pack(EXCHANGES), packer.pack(EXCHANGES[1:])]
    batch = collate(sequences, max(sequence.length for sequence in sequences) + 3, torch.float32)
    with torch.inference_mode():
        packed = hidden(batch.tokens, batch.image_mask, batch.positions, batch.mask).flatten(0, 1)[batch.predictors]
        expected, targets = [], []
        for prompt, answer in conversations(packer) + conversations(packer)[2:]:
            tokens = torch.tensor([[*prompt, *answer]])
            length = tokens.shape[1]
            mask = torch.full((1, 1, length, length), float("-inf")).triu(1)
            alone = hidden(tokens.clamp(min=0), tokens == IMAGE, torch.arange(length)[None], mask)[0]
            expected.append(alone[len(prompt) - 1 : -1])
            targets += answer
    assert batch.targets.tolist() == targets
    assert torch.allclose(packed, torch.cat(expected), atol=1e-4)


def test_exchanges_that_do_not_fit_are_left_out(decoder_folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(decoder_folder / "tokenizer.json"))
    complete = SequencePacker(tokenizer, IMAGE_TOKENS, 256).pack(EXCHANGES)
    short = SequencePacker(tokenizer, IMAGE_TOKENS, complete.length - 1).pack(EXCHANGES)
    assert short.length < complete.length
    assert short.num_answers == complete.num_answers - 1
    assert {target.task for target in short.targets} == {"caption", "name", "doing"}


def test_a_truncated_answer_has_no_end_of_turn(packer: SequencePacker) -> None:
    end = packer.end_of_turn[0]
    for complete in (True, False):
        sequence = packer.pack([Exchange("Tell me a story.", ["A dog"], "chatter", complete=complete)])
        assert (end in [target.token for target in sequence.targets]) is complete


def test_short_answers_have_a_larger_weight_than_captions(packer: SequencePacker) -> None:
    weights = {target.task: target.weight for target in packer.pack(EXCHANGES).targets}
    assert weights["there"] > weights["caption"]


def test_padding_is_neither_attended_to_nor_trained_on(packer: SequencePacker) -> None:
    sequence = packer.pack(EXCHANGES[:1])
    batch = collate([sequence], sequence.length + 5, torch.float32)
    assert torch.isinf(batch.mask[0, 0, : sequence.length, sequence.length :]).all()
    assert int(batch.predictors.max()) < sequence.length
    assert int(batch.image_mask.sum()) == IMAGE_TOKENS


def test_sampled_answers_are_weighted_by_their_advantages(packer: SequencePacker) -> None:
    sampled = [[*packer.encode("A dog."), *packer.end_of_turn], packer.encode("A cat")]
    sequence = packer.pack_sampled("What is this?", sampled, [1.5, -1.5])
    weighted = [(target.token, target.weight) for target in sequence.targets]
    assert weighted == [(token, 1.5) for token in sampled[0]] + [(token, -1.5) for token in sampled[1]]


def test_sampled_answers_have_the_positions_of_annotated_ones(packer: SequencePacker) -> None:
    """Otherwise their probability in training would not be the one with which they were sampled."""
    answer = [*packer.encode("A dog."), *packer.end_of_turn]
    sampled = packer.pack_sampled("What is this?", [answer], [1.0])
    annotated = packer.pack([Exchange("What is this?", ["A dog."], "name")])
    predictors = [[target.predictor for target in sequence.targets] for sequence in (sampled, annotated)]
    assert predictors[0] == predictors[1]
