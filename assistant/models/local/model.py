"""Run a vision-language model in this process: messages in, chunks of text out.

messages ─▶ chat template ─▶ token ids ─▶ prefill what the KV cache lacks ─▶ logits ◀─┐
                                                                               │      │
                                   text ◀─ detokenizer ◀─ token ◀─ sampler ◀───┘      │
                                                            └───── decode step ───────┘
"""

import threading
import time
from collections.abc import Collection, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from assistant.errors import ContextOverflow, ModelError, OutOfMemory
from assistant.events import FinishReason, Usage
from assistant.messages import Message
from assistant.models.base import MIN_RESPONSE_TOKENS, BatchReply, GenerationOptions, ModelInfo, ReplyItem
from assistant.models.local import batch_generation
from assistant.models.local.chat_template import ChatTemplate, keep_latest_images
from assistant.models.local.cpu_threads import split_evenly
from assistant.models.local.decoders.llava import LlavaDecoder
from assistant.models.local.engine import Engine
from assistant.models.local.load_errors import translate_errors
from assistant.models.local.loader import LoadedModel, load
from assistant.models.local.placement import choose_device
from assistant.models.local.prompt_cache import Prompt
from assistant.models.local.prompt_lookup import PromptLookupDecoder
from assistant.models.local.response_parser import DeclaredResponse
from assistant.models.local.sampling import Detokenizer, Sampler, resolve
from assistant.models.replies import ModelStop, WholeReply
from assistant.models.think_tags import OPENING_TAG, ends_with_opening_tag
from assistant.progress import OnNotice, Progress, no_notice, no_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Model types that were trained to give bounding boxes, in thousandths of the image.
_GROUNDING_TYPES = frozenset({"qwen3_vl", "qwen3_vl_moe"})
# More replicas would wait for each other at the memory they all read.
_MAX_REPLICAS = 4


