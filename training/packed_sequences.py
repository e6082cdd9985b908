"""Conversations about a photo, laid out so that nothing is computed twice.

All that is said about one photo shares the tokens of the photo, and all captions share their question. So a photo's
exchanges are one tree in one row: each segment attends to itself and its ancestors alone, and its positions count
from its parent's end. That is exactly the set of separate conversations, at about a third of the tokens.
"""

from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.questions import Exchange

IMAGE = -1  # stands for one token of the picture, until its embedding is put there
START, END = "<|im_start|>", "<|im_end|>"
# Captions are long and many; without more weight the short answers would hardly count.
WEIGHTS = {"caption": 1.0, "long": 0.5}
SHORT_ANSWER_WEIGHT = 2.5
REWARD = "reward"
"""The task of answers that the model made up, whose weight is what they are worth: it may be negative."""


@dataclass
class Segment:
    """Tokens that follow their parent's last one."""

    parent: int
    tokens: list[int]
    start: int = 0


@dataclass
class Row:
    """A tree of segments with what is to be learned from it.

    `losses` holds (index of the token that predicts, token it should predict, weight, task, answer number); all tokens
    of an answer share that number, so an answer can be judged as a whole.
    """

    segments: list[Segment] = field(default_factory=list)
    losses: list[tuple[int, int, float, str, int]] = field(default_factory=list)
    length: int = 0
    answers: int = 0

    def add(self, parent: int, tokens: list[int]) -> int:
        """Append a segment and return its number."""
        self.segments.append(Segment(parent, tokens, self.length))
        self.length += len(tokens)
        return len(self.segments) - 1

    def end(self, segment: int) -> int:
        """The index of a segment's last token."""
        return self.segments[segment].start + len(self.segments[segment].tokens) - 1


class RowBuilder:
    """Builds rows of at most `length` tokens for pictures of `image_tokens` tokens each."""

    def __init__(self, tokenizer: Tokenizer, image_tokens: int, length: int) -> None:
        self.tokenizer = tokenizer
        self.image_tokens = image_tokens
        self.length = length
        self.opening = self.encode(f"{START}user\n")
        self.newline = self.encode("\n")
        self.turn = self.encode(f"{END}\n{START}assistant\n")
        self.next_turn = self.encode(f"\n{START}user\n")
        self.stop = self.encode(END)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, with nothing added."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def build(self, exchanges: list[Exchange]) -> Row:
        """A row with the picture and as many of `exchanges`, in order, as fit."""
        row = Row()
        picture = row.add(-1, self.opening + [IMAGE] * self.image_tokens + self.newline)
        for exchange in exchanges:
            self._add(row, picture, exchange, [])
        return row

    def asked(self, question: str) -> list[int]:
        """The tokens between a picture and what is answered to a `question` about it."""
        return self.encode(question) + self.turn

    def sampled(self, question: str, answers: list[list[int]], worth: list[float]) -> Row:
        """A row with the picture, a question and tokens the model answered itself, each as much as it is `worth`."""
        row = Row()
        picture = row.add(-1, self.opening + [IMAGE] * self.image_tokens + self.newline)
        asked = row.add(picture, self.asked(question))
        for answer, value in zip(answers, worth, strict=True):
            if row.length + len(answer) <= self.length:
                _answer(row, asked, answer, value, REWARD)
        return row

    def _add(self, row: Row, parent: int, exchange: Exchange, opening: list[int]) -> None:
        question = opening + self.asked(exchange.question)
        answers = [self.encode(answer) + (self.stop if exchange.complete else []) for answer in exchange.answers]
        if row.length + len(question) + len(answers[0]) > self.length:
            return
        asked = row.add(parent, question)
        weight = WEIGHTS.get(exchange.task, SHORT_ANSWER_WEIGHT)
        for number, answer in enumerate(answers):
            if row.length + len(answer) > self.length:
                break
            said = _answer(row, asked, answer, weight, exchange.task)
            if number == 0:
                for following in exchange.then:
                    self._add(row, said, following, self.next_turn)


def _answer(row: Row, asked: int, answer: list[int], weight: float, task: str) -> int:
    """Add an answer to the segment `asked` with the loss of each of its tokens, and return its segment."""
    said = row.add(asked, answer)
    predictor = row.end(asked)
    for offset, token in enumerate(answer):
        row.losses.append((predictor, token, weight, task, row.answers))
        predictor = row.segments[said].start + offset
    row.answers += 1
    return said


@dataclass
class Batch:
    """Rows as tensors; `pictures` marks where picture tokens go, row by row, in order."""

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    pictures: Tensor
    predictors: Tensor
    targets: Tensor
    weights: Tensor
    tasks: list[str]
    answers: Tensor


def collate(rows: list[Row], length: int, dtype: torch.dtype) -> Batch:
    """Pad rows to `length` and write out their masks: 0 where a token may look, minus infinity elsewhere."""
    tokens = torch.zeros(len(rows), length, dtype=torch.long)
    positions = torch.zeros(len(rows), length, dtype=torch.long)
    allowed = torch.eye(length, dtype=torch.bool).repeat(len(rows), 1, 1)
    predictors, targets, weights, answers = [], [], [], []
    tasks: list[str] = []
    before = 0
    for number, row in enumerate(rows):
        depth: list[int] = []
        ancestors: list[list[int]] = []
        for segment in row.segments:
            first = depth[segment.parent] if segment.parent >= 0 else 0
            stop = segment.start + len(segment.tokens)
            tokens[number, segment.start : stop] = torch.tensor(segment.tokens)
            positions[number, segment.start : stop] = torch.arange(first, first + len(segment.tokens))
            chain = [*ancestors[segment.parent], segment.parent] if segment.parent >= 0 else []
            for index in chain:
                above = row.segments[index]
                allowed[number, segment.start : stop, above.start : above.start + len(above.tokens)] = True
            allowed[number, segment.start : stop, segment.start : stop] = (
                torch.ones(len(segment.tokens), len(segment.tokens)).tril().bool()
            )
            depth.append(first + len(segment.tokens))
            ancestors.append(chain)
        for predictor, target, weight, task, answer in row.losses:
            predictors.append(number * length + predictor)
            targets.append(target)
            weights.append(weight)
            tasks.append(task)
            answers.append(before + answer)
        before += row.answers
    mask = torch.zeros(len(rows), 1, length, length, dtype=dtype).masked_fill(~allowed[:, None], float("-inf"))
    return Batch(
        tokens.clamp(min=0), positions, mask, tokens == IMAGE,
        torch.tensor(predictors), torch.tensor(targets), torch.tensor(weights), tasks, torch.tensor(answers),
    )  # fmt: skip
