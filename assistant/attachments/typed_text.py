"""Turn what a user typed, pasted or dropped into the text and the images of a message.

This is the one place where a name of an image in a text becomes an image. `paths_in_text` says how sure each name is:
one that is explicit is loaded or is an error; all others are attached if that works, and are text if not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from assistant.attachments.file_lookup import FileLookup
from assistant.attachments.images import ImageLoader, LoadedImage
from assistant.attachments.paths_in_text import Certainty, Mention, find_folders, find_mentions
from assistant.attachments.rewording import remove_mentions
from assistant.errors import AttachmentError
from assistant.messages import Image
from assistant.text_cleaning import clean_line

MAX_ATTEMPTS = 20
"""Guesses that are loaded. A text with more names is a list of files."""
_MAX_NAMES = 3


@dataclass(frozen=True)
class TypedText:
    """Text and images of a message.

    Attributes:
        text: The text without the names of the images that are attached.
        images: The images, in order, each once.
        notices: Sentences for the user: about the images, and why other names stay text.
    """

    text: str
    images: tuple[Image, ...] = ()
    notices: tuple[str, ...] = ()


def read_typed_text(text: str, loader: ImageLoader) -> TypedText:
    """Load the images that `text` names, and take their names out of it.

    Raises:
        AttachmentError: The text is nothing but paths, or a command with paths, and one of them cannot be loaded.
    """
    files = FileLookup()
    mentions = find_mentions(text, links=loader.allow_urls, files=files)
    loaded: dict[str, LoadedImage] = {}
    failures: dict[str, AttachmentError] = {}
    for mention in mentions:
        if mention.source in loaded or mention.source in failures:
            continue
        if mention.certainty is Certainty.EXPLICIT:
            loaded[mention.source] = loader.load(mention.source)
        elif mention.certainty is Certainty.GUESS and len(loaded) + len(failures) < MAX_ATTEMPTS:
            try:
                loaded[mention.source] = loader.load(mention.source)
            except AttachmentError as error:
                failures[mention.source] = error
    used = [mention for mention in mentions if mention.source in loaded]
    notices = [notice for each in loaded.values() for notice in each.notices]
    notices += (f"{error} Its name was sent as text." for error in failures.values())
    notices += _explain([mention for mention in mentions if mention.source not in {**loaded, **failures}])
    notices += (
        f"{clean_line(folder)} is a folder, which is not opened in a chat: name a picture in it."
        for folder in find_folders(text, files)
    )
    remaining = remove_mentions(text, used, tuple(loaded)) if used else text
    return TypedText(remaining, tuple(each.image for each in loaded.values()), tuple(notices))


def dropped_images(text: str) -> Sequence[str]:
    """Return the paths and URLs of a pasted text that is nothing but these, else nothing."""
    mentions = find_mentions(text)
    if any(mention.certainty is not Certainty.EXPLICIT for mention in mentions):
        return ()
    sources = tuple(dict.fromkeys(mention.source for mention in mentions))
    return sources if sources and not remove_mentions(text, mentions, sources).strip() else ()


def named_files(text: str) -> Sequence[str]:
    """Return the paths of images in `text` that exist and are not part of code or a quotation."""
    named = (Certainty.EXPLICIT, Certainty.GUESS)
    files = FileLookup()
    sources = (each.source for each in find_mentions(text, links=False, files=files) if each.certainty in named)
    return tuple(source for source in dict.fromkeys(sources) if files.is_file(source))


def _explain(mentions: Sequence[Mention]) -> list[str]:
    """Return a sentence for the names without files, and one for the names in code and the like."""
    sentences = []
    if missing := _names(mentions, Certainty.MISSING):
        sentences.append(
            f"{missing[0]} is not a file here, so it was sent as text."
            if len(missing) == 1
            else f"{_join(missing)} are not files here, so they were sent as text."
        )
    if others := [*_names(mentions, Certainty.QUOTED), *_names(mentions, Certainty.GUESS)]:
        sentences.append(
            f"{_join(others)} {'stands' if len(others) == 1 else 'stand'} in code, a quotation or a long list, and "
            "was not attached: name the picture in a sentence to have it looked at."
        )
    return sentences


def _names(mentions: Sequence[Mention], certainty: Certainty) -> list[str]:
    return list(dict.fromkeys(clean_line(each.source, 80) for each in mentions if each.certainty is certainty))


def _join(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    shown = list(names if len(names) <= _MAX_NAMES else names[: _MAX_NAMES - 1])
    last = shown.pop() if len(names) <= _MAX_NAMES else f"{len(names) - len(shown)} other names"
    return f"{', '.join(shown)} and {last}"
