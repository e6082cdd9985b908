"""The reasoning before a reply, folded: one line that opens on a click or with Enter."""

import time

from textual.widgets import Collapsible, Static

from tui.shown_text import fit_message, left_out, with_plain_breaks

# A text that grows is laid out anew each time.
_SECONDS_BETWEEN_UPDATES = 0.25


class ReasoningFold(Collapsible):
    """What a model thought before its reply.

    Attributes:
        text: The reasoning so far.
    """

    def __init__(self, text: str = "", *, collapsed: bool = True, seconds: float | None = None) -> None:
        """Create a fold.

        Args:
            text: The reasoning so far.
            collapsed: False to show it open.
            seconds: Time that it took, None if unknown.
        """
        self.text = text
        self.seconds = seconds
        self._body = Static(markup=False)
        self._started = time.monotonic()
        self._updated = 0.0
        super().__init__(self._body, title=_title(seconds), collapsed=collapsed)

    def on_mount(self) -> None:
        self._update()

    def on_collapsible_expanded(self) -> None:
        self._update()

    def write(self, text: str) -> None:
        """Append `text`. It is drawn a few times a second, and only while it is open."""
        self.text += text
        if not self.text.isspace() and time.monotonic() - self._updated > _SECONDS_BETWEEN_UPDATES:
            self.title = f"Reasoning … {time.monotonic() - self._started:.0f} s"
            self._update()

    def finish(self) -> None:
        """Say how long it took, once the reply begins. Nothing happens the second time."""
        if self.seconds is None:
            self.seconds = time.monotonic() - self._started
            self.title = _title(self.seconds)
            self._update()

    def _update(self) -> None:
        self._updated = time.monotonic()
        if self.collapsed or not self.is_mounted:
            return
        shown, count = fit_message(with_plain_breaks(self.text.strip()))
        self._body.update(f"{shown}\n\n{left_out(count)}" if count else shown)


def _title(seconds: float | None) -> str:
    if seconds is None:
        return "Reasoning"
    return f"Reasoned for {seconds:.0f} s" if seconds >= 1 else "Reasoned for less than 1 s"
