"""Pack all conversations about an image into one sequence, so that nothing is computed twice.

The conversations share the tokens of the image, and all captions share their question. So an image's exchanges form a
tree in one sequence: each segment attends to itself and its ancestors alone, and its positions continue from its
parent's end. That equals the separate conversations, at about a third of the tokens.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.questions import Exchange

IMAGE = -1  # stands for one image token, until its embedding is filled in
START, END = "<|im_start|>", "<|im_end|>"
# Captions are long and many; without a larger weight the short answers would hardly count.
TASK_WEIGHTS = {"caption": 1.0, "long": 0.5}
SHORT_ANSWER_WEIGHT = 2.5
REWARD = "reward"
"""Task of answers that the model sampled; their weight is an advantage and may be negative."""


@dataclass
class Segment:
    """Tokens that follow the last token of the segment `parent` (-1: none); `start` is their index in the sequence."""

    parent: int
    tokens: list[int]
    start: int = 0


class TokenTarget(NamedTuple):
    """A token to predict.

    Attributes:
        predictor: Index of the token whose logits predict it.
        token: Its id.
        weight: Weight of its loss.
        task: Task of its answer.
        answer: Number of its answer; all tokens of an answer share it, so that complete answers can be scored.
    """

    predictor: int
    token: int
    weight: float
    task: str
    answer: int


@dataclass
class PackedSequence:
    """A tree of segments with the tokens to predict.

    Attributes:
        segments: The segments, each after its parent.
        targets: The tokens to predict.
        length: Number of tokens.
        num_answers: Number of answers.
    """

    segments: list[Segment] = field(default_factory=list)
    targets: list[TokenTarget] = field(default_factory=list)
    length: int = 0
    num_answers: int = 0

    def add(self, parent: int, tokens: list[int]) -> int:
        """Append a segment and return its number."""
        self.segments.append(Segment(parent, tokens, self.length))
        self.length += len(tokens)
        return len(self.segments) - 1

    def add_answer(self, question: int, answer: list[int], weight: float, task: str) -> int:
        """Append an answer to the segment `question`, with a target for each of its tokens. Return its segment."""
        segment = self.add(question, answer)
        predictor = self.last_token(question)
        for offset, token in enumerate(answer):
            self.targets.append(TokenTarget(predictor, token, weight, task, self.num_answers))
            predictor = self.segments[segment].start + offset
        self.num_answers += 1
        return segment

    def last_token(self, segment: int) -> int:
        """Return the index of a segment's last token."""
        return self.segments[segment].start + len(self.segments[segment].tokens) - 1


