"""One image attached to the next message."""

from textual.widgets import Static

from assistant.messages import Image
from assistant.text_cleaning import clean_line


class AttachmentChip(Static):
    """One line with the image's name and size. A click removes it.

    Attributes:
        image: The attached image.
    """

    def __init__(self, image: Image) -> None:
        super().__init__(f"▣ {clean_line(image.name)} · {image.width}×{image.height}  ✕", markup=False)
        self.tooltip = "Click to remove this picture."
        self.image = image

    async def on_click(self) -> None:
        await self.remove()
