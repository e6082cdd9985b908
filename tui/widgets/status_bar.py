"""The status bar: state, model, and what the last reply took."""

import time
from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from assistant.events import Usage
from assistant.models.base import ModelInfo
from assistant.text_cleaning import clean_line

_MAX_NAME = 60
_TICK_SECONDS = 1.0


@dataclass(frozen=True)
class Loading:
    """Something that is being fetched or loaded: in percent, or by the seconds it has taken if the total is unknown."""

    label: str
    percent: int | None
    since: float

    def __str__(self) -> str:
        if self.percent is not None:
            return f"{self.label} {self.percent} %"
        seconds = int(time.monotonic() - self.since)
        return f"{self.label} … {seconds} s" if seconds else f"{self.label} …"


class StatusBar(Widget):
    """One line: the state on the left; the model, its device and speed on the right, as many of them as fit."""

    state: reactive[str | Loading] = reactive("starting …")
    """State of the typed conversation, such as "ready" or "loading …"."""

    voice: reactive[str | Loading] = reactive("")
    """State of the spoken conversation, such as "listening"; empty if there is none."""

    model: reactive[ModelInfo | None] = reactive(None)
    """The model that answers, once it is known."""

    usage: reactive[Usage | None] = reactive(None)
    """Tokens and times of the last reply."""

    def on_mount(self) -> None:
        self.set_interval(_TICK_SECONDS, self._tick)

    def show_progress(self, label: str, done: int, total: int, *, for_voice: bool = False) -> None:
        """Show how far something is; a `total` of 0 is unknown. The seconds count on by themselves."""
        shown = self.voice if for_voice else self.state
        since = shown.since if isinstance(shown, Loading) and shown.label == label else time.monotonic()
        loading = Loading(label, 100 * done // total if total else None, since)
        if for_voice:
            self.voice = loading
        else:
            self.state = loading

    def _tick(self) -> None:
        if any(isinstance(shown, Loading) and shown.percent is None for shown in (self.state, self.voice)):
            self.refresh()

    def render(self) -> Content:
        left = clean_line(f"{self.state} · {self.voice}" if self.voice else str(self.state), self.size.width or 1)
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
            if self.usage.cached_tokens:
                facts.append((6, f"{self.usage.cached_tokens:,} of {self.usage.prompt_tokens:,} tokens cached"))
            if self.usage.reasoning_tokens:
                facts.append((7, f"{self.usage.reasoning_tokens:,} of {self.usage.reply_tokens:,} tokens reasoning"))
        return facts


def _fit(facts: list[tuple[int, str]], max_cells: int) -> list[str]:
    """Drop the highest ranks until the rest fits into `max_cells` with " · " in between."""
    while facts and sum(cell_len(text) + 3 for _, text in facts) - 3 > max_cells:
        facts.remove(max(facts))
    return [text for _, text in facts]