class LocalModel:
    """A `ChatModel`, `PromptPreparer`, `Scorer`, `BatchModel` and `HiddenStateModel` that runs in this process."""

    def __init__(self, loaded: LoadedModel, on_notice: OnNotice = no_notice, *, num_threads: int | None = None) -> None:
        """Wrap a loaded model.

        Args:
            loaded: Weights, decoder and processor.
            on_notice: Receives a sentence each time the model has to reduce what it does.
            num_threads: CPU threads to compute on; None leaves the number of the calling thread.
        """
        self.info = ModelInfo(
            loaded.name,
            loaded.placement.device,
            loaded.placement.quantization,
            loaded.context_tokens,
            bundled=loaded.bundled,
            supports_grounding=loaded.config.model_type in _GROUNDING_TYPES,
        )
        self.notices = loaded.notices
        """Sentences for people about how the model was loaded."""
        self.defaults = loaded.generation.options
        self._on_notice = on_notice
        self._engine = Engine(loaded, num_threads)
        self._tokenizer = loaded.processor.tokenizer
        self._template = ChatTemplate(loaded.processor, loaded.name)
        self._response_template = getattr(self._tokenizer, "response_template", None)
        self._eos_token_ids = self._template.eos_token_ids(loaded.generation.eos_token_ids)
        # Only the bundled model has this limit, in the configuration of its vision encoder.
        vision_config = getattr(loaded.config, "vision_config", None)
        self._max_image_turns: int | None = getattr(vision_config, "max_image_turns", None)

    @classmethod
    def load(
        cls,
        folder_or_id: str,
        *,
        device: str = "auto",
        quantize: str = "auto",
        compile: str = "auto",
        detail: str = "auto",
        progress: Progress = no_progress,
        on_notice: OnNotice = no_notice,
    ) -> "LocalModel":
        """Load a vision-language model.

        Args:
            folder_or_id: A folder, a name in the catalog, or a hub id.
            device: "auto" (CUDA if available, else the CPU), "cpu", "mps" or a CUDA device.
            quantize: "auto" or one of the device's `QUANTIZATIONS`.
            compile: "on", "off" or "auto" (on for CUDA).
            detail: Resolution of images, one of `image_detail.LEVELS`.
            progress: Reports bytes fetched and loaded.
            on_notice: Receives a sentence each time the model has to reduce what it does.

        Raises:
            ConfigError: There can be no model of this name, or the device or the quantization is not available here.
            ModelError: The model cannot be fetched, loaded or run.
            MissingExtraError: It needs a package that is not installed.
        """
        loaded = load(folder_or_id, choose_device(device, quantize, compile), progress, detail)
        with translate_errors(folder_or_id):
            return cls(loaded, on_notice)

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[ReplyItem, None, Usage]:
        started = time.monotonic()
        first_token_seconds = 0.0

        # 1. Prefill: process the prompt, except for the prefix that is in the KV cache.
        reasoning = options.reasoning != "off"
        prompt, cached_tokens, logits = self._prefill(
            messages, self._reserved_tokens(options), stop, reasoning=reasoning
        )
        prompt_tokens = len(prompt)

        # 2. Decode: sample a token, yield its text, compute the logits after it.
        if logits is not None and self._opens_reasoning(reasoning=reasoning):
            yield OPENING_TAG
        declared = self._declared_response(reasoning=reasoning)
        sampler = self._sampler(options, prompt)
        detokenizer = Detokenizer(self._decode)
        lookup = PromptLookupDecoder(self._engine.decoder, self.info.context_tokens, enabled=sampler.takes_likeliest)
        max_new_tokens = self._max_new_tokens(prompt, options)
        new_tokens = 0
        finish_reason: FinishReason = "stop"
        while logits is not None and new_tokens < max_new_tokens and not stop.is_set():
            token = self._engine.run(partial(sampler, logits))
            if token in self._eos_token_ids:
                break
            new_tokens += 1
            first_token_seconds = first_token_seconds or time.monotonic() - started
            if text := detokenizer.push(token):
                yield from declared.push(text) if declared else (text,)
            if new_tokens == max_new_tokens:
                finish_reason = "length"
                break
            if stop.is_set():
                break
            logits = self._engine.decode_step(lookup, prompt, token)

        if declared:
            yield from declared.flush()

        # 3. Usage.
        total_seconds = time.monotonic() - started
        return Usage(prompt_tokens, cached_tokens, new_tokens, first_token_seconds, total_seconds, finish_reason)

    def prepare(self, messages: Sequence[Message], stop: threading.Event) -> None:
        self._prefill(messages, 0, stop)

    def score(
        self, messages: Sequence[Message], candidates: Sequence[str], stop: threading.Event
    ) -> list[tuple[float, ...]]:
        replies = [self._template.tokenize_reply(candidate) for candidate in candidates]
        longest = max(map(len, replies), default=0)
        prompt, _, first_logits = self._prefill(messages, longest, stop, reasoning=False)
        if first_logits is None:
            return []
        later_logits = self._engine.run(lambda: self._engine.decoder.score_continuations(prompt, replies))
        return [
            self._engine.run(partial(_token_logprobs, first_logits, logits, reply, self._eos_token_ids))
            for reply, logits in zip(replies, later_logits, strict=True)
        ]

    @property
    def batch_size(self) -> int:
        can_batch = not self._engine.is_closed and isinstance(self._engine.decoder, LlavaDecoder)
        return batch_generation.MAX_BATCH if can_batch else 1

    def replicas(self, max_replicas: int) -> "list[LocalModel]":
        cores = torch.get_num_threads() if self.info.device == "cpu" else 1
        count = min(max_replicas, cores, _MAX_REPLICAS)
        if self._engine.is_closed or count < 2:
            return [self]
        replicas = self._engine.run(lambda: self._engine.loaded.replicas(count))
        threads = split_evenly(cores, count)
        return [
            LocalModel(replica, self._on_notice, num_threads=num_threads)
            for replica, num_threads in zip(replicas, threads, strict=False)
        ] or [self]

    def generate_batch(
        self, conversations: Sequence[Sequence[Message]], options: GenerationOptions, stop: threading.Event
    ) -> list[BatchReply]:
        decoder = self._engine.decoder
        if not isinstance(decoder, LlavaDecoder):
            return [self._complete(messages, options, stop) for messages in conversations]
        reasoning, reserved_tokens = options.reasoning != "off", self._reserved_tokens(options)
        prompts = [self._build_prompt(messages, reserved_tokens, reasoning=reasoning) for messages in conversations]
        wholes = [WholeReply(self, messages, options) for messages in conversations]
        if self._opens_reasoning(reasoning=reasoning):
            for whole in wholes:
                whole.push(OPENING_TAG)
        replies = [
            batch_generation.Reply(
                prompt,
                self._max_new_tokens(prompt, options),
                self._sampler(options, prompt),
                Detokenizer(self._decode),
                whole,
            )
            for prompt, whole in zip(prompts, wholes, strict=True)
        ]
        batch_generation.generate(self._engine, decoder, replies, self._eos_token_ids, stop)
        return [reply.finish() for reply in replies]

    def hidden_states(self, texts: Sequence[str], layers: Sequence[int]) -> "list[NDArray[np.float32]]":
        decoder = self._engine.decoder
        if not isinstance(decoder, LlavaDecoder):
            raise ModelError(f"{self.info.name} gives no access to its hidden states: only plain Llamas do.")
        tokens = [self._tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        ids = [token for part in tokens for token in part]
        if len(ids) > self.info.context_tokens:
            raise ContextOverflow(len(ids), self.info.context_tokens)
        states = self._engine.run(lambda: decoder.hidden_states(ids, layers).float().cpu())
        return [part.numpy() for part in states.split([len(part) for part in tokens], dim=1)]

    def close(self) -> None:
        self._engine.close()

    def _prefill(
        self, messages: Sequence[Message], reserved_tokens: int, stop: threading.Event, *, reasoning: bool = True
    ) -> tuple[Prompt, int, Tensor | None]:
        """Process the prompt for `messages` and leave room for `reserved_tokens` after it.

        If memory runs out, the engine frees its caches, and the prompt is tried once more with images at the lowest
        resolution.

        Returns:
            The prompt, how many of its tokens were cached, and the logits after its last token, None if `stop` was set
            before.
        """
        try:
            prompt = self._build_prompt(messages, reserved_tokens, reasoning=reasoning)
            return prompt, *self._engine.prefill(prompt, stop)
        except OutOfMemory:
            has_images = any(message.images for message in messages)
        if has_images and self._engine.loaded.image_encoder.lower_resolution():
            self._on_notice(f"{self.info.name} ran out of memory: it looks at pictures less closely from here on.")
        prompt = self._build_prompt(messages, reserved_tokens, reasoning=reasoning)
        return prompt, *self._engine.prefill(prompt, stop)

    def _build_prompt(self, messages: Sequence[Message], reserved_tokens: int, *, reasoning: bool = True) -> Prompt:
        """Tokenize `messages`. Raises `ContextOverflow` if fewer than `reserved_tokens` are left after the prompt."""
        messages = keep_latest_images(messages, self._max_image_turns)
        images = [image for message in messages for image in message.images]
        # A processor is configured by the model's folder, and may fail on any picture.
        with translate_errors(self.info.name):
            prompt = self._engine.run(
                lambda: self._engine.decoder.build_prompt(self._template.render(messages, reasoning=reasoning), images)
            )
        limit = self.info.context_tokens - reserved_tokens
        if len(prompt) > limit:
            raise ContextOverflow(len(prompt), limit)
        return prompt

    def _reserved_tokens(self, options: GenerationOptions) -> int:
        """Return how many tokens the prompt must leave for the reply."""
        return min(MIN_RESPONSE_TOKENS, options.max_tokens, self.info.context_tokens // 4)

    def _max_new_tokens(self, prompt: Prompt, options: GenerationOptions) -> int:
        """Return the length of the longest reply to `prompt` in tokens."""
        return min(options.max_tokens, self.info.context_tokens - len(prompt))

    def _complete(self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event) -> BatchReply:
        """Return the reply to one conversation."""
        whole, model_stop = WholeReply(self, messages, options), ModelStop(stop)
        stream = self.stream(messages, options, model_stop)
        while True:
            try:
                if not whole.push(next(stream)):
                    model_stop.end_reply()
            except StopIteration as end:
                return BatchReply(*whole.finish(end.value))

    def _sampler(self, options: GenerationOptions, prompt: Prompt) -> Sampler:
        return Sampler(resolve(options, self.defaults), prompt.ids)

    def _opens_reasoning(self, *, reasoning: bool) -> bool:
        # Where the response is declared, the parser reads the end of the prompt itself.
        return not self._response_template and ends_with_opening_tag(self._template.prompt_end(reasoning=reasoning))

    def _declared_response(self, *, reasoning: bool) -> DeclaredResponse | None:
        if not self._response_template:
            return None
        prompt_end = self._template.prompt_end(reasoning=reasoning)
        return DeclaredResponse(self._response_template, prompt_end, self.info.name)

    def _decode(self, tokens: Sequence[int]) -> str:
        # A declared response is marked by special tokens.
        skipped = not self._response_template
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=skipped, clean_up_tokenization_spaces=False)
        return text


def _token_logprobs(
    first_logits: Tensor, later_logits: Tensor, reply: Sequence[int], eos_token_ids: Collection[int]
) -> tuple[float, ...]:
    """Return the log-probability of each token of `reply`, and of any of `eos_token_ids` after them.

    Args:
        first_logits: Logits (vocab_size,) before the reply.
        later_logits: Logits (len(reply), vocab_size) after each of its tokens.
        reply: Token ids.
        eos_token_ids: Token ids that end a reply.
    """
    logits = torch.cat((first_logits[None], later_logits)) if reply else first_logits[None]
    logprobs = torch.log_softmax(logits.float().cpu().double(), 1)
    tokens = logprobs[torch.arange(len(reply)), list(reply)].tolist()
    end = logprobs[-1, sorted(eos_token_ids)].logsumexp(0)
    return (*tokens, float(end))
