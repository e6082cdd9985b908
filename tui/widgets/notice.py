"""A line between the messages: something the user should know."""

from collections.abc import Callable
from functools import partial

from textual.widget import Widget
from textual.widgets import Static


class Notice(Static):
    """A notice, or with `failure` the reason why something did not work."""

    def __init__(self, text: str, *, failure: bool = False) -> None:
        super().__init__(text, markup=False, classes="-failure" if failure else None)
        self._text = text
        self._failure = failure

    def recipe(self) -> Callable[[], Widget]:
        """Return what makes a widget with the same content."""
        return partial(Notice, self._text, failure=self._failure)
