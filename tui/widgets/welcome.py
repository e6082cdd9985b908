"""The welcome text of an empty conversation: how to begin, and the keys."""

from textual.content import Content
from textual.widgets import Static

TEXT = """\
[b $foreground]Parley[/]  talk about your pictures, on your own machine

Type a question. To show a picture, type or paste its path,
or drop the file onto the terminal.

[b $accent]Enter[/]        send
[b $accent]Ctrl+J[/]       new line [dim](or Shift+Enter, if your terminal has it)[/dim]
[b $accent]Esc[/]          stop the reply
[b $accent]Backspace[/]    in an empty input: take back the last picture
[b $accent]↑[/] [b $accent]↓[/]          what you sent before
[b $accent]F2[/]           talk, and hear the answers [dim](F3: push to talk)[/dim]
[b $accent]PgUp[/] [b $accent]PgDn[/]    scroll
[b $accent]Ctrl+Q[/]       quit"""


class Welcome(Static):
    """The welcome text, shown until the first message."""

    def __init__(self) -> None:
        super().__init__(Content.from_markup(TEXT))
