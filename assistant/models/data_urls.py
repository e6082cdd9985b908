"""Images as data URLs, the way in which llama.cpp and servers with OpenAI's API take them."""

import base64
import io

import PIL.Image

from assistant.attachments.images import decode
from assistant.messages import Image

MAX_IMAGE_SIDE = 2048
"""Pixels. Larger images are scaled down before they are sent, as OpenAI's own service does with them."""

_JPEG_QUALITY = 95


def data_url(image: Image) -> str:
    """Encode `image` as a data URL: upright, on white, at most `MAX_IMAGE_SIDE` pixels wide and high.

    Re-encoded from the pixels, because servers read fewer formats than Parley, ignore EXIF rotation, and need not learn
    where a photo was taken. Raises `AttachmentError` if the image cannot be decoded.
    """
    pixels = decode(image)
    pixels.thumbnail((MAX_IMAGE_SIDE, MAX_IMAGE_SIDE), PIL.Image.Resampling.LANCZOS)
    data = io.BytesIO()
    if image.media_type == "image/jpeg":
        subtype = "jpeg"
        pixels.save(data, "JPEG", quality=_JPEG_QUALITY)
    else:
        subtype = "png"
        pixels.save(data, "PNG")
    return f"data:image/{subtype};base64,{base64.b64encode(data.getvalue()).decode()}"
