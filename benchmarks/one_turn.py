"""A process that loads the bundled model, answers once about a picture, and tells how much memory that took.

Started by `benchmarks.start`, anew for each measurement, because a peak of memory belongs to a whole process. Prints a
line when the model is loaded and one with the peak in MB at the end; its parent times them.
"""

import io
import resource
import sys
import threading
from pathlib import Path

import PIL.Image
import PIL.ImageDraw

from assistant.attachments.images import ImageLoader
from assistant.messages import Image, user
from assistant.models.base import GenerationOptions
from assistant.settings import load
from parley.factory.models import build_model

READY = "ready"
PICTURE_SIZE = (1024, 768)


def picture() -> Image:
    """A drawing of the size of an everyday photo: a red disc on green under blue."""
    drawing = PIL.Image.new("RGB", PICTURE_SIZE, "skyblue")
    pen = PIL.ImageDraw.Draw(drawing)
    pen.rectangle((0, 500, *PICTURE_SIZE), fill="forestgreen")
    pen.ellipse((380, 260, 660, 540), fill="firebrick")
    file = io.BytesIO()
    drawing.save(file, "PNG")
    return ImageLoader().load_bytes(file.getvalue(), "disc.png").image


def peak_memory() -> float:
    """The most memory this process ever held at once, in MB (1e6 bytes)."""
    # On Linux, what `getrusage` calls the peak includes that of the process that started this one.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    """Load, tell, answer, tell."""
    model = build_model(load({"model": "pocket"}).settings)
    print(READY, flush=True)
    for _ in model.stream(
        [user("What is in this picture?", picture())], GenerationOptions(max_tokens=32), threading.Event()
    ):
        pass
    print(peak_memory(), flush=True)
    model.close()


if __name__ == "__main__":
    main()
