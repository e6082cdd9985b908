"""A picture that will go with the next message."""

from textual.widgets import Static

from assistant.messages import Image


class AttachmentChip(Static):
    """One line with the picture's name and size. Clicking on it takes it back."""

    def __init__(self, image: Image) -> None:
        super().__init__(f"▣ {image.name} · {image.width}×{image.height}  ✕", markup=False)
        self.tooltip = "Click to take this picture back."
        self.image = image
        """What will be sent."""

    async def on_click(self) -> None:
        await self.remove()
