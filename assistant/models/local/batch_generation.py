"""Generate several replies at once with a `BatchDecoder`: one token of each per step."""

import threading
from collections.abc import Collection, Sequence
from functools import partial

from torch import Tensor

from assistant.events import FinishReason, Usage
from assistant.models.base import BatchReply
from assistant.models.local.decoders.llava import LlavaDecoder
from assistant.models.local.engine import Engine
from assistant.models.local.prompt_cache import Prompt
from assistant.models.local.sampling import Detokenizer, Sampler
from assistant.models.replies import WholeReply

MAX_BATCH = 8
"""Sequences per step. A step of eight takes twice as long as a step of one. Sixteen would double the memory (20 MB a
sequence) and gain little.
"""


class Reply:
    """One reply of a batch, as far as it has been generated."""

    def __init__(
        self, prompt: Prompt, max_new_tokens: int, sampler: Sampler, detokenizer: Detokenizer, whole: WholeReply
    ) -> None:
        self.prompt = prompt
        self.last_token = 0
        self._num_tokens = 0
        self._finish_reason: FinishReason = "stop"
        self._max_new_tokens = max_new_tokens
        self._sampler = sampler
        self._detokenizer = detokenizer
        self._whole = whole

    def finish(self) -> BatchReply:
        """Return the reply as far as it has been generated."""
        usage = Usage(len(self.prompt), 0, self._num_tokens, finish_reason=self._finish_reason)
        return BatchReply(*self._whole.finish(usage))

    def advance(self, logits: Tensor, eos_token_ids: Collection[int]) -> bool:
        """Sample a token from `logits` (vocab_size,) and add its text. Return False if the reply is complete."""
        self.last_token = self._sampler(logits)
        if self.last_token in eos_token_ids:
            return False
        self._num_tokens += 1
        if not self._whole.push(self._detokenizer.push(self.last_token)):
            return False
        if self._num_tokens < self._max_new_tokens:
            return True
        self._finish_reason = "length"
        return False


def generate(
    engine: Engine,
    decoder: LlavaDecoder,
    replies: Sequence[Reply],
    eos_token_ids: Collection[int],
    stop: threading.Event,
) -> None:
    """Generate `replies`, in batches of at most `MAX_BATCH`. Setting `stop` ends them within one token."""
    # Prompts with images use other weights (an adapter) than those without, so they cannot share a batch.
    for with_images in (True, False):
        group = [reply for reply in replies if bool(reply.prompt.images) is with_images]
        for start in range(0, len(group), MAX_BATCH):
            _generate_batch(engine, decoder, group[start : start + MAX_BATCH], eos_token_ids, stop)


def _generate_batch(
    engine: Engine,
    decoder: LlavaDecoder,
    replies: Sequence[Reply],
    eos_token_ids: Collection[int],
    stop: threading.Event,
) -> None:
    batch = decoder.batch_decoder(len(replies))
    active: list[Reply] = []

    # 1. Prefill the prompts one after the other.
    for reply in replies:
        _, logits = engine.prefill(reply.prompt, stop)
        if logits is None:
            return
        if engine.run(partial(reply.advance, logits, eos_token_ids)):
            engine.run(batch.add)
            active.append(reply)

    # 2. Decode a token of every reply per step.
    while active and not stop.is_set():
        rows = engine.run(partial(batch.step, [reply.last_token for reply in active]))
        # Backwards, because the last sequence takes the place of one that is removed.
        for index in reversed(range(len(active))):
            if not engine.run(partial(active[index].advance, rows[index], eos_token_ids)):
                engine.run(partial(batch.remove, index))
                active[index] = active[-1]
                del active[-1]
