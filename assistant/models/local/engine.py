"""The token level of a local model: a decoder, the cache of what it has processed, and the errors of both."""

import gc
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from assistant.errors import ModelError, OutOfMemory
from assistant.models.local.cpu_threads import set_num_threads
from assistant.models.local.decoders.protocol import ScoringDecoder
from assistant.models.local.load_errors import is_out_of_memory
from assistant.models.local.loader import LoadedModel
from assistant.models.local.prompt_cache import Prompt, PromptCache, chunks
from assistant.models.local.prompt_lookup import PromptLookupDecoder

Result = TypeVar("Result")

# Tokens. Prefill can be stopped between chunks of this size; smaller ones waste matrix products.
_CHUNK_TOKENS = 256


class Engine:
    """Runs the decoder of a loaded model and keeps track of what is in its KV cache.

    The prompt cache outlives a reply, also one that was stopped: it lists a token only once the decoder has processed
    it.
    """

    def __init__(self, loaded: LoadedModel, num_threads: int | None = None) -> None:
        """Wrap a loaded model.

        Args:
            loaded: Weights and decoder.
            num_threads: CPU threads to compute on; None leaves the number of the calling thread.
        """
        self._loaded: LoadedModel | None = loaded
        self._name = loaded.name
        self._device = loaded.placement.device
        self._num_threads = num_threads
        self.prompt_cache = PromptCache()

    @property
    def is_closed(self) -> bool:
        """True after `close`."""
        return self._loaded is None

    @property
    def loaded(self) -> LoadedModel:
        """The loaded model. Raises `ModelError` after `close`."""
        if self._loaded is None:
            raise ModelError(f"{self._name} has been closed: load it again.")
        return self._loaded

    @property
    def decoder(self) -> ScoringDecoder:
        """The decoder. Raises `ModelError` after `close`."""
        return self.loaded.decoder

    def prefill(self, prompt: Prompt, stop: threading.Event) -> tuple[int, Tensor | None]:
        """Process `prompt`, except for the longest prefix that is in the KV cache.

        Returns:
            The number of cached tokens, and the logits (vocab_size,) after the last token, None if `stop` was set
            before it.
        """
        cached_tokens = self.run(partial(self._crop_to_prefix, prompt))
        logits = None
        for start, end in chunks(prompt, cached_tokens, _CHUNK_TOKENS):
            if stop.is_set():
                return cached_tokens, None
            logits = self.run(partial(self.decoder.forward, prompt, start, end))
            self.prompt_cache.extend(prompt.keys[start:end])
        return cached_tokens, logits

    def decode_step(self, decoder: PromptLookupDecoder, prompt: Prompt, token: int) -> Tensor:
        """Append `token` to `prompt` and return the logits (vocab_size,) after it."""
        prompt.append(token)
        logits = self.run(partial(decoder.next_logits, prompt))
        self.prompt_cache.extend(prompt.keys[-1:])
        return logits

    def run(self, work: Callable[[], Result]) -> Result:
        """Call `work` in inference mode and translate its errors.

        After any error the prompt cache is empty, because the KV cache may hold half a step.

        Raises:
            OutOfMemory: Memory ran out; cached images, keys and values have been freed.
            ModelError: Any other error of torch.
        """
        if self._num_threads is not None:
            set_num_threads(self._num_threads)
        done = False
        try:
            with torch.inference_mode():
                result = work()
            done = True
            return result
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise ModelError(self._error_message(error)) from error
        finally:
            if not done:
                self.prompt_cache.crop(0)
        # Outside the handler: an exception that is being handled keeps the tensors of all its frames alive.
        self.loaded.image_encoder.clear()
        self.decoder.crop(Prompt([], []), 0)
        self._release_memory()
        raise OutOfMemory(self._name)

    def close(self) -> None:
        """Free the model's memory."""
        self._loaded = None
        self.prompt_cache.crop(0)
        self._release_memory()

    def _crop_to_prefix(self, prompt: Prompt) -> int:
        """Crop the KV cache to the longest prefix of `prompt` and return its length in tokens."""
        length = self.decoder.crop(prompt, self.prompt_cache.match_prefix(prompt))
        self.prompt_cache.crop(length)
        return length

    def _error_message(self, error: BaseException) -> str:
        reason = str(error).partition("\n")[0]
        if "CUDA error" in reason or "NVML" in reason:
            return f"The GPU has failed ({reason}): start Parley again, or with --device cpu."
        return f"{self._name} cannot go on: {reason}"

    def _release_memory(self) -> None:
        """Return unused GPU memory to other programs."""
        if self._device.startswith("cuda"):
            # Layers in reference cycles keep their memory until they are collected.
            gc.collect()
            # The device may have failed.
            with suppress(RuntimeError):
                torch.cuda.empty_cache()
