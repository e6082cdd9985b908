"""Tokens of a model's vocabulary, to force a given text on llama.cpp token by token.

llama.cpp tokenizes for itself only. A text is split here into the longest tokens, from left to right. That is how the
model itself would write nearly all words; where its tokenizer merges otherwise, a text scores a little too low.
"""

from collections.abc import Sequence

from assistant.errors import ModelError


class Vocabulary:
    """Token ids by their bytes."""

    def __init__(self, tokenizer: str, tokens: Sequence[bytes], special: frozenset[str]) -> None:
        """Read the tokens of a file.

        Args:
            tokenizer: Kind of tokenizer, `tokenizer.ggml.model`.
            tokens: Tokens as the file spells them, in the order of their ids.
            special: Tokens that are no text.

        Raises:
            ModelError: The kind of tokenizer is another one than byte-level BPE.
        """
        if tokenizer != "gpt2":
            raise ModelError(f"Replies cannot be scored with a tokenizer of the kind {tokenizer!r}.")
        byte_of = {symbol: byte for byte, symbol in enumerate(_byte_symbols())}
        self._ids: dict[bytes, int] = {}
        for index, token in enumerate(tokens):
            text = token.decode(errors="replace")
            if text not in special and all(symbol in byte_of for symbol in text):
                self._ids.setdefault(bytes(byte_of[symbol] for symbol in text), index)
        self._longest = max(map(len, self._ids), default=0)

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of the longest tokens that `text` consists of. Raises `ModelError` if there are none."""
        data = text.encode()
        ids: list[int] = []
        start = 0
        while start < len(data):
            for end in range(min(len(data), start + self._longest), start, -1):
                if (found := self._ids.get(data[start:end])) is not None:
                    ids.append(found)
                    start = end
                    break
            else:
                raise ModelError(f"The model has no token for a part of {text!r}.")
        return ids


def _byte_symbols() -> list[str]:
    """Return the characters that stand for the bytes 0 to 255 in byte-level vocabularies (Radford et al. 2019)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
