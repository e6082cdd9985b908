"""An image in the transcript: pixels where the terminal can draw them, half-height cells of colour elsewhere."""

import asyncio
import os

# Asks the terminal what it can draw. That works only before the app takes over its input, so it is imported here.
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
from assistant.text_cleaning import clean_line

MAX_COLUMNS = 64
MAX_ROWS = 18


class ImagePreview(Vertical):
    """An image above its name. It takes at most half the height of the terminal and is never cropped or stretched."""

    def __init__(self, image: Image) -> None:
        super().__init__()
        self._image = image
        self._canvas: Widget | None = None
        self._cell_size = (10, 20)
        """Width and height of a cell in pixels. For half-cells only the ratio matters, about 1:2 in any font."""

    def compose(self) -> ComposeResult:
        caption = f"{clean_line(self._image.name)} · {self._image.width}×{self._image.height}"
        yield Static(caption, classes="caption", markup=False)

    def on_mount(self) -> None:
        # Its size is known once it is laid out.
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        self.fit()

    def fit(self) -> None:
        """Fit the drawing into the available space."""
        if self._canvas is not None:
            # At least one cell: a drawing without size cannot be rendered.
            max_columns = max(1, min(MAX_COLUMNS, self.content_size.width))
            max_rows = max(1, min(MAX_ROWS, self.app.size.height // 2))
            columns, rows = fit_cells(self._image.width, self._image.height, max_columns, max_rows, self._cell_size)
            self._canvas.styles.width = columns
            self._canvas.styles.height = rows

    @work(exclusive=True)
    async def _draw(self) -> None:
        try:
            drawing = await asyncio.to_thread(self._decode)
        except AttachmentError as error:
            self.query_one(Static).update(str(error))
            return
        if can_draw_pixels(headless=self.app.is_headless):
            self._cell_size = get_cell_size()
            self._canvas = textual_image.widget.Image(drawing)
        else:
            self._canvas = textual_image.widget.HalfcellImage(drawing)
        self.fit()
        await self.mount(self._canvas, before=0)

    def _decode(self) -> PillowImage.Image:
        drawing = images.decode(self._image)
        # Twice the pixels of a usual cell, for dense screens. More would cost time at every repaint.
        drawing.thumbnail((MAX_COLUMNS * 20, MAX_ROWS * 40))
        return drawing


def can_draw_pixels(*, headless: bool) -> bool:
    """Return True if the terminal said that it draws images. Multiplexers swallow them, so they get False."""
    if headless or os.environ.get("TMUX") or os.environ.get("TERM", "").startswith(("tmux", "screen")):
        return False
    return textual_image.renderable.Image in (textual_image.renderable.TGPImage, textual_image.renderable.SixelImage)


def fit_cells(width: int, height: int, max_columns: int, max_rows: int, cell_size: tuple[int, int]) -> tuple[int, int]:
    """Return the columns and rows in which to draw an image, with its aspect ratio kept.

    Args:
        width: Width of the image in pixels.
        height: Its height in pixels.
        max_columns: Available columns.
        max_rows: Available rows.
        cell_size: Width and height of a cell in pixels. No pixel is drawn wider than a cell.
    """
    cell_width, cell_height = cell_size
    scale = min(max_columns * cell_width / width, max_rows * cell_height / height, cell_width)
    return max(1, round(width * scale / cell_width)), max(1, round(height * scale / cell_height))
