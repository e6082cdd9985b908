"""The weights of MTCNN: three state dicts of 2 MB in the wheel of `facenet-pytorch` (MIT license).

The wheel is opened for them and never installed.
"""

from pathlib import Path

from assistant.errors import ModelError
from assistant.progress import Progress
from assistant.wheels import WheelAsset, fetch_all

_SIZES = {"pnet.pt": 28_570, "rnet.pt": 403_147, "onet.pt": 1_559_269}
_DIGESTS = {
    "pnet.pt": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet.pt": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet.pt": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}


def _assets(package: str, version: str, wheel_sha256: str) -> list[WheelAsset]:
    return [
        WheelAsset(
            package,
            version,
            wheel_sha256=wheel_sha256,
            member=f"facenet_pytorch/data/{name}",
            sha256=_DIGESTS[name],
            size=_SIZES[name],
            title="the face detector",
        )
        for name in _SIZES
    ]


SOURCES = (
    _assets("facenet-pytorch", "2.6.0", "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca"),
    # The same three files in the wheel of another project.
    _assets("facenet-pytorch-custom", "2.5.2.dev2", "ade767fe6d74a892b89956e1b579e2b36f93857301cf9acc5e969c7cfe9924c8"),
)
"""Wheels that hold the weights, in the order in which they are tried."""


def fetch_weights(cache_dir: Path, progress: Progress) -> list[Path]:
    """Return the paths of the state dicts in `cache_dir`, downloaded if needed. Raises `ModelError`."""
    first, second = SOURCES
    try:
        return fetch_all(first, cache_dir, progress)
    except ModelError as error:
        try:
            return fetch_all(second, cache_dir, progress)
        except ModelError:
            # The first source is the one that people know.
            raise error from None
