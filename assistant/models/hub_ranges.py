"""Read ranges of files on the Hugging Face hub, for parts that the package index does not have."""

from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import urlsplit

from assistant.errors import ModelError
from assistant.models.hub import ask_hub, progress_bar, translate_errors


def read_range(
    repository: str, name: str, start: int, size: int, target: BinaryIO, on_bytes: Callable[[int, int], object]
) -> None:
    """Write `size` bytes from `start` of the file `name` to `target`.

    Args:
        repository: Hub id.
        name: Name of the file.
        start: First byte.
        size: Number of bytes.
        target: File to write to.
        on_bytes: Called often with the bytes that have come and their number; an exception it raises ends the request.

    Raises:
        ModelError: The hub cannot be reached or does not have these bytes.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined] # public by its documentation

    received = 0

    def count(more: int) -> None:
        nonlocal received
        received += more
        on_bytes(min(received, size), size)

    def keep_asking(*_: object) -> None:
        on_bytes(0, 0)

    # The revision does not matter: the bytes are compared with their digest.
    with translate_errors(repository, "main"):
        ask_hub(repository, "main", keep_asking)
        url = hf_hub_url(repository, name)
        try:
            metadata = get_hf_file_metadata(url)
        except EntryNotFoundError as error:
            raise ModelError(f"{repository} has no {name} on the hub.") from error
        if metadata.size is not None and metadata.size < start + size:
            raise ModelError(f"{name} of {repository} is another file on the hub.")
        # The access token must not be sent to the storage provider.
        on_hub = urlsplit(metadata.location).netloc == urlsplit(url).netloc
        headers = build_hf_headers(token=None if on_hub else False)
        http_get(
            metadata.location,
            target,
            headers={**headers, "Range": f"bytes={start}-{start + size - 1}"},
            expected_size=size,
            tqdm_class=progress_bar(count),
        )
