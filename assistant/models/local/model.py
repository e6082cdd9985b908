"""A model on this machine: messages in, pieces of text out, and nothing computed twice.

    messages ─▶ chat template ─▶ tokens and pictures ─▶ what is remembered is kept, the rest read in pieces
                                                             │
                text ◀─ whole characters ◀─ token chosen ◀─ logits ◀─┐
                                                 └── read as well ───┘

The prompt cache outlives a reply, a cancelled one too: it lists a token once the decoder has read it, never before.
"""

import gc
import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from assistant.errors import ContextOverflow, ModelError, OutOfMemory
from assistant.events import Usage
from assistant.messages import Message
from assistant.models.base import MIN_RESPONSE_TOKENS, GenerationOptions, ModelInfo
from assistant.models.local.chat_template import ChatTemplate
from assistant.models.local.cpu_threads import set_num_threads, split_evenly
from assistant.models.local.decoders.llava import LlavaDecoder
from assistant.models.local.decoders.protocol import ScoringDecoder
from assistant.models.local.image_encoder import ImageEncoder
from assistant.models.local.loader import LoadedModel, is_out_of_memory, load
from assistant.models.local.placement import choose_device
from assistant.models.local.prompt_cache import Prompt, PromptCache, chunks
from assistant.models.local.prompt_lookup import PromptLookupDecoder
from assistant.models.local.sampling import Detokenizer, Sampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from assistant.progress import Progress

Result = TypeVar("Result")

# Reading a long prompt can be stopped between pieces of this many tokens; smaller ones waste matrix products.
_PIECE = 256
# Families whose models were trained to give boxes, in thousandths of the picture.
_GROUNDING = frozenset({"qwen3_vl", "qwen3_vl_moe"})
# Conversations that are gone on with side by side. A step of eight takes twice as long as a step of one; for sixteen,
# memory grows by as much again (20 MB each) while little is left to be gained.
_BATCH = 8
# Models on the same weights that compute at the same time: more would wait for each other at the memory they read.
_TWINS = 4


