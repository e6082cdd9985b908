"""A row holds exactly the separate conversations that it stands for."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from training.decoder import Decoder
from training.packed_sequences import IMAGE, RowBuilder, collate
from training.questions import Exchange

PICTURE = 7
EXCHANGES = [
    Exchange("Describe the photo.", ["A dog runs.", "A brown dog."], "caption"),
    Exchange("What is this?", ["A dog."], "name", [Exchange("What is it doing?", ["Running."], "doing")]),
    Exchange("Is there a cat?", ["No."], "there"),
]


@pytest.fixture
def builder(decoder_folder: Path) -> RowBuilder:
    return RowBuilder(Tokenizer.from_file(str(decoder_folder / "tokenizer.json")), PICTURE, 256)


def conversations(builder: RowBuilder) -> list[tuple[list[int], list[int]]]:
    """Each conversation by itself: its prompt, and the answer to it."""
    picture = [*builder.opening, *[IMAGE] * PICTURE, *builder.newline]
    out = []
    for exchange in EXCHANGES:
        asked = [*picture, *builder.encode(exchange.question), *builder.turn]
        for answer in exchange.answers:
            said = [*builder.encode(answer), *builder.stop]
            out.append((asked, said))
            for following in exchange.then:
                again = [*asked, *said, *builder.next_turn, *builder.encode(following.question), *builder.turn]
                out.append((again, [*builder.encode(following.answers[0]), *builder.stop]))
    return out


def test_predictions_are_those_of_separate_conversations(builder: RowBuilder, decoder_folder: Path) -> None:
    torch.manual_seed(0)
    decoder = Decoder(decoder_folder, 0, 1.0, torch.float32)
    picture = torch.randn(PICTURE, decoder.embedding.shape[1])

    def hidden(
        tokens: torch.Tensor, pictures: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        embeddings = torch.nn.functional.embedding(tokens, decoder.embedding)
        embeddings = embeddings.masked_scatter(pictures[..., None], picture.repeat(len(tokens), 1))
        out: torch.Tensor = decoder(embeddings, positions, mask)
        return out

    rows = [builder.build(EXCHANGES), builder.build(EXCHANGES[1:])]
    batch = collate(rows, max(row.length for row in rows) + 3, torch.float32)
    with torch.inference_mode():
        together = hidden(batch.tokens, batch.pictures, batch.positions, batch.mask).flatten(0, 1)[batch.predictors]
        expected, targets = [], []
        for prompt, answer in conversations(builder) + conversations(builder)[2:]:
            tokens = torch.tensor([[*prompt, *answer]])
            length = tokens.shape[1]
            mask = torch.full((1, 1, length, length), float("-inf")).triu(1)
            alone = hidden(tokens.clamp(min=0), tokens == IMAGE, torch.arange(length)[None], mask)[0]
            expected.append(alone[len(prompt) - 1 : -1])
            targets += answer
    assert batch.targets.tolist() == targets
    assert torch.allclose(together, torch.cat(expected), atol=1e-4)


def test_what_does_not_fit_is_left_out(decoder_folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(decoder_folder / "tokenizer.json"))
    whole = RowBuilder(tokenizer, PICTURE, 256).build(EXCHANGES)
    short = RowBuilder(tokenizer, PICTURE, whole.length - 1).build(EXCHANGES)
    assert short.length < whole.length
    assert short.answers == whole.answers - 1
    assert {task for *_, task, _ in short.losses} == {"caption", "name", "doing"}


def test_a_cut_answer_does_not_teach_to_stop(builder: RowBuilder) -> None:
    end = builder.stop[0]
    for complete in (True, False):
        row = builder.build([Exchange("Tell me a story.", ["A dog"], "chatter", complete=complete)])
        assert (end in [target for _, target, *_ in row.losses]) is complete


def test_short_answers_weigh_more_than_captions(builder: RowBuilder) -> None:
    weights = {task: weight for _, _, weight, task, _ in builder.build(EXCHANGES).losses}
    assert weights["there"] > weights["caption"]


def test_padding_is_neither_seen_nor_learned(builder: RowBuilder) -> None:
    row = builder.build(EXCHANGES[:1])
    batch = collate([row], row.length + 5, torch.float32)
    assert torch.isinf(batch.mask[0, 0, : row.length, row.length :]).all()
    assert int(batch.predictors.max()) < row.length
    assert int(batch.pictures.sum()) == PICTURE


def test_what_was_drawn_is_learned_by_its_worth(builder: RowBuilder) -> None:
    drawn = [[*builder.encode("A dog."), *builder.stop], builder.encode("A cat")]
    row = builder.sampled("What is this?", drawn, [1.5, -1.5])
    learned = [(target, weight) for _, target, weight, *_ in row.losses]
    assert learned == [(token, 1.5) for token in drawn[0]] + [(token, -1.5) for token in drawn[1]]
    written = builder.build([Exchange("What is this?", ["A dog."], "name")])
    # The same places, so that its probability there is the one it was drawn with.
    assert [predictor for predictor, *_ in row.losses[: len(drawn[0])]] == [
        predictor for predictor, *_ in written.losses
    ]
