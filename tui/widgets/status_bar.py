"""The bottom line: what is going on, and what the model is and does."""

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from assistant.events import Usage
from assistant.models.base import ModelInfo


class StatusBar(Widget):
    """One line: the state at its left; the model, its device and speed at its right, as many of them as fit."""

    state: reactive[str] = reactive("starting …")
    """What is going on, like "ready" or "loading …"."""

    voice: reactive[str] = reactive("")
    """What the spoken conversation does, like "listening"; nothing while there is none."""

    model: reactive[ModelInfo | None] = reactive(None)
    """What answers, once it is known."""

    usage: reactive[Usage | None] = reactive(None)
    """What the last reply took."""

    def render(self) -> Content:
        left = f"{self.state} · {self.voice}" if self.voice else self.state
        room = self.size.width - len(left) - 2
        right = " · ".join(_fitting(self._facts(), room))
        padding = " " * max(2, self.size.width - len(left) - len(right))
        return Content.assemble((left, "bold"), padding, right)

    def _facts(self) -> list[tuple[int, str]]:
        """What can be said, in order of appearance, each with its rank when room is scarce (1 is kept longest)."""
        if self.model is None:
            return []
        facts = [(1, self.model.name), (4, self.model.device)]
        if self.model.quantization not in {"none", "unknown"}:
            facts.append((5, self.model.quantization))
        if self.usage is not None:
            if self.usage.tokens_per_second:
                facts.append((2, f"{self.usage.tokens_per_second:.1f} tokens/s"))
            used = self.usage.prompt_tokens + self.usage.reply_tokens
            if self.model.context_tokens:
                facts.append((3, f"context {100 * used // self.model.context_tokens} %"))
        return facts


def _fitting(facts: list[tuple[int, str]], room: int) -> list[str]:
    """The most important of `facts` that fit into `room` cells with " · " between them, in their order."""
    while facts and sum(len(text) + 3 for _, text in facts) - 3 > room:
        facts.remove(max(facts))
    return [text for _, text in facts]