class SequencePacker:
    """Packs exchanges into sequences of at most `length` tokens, for images of `image_tokens` tokens."""

    def __init__(self, tokenizer: Tokenizer, image_tokens: int, length: int) -> None:
        self.tokenizer = tokenizer
        self.length = length
        self.image_prompt = [*self.encode(f"{START}user\n"), *[IMAGE] * image_tokens, *self.encode("\n")]
        """Tokens before a question about the image."""
        self.assistant_start = self.encode(f"{END}\n{START}assistant\n")
        self.next_user_start = self.encode(f"\n{START}user\n")
        self.end_of_turn = self.encode(END)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text`, without special tokens around it."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_question(self, question: str) -> list[int]:
        """Return the tokens between an image and the answer to a `question` about it."""
        return self.encode(question) + self.assistant_start

    def pack(self, exchanges: list[Exchange]) -> PackedSequence:
        """Return a sequence with the image and as many of `exchanges`, in order, as fit."""
        sequence = PackedSequence()
        image = sequence.add(-1, self.image_prompt)
        for exchange in exchanges:
            self._add(sequence, image, exchange, [])
        return sequence

    def pack_sampled(self, question: str, answers: list[list[int]], advantages: list[float]) -> PackedSequence:
        """Return a sequence with the image, a question and sampled answers, weighted by their advantages."""
        sequence = PackedSequence()
        image = sequence.add(-1, self.image_prompt)
        asked = sequence.add(image, self.encode_question(question))
        for answer, advantage in zip(answers, advantages, strict=True):
            if sequence.length + len(answer) <= self.length:
                sequence.add_answer(asked, answer, advantage, REWARD)
        return sequence

    def _add(self, sequence: PackedSequence, parent: int, exchange: Exchange, prefix: list[int]) -> None:
        """Add an exchange after the segment `parent`, with as many of its answers as fit."""
        question = prefix + self.encode_question(exchange.question)
        end = self.end_of_turn if exchange.complete else []
        answers = [self.encode(answer) + end for answer in exchange.answers]
        if sequence.length + len(question) + len(answers[0]) > self.length:
            return
        asked = sequence.add(parent, question)
        weight = TASK_WEIGHTS.get(exchange.task, SHORT_ANSWER_WEIGHT)
        for number, answer in enumerate(answers):
            if sequence.length + len(answer) > self.length:
                break
            segment = sequence.add_answer(asked, answer, weight, exchange.task)
            if number == 0:
                for follow_up in exchange.follow_ups:
                    self._add(sequence, segment, follow_up, self.next_user_start)


@dataclass
class Batch:
    """Packed sequences as tensors.

    Attributes:
        tokens: Token ids (sequences, length), 0 for image tokens and padding.
        positions: RoPE positions (sequences, length).
        mask: Attention mask (sequences, 1, length, length), added to the scores.
        image_mask: True at image tokens (sequences, length).
        predictors: For each target, the index of its predictor in the flattened (sequences * length).
        targets: Token ids to predict (targets,).
        weights: Weights of their losses (targets,).
        tasks: Their tasks.
        answers: Numbers of their answers (targets,), unique in the batch.
    """

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    image_mask: Tensor
    predictors: Tensor
    targets: Tensor
    weights: Tensor
    tasks: list[str]
    answers: Tensor


def collate(sequences: list[PackedSequence], length: int, dtype: torch.dtype) -> Batch:
    """Pad sequences to `length` and stack them; their attention masks have `dtype`."""
    tokens = torch.zeros(len(sequences), length, dtype=torch.long)
    positions = torch.zeros(len(sequences), length, dtype=torch.long)
    allowed = torch.eye(length, dtype=torch.bool).repeat(len(sequences), 1, 1)
    targets: list[TokenTarget] = []
    answers_before = 0
    for number, sequence in enumerate(sequences):
        _lay_out(sequence, tokens[number], positions[number], allowed[number])
        targets += [
            target._replace(predictor=number * length + target.predictor, answer=answers_before + target.answer)
            for target in sequence.targets
        ]
        answers_before += sequence.num_answers
    mask = torch.zeros(len(sequences), 1, length, length, dtype=dtype).masked_fill(~allowed[:, None], float("-inf"))
    return Batch(
        tokens=tokens.clamp(min=0),
        positions=positions,
        mask=mask,
        image_mask=tokens == IMAGE,
        predictors=torch.tensor([target.predictor for target in targets]),
        targets=torch.tensor([target.token for target in targets]),
        weights=torch.tensor([target.weight for target in targets]),
        tasks=[target.task for target in targets],
        answers=torch.tensor([target.answer for target in targets]),
    )


def _lay_out(sequence: PackedSequence, tokens: Tensor, positions: Tensor, allowed: Tensor) -> None:
    """Fill in one sequence: `tokens` and `positions` (length,), and `allowed` attention (length, length)."""
    next_position: list[int] = []
    ancestors: list[list[int]] = []
    for segment in sequence.segments:
        first = next_position[segment.parent] if segment.parent >= 0 else 0
        count = len(segment.tokens)
        span = slice(segment.start, segment.start + count)
        tokens[span] = torch.tensor(segment.tokens)
        positions[span] = torch.arange(first, first + count)
        chain = [*ancestors[segment.parent], segment.parent] if segment.parent >= 0 else []
        for index in chain:
            ancestor = sequence.segments[index]
            allowed[span, ancestor.start : ancestor.start + len(ancestor.tokens)] = True
        allowed[span, span] = torch.ones(count, count).tril().bool()
        next_position.append(first + count)
        ancestors.append(chain)
