"""The status bar: state, model, and what the last reply took."""

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from assistant.events import Usage
from assistant.models.base import ModelInfo
from assistant.text_cleaning import clean_line

_MAX_NAME = 60


class StatusBar(Widget):
    """One line: the state on the left; the model, its device and speed on the right, as many of them as fit."""

    state: reactive[str] = reactive("starting …")
    """State of the typed conversation, such as "ready" or "loading …"."""

    voice: reactive[str] = reactive("")
    """State of the spoken conversation, such as "listening"; empty if there is none."""

    model: reactive[ModelInfo | None] = reactive(None)
    """The model that answers, once it is known."""

    usage: reactive[Usage | None] = reactive(None)
    """Tokens and times of the last reply."""

    def render(self) -> Content:
        left = clean_line(f"{self.state} · {self.voice}" if self.voice else self.state, self.size.width or 1)
        right = " · ".join(_fit(self._facts(), self.size.width - cell_len(left) - 2))
        padding = " " * max(2, self.size.width - cell_len(left) - cell_len(right))
        return Content.assemble((left, "bold"), padding, right)

    def _facts(self) -> list[tuple[int, str]]:
        """Return (rank, text) pairs in the order shown. Where space is short, the highest rank is dropped first."""
        if self.model is None:
            return []
        facts = [(1, clean_line(self.model.name, _MAX_NAME)), (4, clean_line(self.model.device, _MAX_NAME))]
        if self.model.quantization not in {"none", "unknown"}:
            facts.append((5, self.model.quantization))
        if self.usage is not None:
            if self.usage.tokens_per_second:
                facts.append((2, f"{self.usage.tokens_per_second:.1f} tokens/s"))
            used = self.usage.prompt_tokens + self.usage.reply_tokens
            if self.model.context_tokens:
                facts.append((3, f"context {100 * used // self.model.context_tokens} %"))
        return facts


def _fit(facts: list[tuple[int, str]], max_cells: int) -> list[str]:
    """Drop the highest ranks until the rest fits into `max_cells` with " · " in between."""
    while facts and sum(cell_len(text) + 3 for _, text in facts) - 3 > max_cells:
        facts.remove(max(facts))
    return [text for _, text in facts]