class LocalModel:
    """A `ChatModel` that runs in this process, a `Scorer`, a `BatchModel`, and `HiddenStateModel`."""

    def __init__(self, loaded: LoadedModel, on_notice: Callable[[str], object] = bool, *, num_threads: int | None = None) -> None:
        """`cores` is how many a thread that calls it computes on, None what is set for that thread."""
        placement = loaded.placement
        self.info = ModelInfo(
            loaded.name,
            placement.device,
            placement.quantization,
            loaded.context_tokens,
            bundled=loaded.bundled,
            supports_grounding=loaded.config.model_type in _GROUNDING,
        )
        self.notices = loaded.notices
        """What a person should know about how it was loaded."""
        self._note = on_notice
        self._cores = num_threads
        self._loaded: LoadedModel | None = loaded
        self._decoder: ScoringDecoder | None = loaded.decoder
        self._image_encoder: ImageEncoder | None = loaded.image_encoder
        self._format = ChatTemplate(loaded.processor, loaded.name)
        self._end_tokens = self._format.eos_token_ids(loaded.eos_token_ids)
        self._tokenizer = loaded.processor.tokenizer
        self._cache = PromptCache()
        # Only the bundled model has such a limit, and says so in the configuration of its eyes.
        vision_config = getattr(loaded.config, "vision_config", None)
        self._pictured_turns: int | None = getattr(vision_config, "pictured_turns", None)

    @classmethod
    def load(
        cls,
        folder_or_id: str,
        *,
        device: str = "auto",
        quantize: str = "auto",
        compile: str = "auto",
        detail: str = "auto",
        progress: "Progress | None" = None,
        on_notice: Callable[[str], object] = bool,
    ) -> "LocalModel":
        """Load the vision-language model in a folder, or with that id on the hub.

        `device` is "auto" (CUDA if there is any, else the CPU), "cpu", "mps" or a CUDA device, `quantize` is "auto" or
        one of the `QUANTIZATIONS` that the device has, `compile` is "on", "off" or "auto" (on for CUDA), and `detail`
        says how closely it looks at pictures. `note` takes sentences about what it has to do without later on. Raises
        `ConfigError` where these cannot be had, `ModelError` and `MissingExtraError` where the model cannot.
        """
        return cls(load(folder_or_id, choose_device(device, quantize, compile), progress, detail), on_notice)

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        started = time.monotonic()
        prompt, cached, logits = self._begin(messages, self._room(options), stop)
        prompt_tokens = len(prompt)
        choose = Sampler(options.temperature, options.seed)
        words = Detokenizer(self._decode)
        first_token_seconds = 0.0
        count = 0
        ahead = PromptLookupDecoder(self._open_decoder(), self.info.context_tokens, enabled=options.temperature <= 0)
        budget = self._budget(prompt, options)
        while logits is not None and count < budget and not stop.is_set():
            token = self._guarded(partial(choose, logits))
            if token in self._end_tokens:
                break
            count += 1
            first_token_seconds = first_token_seconds or time.monotonic() - started
            if text := words.push(token):
                yield text
            if count == budget or stop.is_set():
                break
            prompt.append(token)
            logits = self._guarded(partial(ahead.next_logits, prompt))
            self._cache.extend(prompt.keys[-1:])
        return Usage(prompt_tokens, cached, count, first_token_seconds, time.monotonic() - started)

    def score(
        self, messages: Sequence[Message], candidates: Sequence[str], stop: threading.Event
    ) -> list[tuple[float, ...]]:
        replies = [self._format.tokenize_reply(option) for option in candidates]
        prompt, _, first = self._begin(messages, max(map(len, replies), default=0), stop)
        if first is None:
            return []
        after = self._guarded(lambda: self._open_decoder().score_continuations(prompt, replies))
        return [
            self._guarded(partial(_log_chances, first, logits, reply, self._end_tokens))
            for reply, logits in zip(replies, after, strict=True)
        ]

    @property
    def batch_size(self) -> int:
        return _BATCH if isinstance(self._decoder, LlavaDecoder) else 1

    def replicas(self, max_replicas: int) -> "list[LocalModel]":
        cores = torch.get_num_threads() if self.info.device == "cpu" else 1
        count = min(max_replicas, cores, _TWINS)
        loaded = self._loaded
        if loaded is None or count < 2:
            return [self]
        replicas = self._guarded(lambda: loaded.replicas(count))
        return [
            LocalModel(replica, self._note, num_threads=share) for replica, share in zip(replicas, split_evenly(cores, count), strict=False)
        ] or [self]

    def generate_batch(
        self, conversations: Sequence[Sequence[Message]], options: GenerationOptions, stop: threading.Event
    ) -> list[str]:
        decoder = self._open_decoder()
        if not isinstance(decoder, LlavaDecoder):
            return ["".join(self.stream(messages, options, stop)) for messages in conversations]
        replies = [
            _Reply(prompt, self._budget(prompt, options), Sampler(options.temperature, options.seed), self._decode)
            for prompt in (self._prompt(messages, self._room(options)) for messages in conversations)
        ]
        # Pictures are read with other weights than words alone, so that those go together.
        for pictured in (True, False):
            waiting = [reply for reply in replies if bool(reply.prompt.images) is pictured]
            for first in range(0, len(waiting), _BATCH):
                self._answer_side_by_side(decoder, waiting[first : first + _BATCH], stop)
        return [reply.text for reply in replies]

    def _answer_side_by_side(self, decoder: LlavaDecoder, replies: "Sequence[_Reply]", stop: threading.Event) -> None:
        """Read the prompts one after the other, then write the replies a token of each at a time."""
        room = decoder.batch_decoder(len(replies))
        going: list[_Reply] = []
        for reply in replies:
            cached = self._guarded(partial(self._reuse, reply.prompt))
            logits = self._read_prompt(reply.prompt, cached, stop)
            if logits is None:
                return
            if self._guarded(partial(reply.take, logits, self._end_tokens)):
                self._guarded(room.add)
                going.append(reply)
        while going and not stop.is_set():
            rows = self._guarded(partial(room.step, [reply.token for reply in going]))
            # From the last, because that is what comes into the place of one that leaves.
            for index in reversed(range(len(going))):
                if not self._guarded(partial(going[index].take, rows[index], self._end_tokens)):
                    self._guarded(partial(room.remove, index))
                    going[index] = going[-1]
                    del going[-1]

    def hidden_states(self, texts: Sequence[str], layers: Sequence[int]) -> "list[NDArray[np.float32]]":
        decoder = self._open_decoder()
        if not isinstance(decoder, LlavaDecoder):
            raise ModelError(f"{self.info.name} does not show its hidden states: only plain Llamas do.")
        tokens = [self._tokenizer(piece, add_special_tokens=False)["input_ids"] for piece in texts]
        ids = [token for each in tokens for token in each]
        if len(ids) > self.info.context_tokens:
            raise ContextOverflow(len(ids), self.info.context_tokens)
        found = self._guarded(lambda: decoder.hidden_states(ids, layers).float().cpu())
        return [each.numpy() for each in found.split([len(each) for each in tokens], dim=1)]

    def close(self) -> None:
        self._decoder = self._image_encoder = self._loaded = None
        self._forget()
        self._give_back()

    def _begin(
        self, messages: Sequence[Message], room: int, stop: threading.Event
    ) -> tuple[Prompt, int, Tensor | None]:
        """Read the prompt that `messages` make, with `room` tokens to spare after it.

        Returns it with how many of its tokens were remembered, and the logits after its last: None if stopped before.
        Where memory runs out, all that can be done without is freed, and it is tried once more with smaller pictures.
        """
        try:
            return self._read_messages(messages, room, stop)
        except OutOfMemory:
            pictures = self._image_encoder if any(message.images for message in messages) else None
        if pictures is not None and pictures.lower_resolution():
            self._note(f"{self.info.name} ran out of memory: it looks at pictures less closely from here on.")
        return self._read_messages(messages, room, stop)

    def _read_messages(
        self, messages: Sequence[Message], room: int, stop: threading.Event
    ) -> tuple[Prompt, int, Tensor | None]:
        prompt = self._prompt(messages, room)
        cached = self._guarded(lambda: self._reuse(prompt))
        return prompt, cached, self._read_prompt(prompt, cached, stop)

    def _give_back(self) -> None:
        """Return what nothing uses any more to the allocator, and from there to other programs."""
        if self.info.device.startswith("cuda"):
            # Layers that refer to each other would otherwise hold on to theirs.
            gc.collect()
            # A device that has gone has nothing to give back.
            with suppress(RuntimeError):
                torch.cuda.empty_cache()

    def _read_prompt(self, prompt: Prompt, start: int, stop: threading.Event) -> Tensor | None:
        """Logits after the last token of `prompt`, of which `start` are remembered; None if stopped before."""
        logits = None
        for first, end in chunks(prompt, start, _PIECE):
            if stop.is_set():
                return None
            logits = self._read(prompt, first, end)
        return logits

    def _read(self, prompt: Prompt, start: int, end: int) -> Tensor:
        logits = self._guarded(lambda: self._open_decoder().forward(prompt, start, end))
        self._cache.extend(prompt.keys[start:end])
        return logits

    def _reuse(self, prompt: Prompt) -> int:
        kept = self._open_decoder().crop(prompt, self._cache.match_prefix(prompt))
        self._cache.crop(kept)
        return kept

    def _prompt(self, messages: Sequence[Message], room: int) -> Prompt:
        """The prompt that `messages` make. Raises `ContextOverflow` if it leaves less than `room` tokens after it."""
        messages = keep_latest_images(messages, self._pictured_turns)
        images = [image for message in messages for image in message.images]
        prompt = self._guarded(lambda: self._open_decoder().build_prompt(self._format.render(messages), images))
        limit = self.info.context_tokens - room
        if len(prompt) > limit:
            raise ContextOverflow(len(prompt), limit)
        return prompt

    def _room(self, options: GenerationOptions) -> int:
        """How many tokens there should at least be for the reply."""
        return min(MIN_RESPONSE_TOKENS, options.max_tokens, self.info.context_tokens // 4)

    def _budget(self, prompt: Prompt, options: GenerationOptions) -> int:
        """How many tokens the reply may have."""
        return min(options.max_tokens, self.info.context_tokens - len(prompt))

    def _guarded(self, work: Callable[[], Result]) -> Result:
        """Do `work` without gradients. Whatever goes wrong in it, what half of it may have left behind is forgotten."""
        if self._cores is not None:
            set_num_threads(self._cores)
        done = False
        try:
            with torch.inference_mode():
                result = work()
            done = True
            return result
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise ModelError(self._breakdown(error)) from error
        finally:
            if not done:
                self._forget()
        # Out here, because an error that is still being handled holds on to every tensor of what it interrupted.
        if self._image_encoder is not None:
            self._image_encoder.clear()
        self._open_decoder().crop(Prompt([], []), 0)
        self._give_back()
        raise OutOfMemory(self.info.name)

    def _breakdown(self, error: BaseException) -> str:
        reason = str(error).partition("\n")[0]
        if "CUDA error" in reason or "NVML" in reason:
            return f"The GPU has failed ({reason}): start Parley again, or with --device cpu."
        return f"{self.info.name} cannot go on: {reason}"

    def _forget(self) -> None:
        self._cache.crop(0)

    def _open_decoder(self) -> ScoringDecoder:
        if self._decoder is None:
            raise ModelError(f"{self.info.name} has been closed: load it again.")
        return self._decoder

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


class _Reply:
    """One of several replies that are written side by side, as far as it has come."""

    def __init__(self, prompt: Prompt, budget: int, choose: Sampler, decode: Callable[[Sequence[int]], str]) -> None:
        self.prompt = prompt
        self.text = ""
        self.token = 0
        """The latest."""
        self._left = budget
        self._choose = choose
        self._words = Detokenizer(decode)

    def take(self, logits: Tensor, ends: Collection[int]) -> bool:
        """Write the token that `logits` (vocabulary,) call for; False if the reply is over, with it or before."""
        self.token = self._choose(logits)
        if self.token in ends:
            return False
        self.text += self._words.push(self.token)
        self._left -= 1
        return self._left > 0


def _log_chances(first: Tensor, after: Tensor, reply: Sequence[int], ends: Collection[int]) -> tuple[float, ...]:
    """Log-probabilities of the tokens of `reply` and of any of `ends` following them.

    `first` (vocabulary,) are the logits before the reply, `after` (tokens, vocabulary) those after each of its tokens.
    """
    logits = torch.cat((first[None], after)) if reply else first[None]
    chances = torch.log_softmax(logits.float().cpu().double(), 1)
    tokens = chances[torch.arange(len(reply)), list(reply)].tolist()
    end = chances[-1, sorted(ends)].logsumexp(0)
    return (*tokens, float(end))


def keep_latest_images(messages: Sequence[Message], turns: int | None) -> Sequence[Message]:
    """`messages` without what was said before the last `turns` messages with pictures; instructions stay.

    A model that has seen one picture at a time in training answers about the wrong one when shown several.
    """
    pictured = [index for index, message in enumerate(messages) if message.had_image]
    if turns is None or len(pictured) <= turns:
        return messages
    first = pictured[-turns]
    return [*(message for message in messages[:first] if message.role == "system"), *messages[first:]]
