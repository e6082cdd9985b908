"""GGUF models that a machine without a GPU runs at a bearable speed, for people who have only a processor.

llama.cpp decodes a small model four times as fast as transformers does (`python -m benchmarks decode`), and needs no
further packages. Sizes of the files are those that several projects pin (Q4_K_M, with the vision encoder in Q8_0); keys
and values follow from the models' configurations.
"""

from dataclasses import dataclass

from assistant.models.memory import DEFAULT_CONTEXT

_WORKSPACE_BYTES = 300 * 2**20


@dataclass(frozen=True)
class RecommendedGguf:
    """A vision-language model on the hub.

    Attributes:
        name: Name as `--model` takes it.
        download_bytes: Size of its files.
        kv_bytes: Bytes of keys and values of one token.
    """

    name: str
    download_bytes: int
    kv_bytes: int

    @property
    def memory_bytes(self) -> int:
        """Estimate of the bytes it takes with the usual context."""
        return self.download_bytes + _WORKSPACE_BYTES + DEFAULT_CONTEXT * self.kv_bytes


# Keys and values: layers x 2 x 8 heads x 128 x 2 bytes.
RECOMMENDED = (
    RecommendedGguf("hub:Qwen/Qwen3-VL-2B-Instruct-GGUF", 1_107_409_952 + 445_000_000, 28 * 4096),
    RecommendedGguf("hub:Qwen/Qwen3-VL-4B-Instruct-GGUF", 2_497_000_000 + 454_000_000, 36 * 4096),
)
"""From the smallest to the largest. An 8B takes seconds for each token on a processor."""


def largest_within(free_bytes: float) -> RecommendedGguf | None:
    """Return the largest of them that fits into `free_bytes` of memory, None if none does."""
    return next((each for each in reversed(RECOMMENDED) if each.memory_bytes <= free_bytes), None)
