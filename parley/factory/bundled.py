"""Build the bundled models: choose between them by free memory, fetch their files, put the chat model together.

pocket          a language model of 1.5 billion parameters, which reads what the small vision model sees
pocket-small    the small vision model alone, which skills ask
"""

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import ModelError, first_line
from assistant.formatting import format_bytes
from assistant.models.base import ChatModel
from assistant.progress import OnNotice, Progress, no_notice, no_progress

if TYPE_CHECKING:
    import PIL.Image

    from assistant.models.pocket.described_images import Vision
    from assistant.settings import Settings
    from skills.emotions.face_boxes import FaceDetector

POCKET = "pocket"
POCKET_SMALL = "pocket-small"
BUNDLED_MODELS = (POCKET, POCKET_SMALL)

POCKET_FREE_BYTES = 6 * 10**9
"""Free memory from which `auto` takes the large one. With images it holds 3 GB, a call adds 1 GB for hearing and
speaking, and the rest is left to other programs: a model that is swapped out answers in minutes."""
_MIN_FACE_SHARE = 0.07
"""Side of a face that is mentioned, as a share of the shorter side of the image."""
POCKET_MIN_BYTES = 3 * 10**9
"""Free memory below which it is not loaded at all, since it would be swapped out while it answers."""


def choose_bundled(on_notice: OnNotice = no_notice) -> str:
    """Return the name of the bundled model that suits the free memory. `on_notice` is told why it is the small one."""
    from assistant.models.memory import free_bytes

    free = free_bytes("cpu")
    if free >= POCKET_FREE_BYTES:
        return POCKET
    on_notice(
        f"{POCKET_SMALL} answers, because {POCKET} needs {format_bytes(POCKET_FREE_BYTES)} of free memory and "
        f"{format_bytes(free)} are free: close other programs and start again, or choose --model {POCKET}."
    )
    return POCKET_SMALL


def load_pocket(settings: "Settings", progress: Progress = no_progress, on_notice: OnNotice = no_notice) -> ChatModel:
    """Load the large bundled model; download it first if needed. What sees is loaded with the first image.

    Raises:
        ModelError: There is too little memory, or a file cannot be fetched or loaded.
        MissingExtraError: llama.cpp is not installed.
    """
    from assistant.models.gguf.model import GgufModel
    from assistant.models.pocket.model import PocketModel

    _check_memory(on_notice)
    file = fetch_language_model(settings, progress)
    try:
        # Now, and not when somebody waits for an answer about an image.
        assemble_pocket(settings, progress)
    except ModelError as error:
        on_notice(f"{error} Until then images cannot be looked at.")
    language = GgufModel.load(file, name=POCKET, progress=progress, on_notice=on_notice)
    return PocketModel(language, lambda: load_vision(settings, on_notice), on_notice)


def load_vision(settings: "Settings", on_notice: OnNotice = no_notice) -> "Vision":
    """Load the parts that see: the small vision model, its classifiers, and what finds faces and text.

    Raises:
        ModelError: The small model cannot be fetched or loaded.
    """
    from assistant.models.local.model import LocalModel
    from assistant.models.pocket.describe import Describer
    from assistant.models.pocket.described_images import Vision
    from assistant.models.pocket.recognizer import Recognizer
    from parley.factory.emotion import build_face_detector
    from skills.text_glance import glance

    folder = assemble_pocket(settings)
    model = LocalModel.load(str(folder), device=settings.device, compile=settings.compile, on_notice=on_notice)
    for notice in model.notices:
        on_notice(notice)
    faces = build_face_detector(settings, on_notice=on_notice)
    describer = Describer(
        Recognizer.load(folder),
        model,
        count_faces=lambda pixels: count_faces(faces, pixels),
        read_text=glance,
        on_notice=on_notice,
    )
    return Vision(model, describer)


def count_faces(detector: "FaceDetector", pixels: "PIL.Image.Image") -> int:
    """Return the number of faces in an image, without those in its background and what only looks like one."""
    least = _MIN_FACE_SHARE * min(pixels.size)
    return sum(max(face.right - face.left, face.bottom - face.top) >= least for face in detector.find(pixels))


def fetch_language_model(settings: "Settings", progress: Progress = no_progress, *, full_check: bool = False) -> Path:
    """Make sure that the language model of `pocket` is in the cache, and return its file.

    Args:
        settings: `cache_dir` is the folder of the cache.
        progress: Receives download progress.
        full_check: Compare every byte of an existing file instead of its size and time.

    Raises:
        ModelError: A part cannot be downloaded, or the cache cannot be written.
    """
    from assistant.models.pocket import language_weights

    return language_weights.ensure(settings.cache_dir, progress, full_check=full_check)


def assemble_pocket(settings: "Settings", progress: Progress = no_progress, *, full_check: bool = False) -> Path:
    """Make sure that the small vision model is complete in the cache, and return its folder.

    A damaged one is assembled anew.

    Args:
        settings: `cache_dir` is the folder of the cache.
        progress: Receives download progress.
        full_check: Check an existing folder for longer than a start has time for; see `vision_weights.ensure`.

    Raises:
        ModelError: A download failed or the cache cannot be written.
    """
    from assistant.models.pocket import vision_weights

    try:
        return vision_weights.ensure(settings.cache_dir, progress, full_check=full_check)
    except OSError as error:
        raise cache_error("model", settings, error) from error


def fetch_bundled(
    name: str, settings: "Settings", progress: Progress = no_progress, *, full_check: bool = False
) -> Path:
    """Fetch all files of a bundled model and return the path of its main one. Raises as the functions above do."""
    folder = assemble_pocket(settings, progress, full_check=full_check)
    return fetch_language_model(settings, progress, full_check=full_check) if name == POCKET else folder


def cache_error(what: str, settings: "Settings", error: OSError) -> ModelError:
    """Return the error for a bundled model that cannot be written to the cache."""
    is_file = error.errno in (errno.ENOTDIR, errno.EEXIST)
    advice = "Move away the file that is in the place of a folder" if is_file else "Make room there"
    return ModelError(
        f"The bundled {what} cannot be assembled in {settings.cache_dir}: {first_line(error)}. "
        f"{advice}, or name another folder with PARLEY_CACHE_DIR."
    )


def _check_memory(on_notice: OnNotice) -> None:
    """Warn, or raise `ModelError`, where the large model does not have the memory it needs."""
    from assistant.models.memory import free_bytes

    free = free_bytes("cpu")
    if free < POCKET_MIN_BYTES:
        raise ModelError(
            f"{POCKET} needs {format_bytes(POCKET_MIN_BYTES)} of free memory at least and {format_bytes(free)} are "
            f"free: close other programs, or choose --model {POCKET_SMALL}."
        )
    if free < POCKET_FREE_BYTES:
        on_notice(
            f"{POCKET} may be slow, because it should have {format_bytes(POCKET_FREE_BYTES)} of free memory and "
            f"{format_bytes(free)} are free: close other programs, or choose --model {POCKET_SMALL}."
        )
