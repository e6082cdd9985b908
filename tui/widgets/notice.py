"""A line that is nobody's turn: something a person should know."""

from textual.widgets import Static


class Notice(Static):
    """A remark, or with `failure` the reason why something did not work."""

    def __init__(self, text: str, *, failure: bool = False) -> None:
        super().__init__(text, markup=False, classes="-failure" if failure else None)
