"""One reply of llama.cpp, from the chunks of one or more requests: its items, token counts and times."""

import time
from dataclasses import replace
from typing import Any

from assistant.errors import ContextOverflow, ModelError
from assistant.events import FinishReason, Usage
from assistant.messages import Reasoning
from assistant.models.base import ReplyItem
from assistant.models.tool_call_deltas import ToolCallDeltas
from assistant.text_cleaning import clean_line

_MAX_QUOTED = 300
_FINISH_REASONS: dict[str, FinishReason] = {"length": "length", "tool_calls": "tool_calls"}


class Reply:
    """The reply so far."""

    def __init__(self, max_prompt: int) -> None:
        """Begin a reply; `max_prompt` is the longest prompt allowed, in tokens."""
        self.text = ""
        self.reasoning = ""
        self.is_finished = False
        self._tools = ToolCallDeltas()
        self._max_prompt = max_prompt
        self._usage = Usage()
        self._started = time.monotonic()
        self._earlier_tokens = 0
        """Tokens of the reply that earlier requests generated."""
        self._marks = [(0, 0)]
        """Length of the text and number of tokens, after each chunk."""
        self._repeated = ""
        """Text that comes once more, and is left out."""
        self._repeated_reasoning = 0
        """Number of characters of reasoning that come once more."""

    def repeat(self, text: str) -> int:
        """Begin with the chunks of a request that generates `text`, the end of the reply, once more.

        Reasoning that was interrupted begins anew. Returns the number of tokens before `text`.
        """
        self._repeated = text
        if not self.text:
            self._repeated_reasoning, self.reasoning = len(self.reasoning), ""
        start = len(self.text) - len(text)
        self._marks = [mark for mark in self._marks if mark[0] <= start]
        self._earlier_tokens = self._marks[-1][1]
        return self._earlier_tokens

    def add(self, chunk: dict[str, Any]) -> list[ReplyItem]:
        """Add a chunk and return what is new. Raises `ContextOverflow` and `ModelError`."""
        if "error" in chunk:
            raise _error(chunk["error"], self._max_prompt)
        if progress := chunk.get("prompt_progress"):
            self._note_prompt(progress)
        elif timings := chunk.get("timings"):
            self._note_tokens(timings["predicted_n"])
        items: list[ReplyItem] = []
        text = ""
        for choice in chunk.get("choices", ()):
            delta = choice["delta"]
            text += delta.get("content") or ""
            if reasoning := delta.get("reasoning_content"):
                items += self._add_reasoning(reasoning)
            for call in delta.get("tool_calls") or ():
                self._tools.add(call)
            if reason := choice.get("finish_reason"):
                self.is_finished = True
                self._usage = replace(self._usage, finish_reason=_FINISH_REASONS.get(reason, "stop"))
        text = self._without_repetition(text)
        self.text += text
        if not self._repeated:
            self._marks.append((len(self.text), self._usage.reply_tokens))
        items += [text] if text else []
        if self.is_finished:
            items += self._tools.complete()
            self._tools = ToolCallDeltas()
        return items

    def _add_reasoning(self, reasoning: str) -> list[Reasoning]:
        self._usage = replace(self._usage, reasoning_tokens=self._usage.reply_tokens)
        self.reasoning += reasoning
        repeated = min(self._repeated_reasoning, len(reasoning))
        self._repeated_reasoning -= repeated
        return [Reasoning(reasoning[repeated:])] if reasoning[repeated:] else []

    def usage(self) -> Usage:
        """Return the token counts and times so far."""
        return replace(self._usage, total_seconds=time.monotonic() - self._started)

    def _note_prompt(self, progress: dict[str, int]) -> None:
        if self._earlier_tokens:
            return
        total = progress["total"]
        if total > self._max_prompt:
            raise ContextOverflow(total, self._max_prompt)
        self._usage = replace(self._usage, prompt_tokens=total, cached_tokens=progress["cache"])

    def _note_tokens(self, count: int) -> None:
        first = self._usage.first_token_seconds
        if count and not first:
            first = time.monotonic() - self._started
        self._usage = replace(self._usage, reply_tokens=self._earlier_tokens + count, first_token_seconds=first)

    def _without_repetition(self, text: str) -> str:
        """Return `text` without what is generated once more."""
        if not self._repeated:
            return text
        if text.startswith(self._repeated):
            text, self._repeated = text[len(self._repeated) :], ""
        elif self._repeated.startswith(text):
            self._repeated = self._repeated[len(text) :]
            text = ""
        else:
            self._repeated = ""
        return text


def token_logprobs(answer: dict[str, Any]) -> tuple[float, ...]:
    """Return the log-probability of each token of a whole answer. Raises `ContextOverflow` and `ModelError`."""
    if "error" in answer:
        raise _error(answer["error"], 0)
    found = [token["logprob"] for token in answer["choices"][0]["logprobs"]["content"]]
    if None in found:
        # JSON has no NaN.
        raise ModelError("The model computes no probabilities: its weights are damaged, get a fresh copy of it.")
    return tuple(map(float, found))


def _error(error: dict[str, Any], max_prompt: int) -> ModelError:
    if error.get("type") == "exceed_context_size_error":
        return ContextOverflow(int(error.get("n_prompt_tokens", 0)), max_prompt)
    return ModelError(
        f"llama.cpp cannot answer: {clean_line(str(error.get('message', 'it gives no reason')), _MAX_QUOTED)}."
    )
