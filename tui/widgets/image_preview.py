"""A picture in the transcript: real pixels where the terminal can, half-height cells of colour elsewhere."""

import asyncio
import os

# Asks the terminal what it can draw, which works only before the app has taken over its input: so it is imported here
# and not where it is used.
import textual_image.renderable
import textual_image.widget
from PIL import Image as PillowImage
from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static
from textual_image._terminal import get_cell_size

from assistant.attachments import images
from assistant.errors import AttachmentError
from assistant.messages import Image

MAX_COLUMNS = 64
MAX_ROWS = 18


class ImagePreview(Vertical):
    """A picture above its name. It takes at most half the height of the terminal and is never cut or stretched."""

    def __init__(self, image: Image) -> None:
        super().__init__()
        self._image = image
        self._canvas: Widget | None = None
        self._cell = (10, 20)
        """Width and height of a cell, in pixels. For half-cells only their ratio counts, any font comes near 1:2."""

    def compose(self) -> ComposeResult:
        yield Static(f"{self._image.name} · {self._image.width}×{self._image.height}", classes="caption", markup=False)

    def on_mount(self) -> None:
        # Once it is laid out it knows what room there is.
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        self.fit()

    def fit(self) -> None:
        """Size the drawing to the room there is."""
        if self._canvas is not None:
            # A drawing without size cannot be drawn, even where there is no room at all.
            room = min(MAX_COLUMNS, self.content_size.width), min(MAX_ROWS, self.app.size.height // 2)
            columns, rows = cells(self._image.width, self._image.height, max(1, room[0]), max(1, room[1]), self._cell)
            self._canvas.styles.width = columns
            self._canvas.styles.height = rows

    @work(exclusive=True)
    async def _draw(self) -> None:
        try:
            drawing = await asyncio.to_thread(self._decode)
        except AttachmentError as error:
            self.query_one(Static).update(str(error))
            return
        if draws_pixels(headless=self.app.is_headless):
            self._cell = get_cell_size()
            self._canvas = textual_image.widget.Image(drawing)
        else:
            self._canvas = textual_image.widget.HalfcellImage(drawing)
        self.fit()
        await self.mount(self._canvas, before=0)

    def _decode(self) -> PillowImage.Image:
        drawing = images.decode(self._image)
        # Twice the pixels of a usual cell, for dense screens; what is beyond that costs time at every repaint.
        drawing.thumbnail((MAX_COLUMNS * 20, MAX_ROWS * 40))
        return drawing


def draws_pixels(*, headless: bool) -> bool:
    """Whether the terminal draws pictures itself: as it answered, except behind multiplexers, which swallow them."""
    if headless or os.environ.get("TMUX") or os.environ.get("TERM", "").startswith(("tmux", "screen")):
        return False
    return textual_image.renderable.Image in (textual_image.renderable.TGPImage, textual_image.renderable.SixelImage)


def cells(width: int, height: int, columns: int, rows: int, cell: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows for a picture of `width` x `height` pixels in a room of `columns` x `rows` cells.

    Keeps its shape, is at least one cell either way, and never makes a pixel wider than a cell. `cell` is the width
    and height of a cell in pixels.
    """
    cell_width, cell_height = cell
    scale = min(columns * cell_width / width, rows * cell_height / height, cell_width)
    return max(1, round(width * scale / cell_width)), max(1, round(height * scale / cell_height))
