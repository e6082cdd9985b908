"""Reduce an image file to the parts that its first frame needs, before any decoder sees it.

Metadata, later frames, thumbnails and trailing bytes are where decoders are attacked, and where they find limits of
their own. Nothing of it reaches them: each file becomes its header, its pixels, its colours and its orientation. Sizes
are judged here, by the header alone.

Reading order: `parts`, then one module per format: `png`, `jpeg`, `gif`, `webp`, `bmp`.
"""

from assistant.attachments.formats import bmp, gif, jpeg, png, webp
from assistant.attachments.formats.parts import Parts

_READERS = {
    "PNG": png.read_parts,
    "JPEG": jpeg.read_parts,
    "GIF": gif.read_parts,
    "WEBP": webp.read_parts,
    "BMP": bmp.read_parts,
}


def read_parts(data: bytes, format_name: str) -> Parts:
    """Return the parts of an image file that its first frame needs.

    A file that ends early, or whose structure is broken, is returned as far as it makes sense: the decoder finds the
    damage.

    Args:
        data: Content of the file.
        format_name: Key of `file_types.FORMATS`. AVIF files are returned as they are.

    Raises:
        PartsError: The file has more of something than is read.
    """
    reader = _READERS.get(format_name)
    return reader(data) if reader else Parts(data)
