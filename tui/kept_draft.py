"""Keep what was typed and not sent when the app ends, however it ends, and put it into the input the next time."""

import secrets
from contextlib import suppress
from pathlib import Path

from assistant.atomic_files import make_private_folder, write_atomically
from assistant.text_cleaning import valid_unicode


class KeptDraft:
    """The draft in a folder of the user. Errors of the disk are no errors here: a draft is no reason to stop."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "draft.txt"

    def keep(self, text: str) -> bool:
        """Save `text` below a draft that is there already. Return False if that is impossible."""
        try:
            make_private_folder(self._path.parent)
            earlier = self.take()
            write_atomically(self._path, valid_unicode(f"{earlier}\n{text}" if earlier else text).encode())
        except OSError:
            return False
        return True

    def take(self) -> str:
        """Return the draft and remove it; an empty text if there is none."""
        # Renamed first: of two apps that start at the same time only one gets it.
        taken = self._path.with_name(f".draft.{secrets.token_hex(8)}.unfinished")
        with suppress(OSError):
            self._path.rename(taken)
            try:
                return taken.read_text("utf-8", errors="replace")
            finally:
                taken.unlink()
        return ""
