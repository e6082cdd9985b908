"""Say in one sentence that the app ended because of an error nobody expected, and keep its traceback in a file."""

import os
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

from assistant import __version__
from assistant.atomic_files import make_private_folder
from assistant.errors import first_line
from assistant.text_cleaning import clean_line, valid_unicode


def report_crash(error: BaseException, folder: Path | None) -> str:
    """Write the traceback of `error` to a file that only this user can read, and return a sentence that names it.

    Args:
        error: The exception.
        folder: Folder for the file; the folder for temporary files if it is None or cannot be written.
    """
    what = clean_line(f"Parley ended because of an error of its own ({type(error).__name__}: {first_line(error)})", 300)
    for place in (folder, Path(tempfile.gettempdir())):
        if place is not None and (path := _write(error, place)) is not None:
            return f"{what}. Please report it with what is in {path}"
    return f"{what}. Its traceback cannot be written: the disk is full or may not be written."


def _write(error: BaseException, folder: Path) -> Path | None:
    with suppress(OSError):
        make_private_folder(folder)
        descriptor, path = tempfile.mkstemp(".txt", "parley-error-", folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"Parley {__version__}\n" + valid_unicode("".join(traceback.format_exception(error))))
        return Path(path)
    return None
