"""Load a bundled model, answer one question about an image, and print the memory of this process.

`benchmarks.start` runs this in a new process for each measurement, because a peak belongs to a complete process. It
prints one line with the peak memory in MB when the model is loaded and one at the end; the parent process times them.
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
IMAGE_SIZE = (1024, 768)


def make_image() -> Image:
    """Draw an image of the size of an everyday photo: a red disc on green under blue."""
    drawing = PIL.Image.new("RGB", IMAGE_SIZE, "skyblue")
    pen = PIL.ImageDraw.Draw(drawing)
    pen.rectangle((0, 500, *IMAGE_SIZE), fill="forestgreen")
    pen.ellipse((380, 260, 660, 540), fill="firebrick")
    file = io.BytesIO()
    drawing.save(file, "PNG")
    return ImageLoader().load_bytes(file.getvalue(), "disc.png").image


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process in MB (1e6 bytes)."""
    # On Linux, the peak of `getrusage` includes that of the parent process.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    """Load the model, report, answer, and report the peak."""
    model = build_model(load({"model": sys.argv[1]}).settings)
    print(READY, peak_memory_mb(), flush=True)
    for _ in model.stream(
        [user("What is in this picture?", make_image())], GenerationOptions.greedy(32), threading.Event()
    ):
        pass
    print(peak_memory_mb(), flush=True)
    model.close()


if __name__ == "__main__":
    main()
