"""A line between the messages: something the user should know."""

from textual.widgets import Static


class Notice(Static):
    """A notice, or with `failure` the reason why something did not work."""

    def __init__(self, text: str, *, failure: bool = False) -> None:
        super().__init__(text, markup=False, classes="-failure" if failure else None)
