"""Parley: a private multimodal assistant on your own machine.

    from parley import Assistant

    with Assistant() as assistant:
        print(assistant.ask("What is this?", "photo.jpg"))
        for text in assistant.stream("What is beside it?"):
            print(text, end="")

`Assistant` is a conversation. `caption`, `vqa`, `read` and `emotion` look at one file, without a conversation. Every
error that Parley raises on purpose is a `ParleyError`.

Importing this package loads nothing heavy; models and their libraries are loaded by the first call that needs them.

Read in this order: `api` and `file_skills` (the names above), `loop_thread` and `text_stream` (plain calls to
asynchronous code), `factory` (builds the parts from settings), `cli` (the command line), `components` (the parts and
their licences).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from assistant import __version__
from assistant.errors import ParleyError

if TYPE_CHECKING:
    from parley.api import Assistant
    from parley.file_skills import caption, emotion, read, vqa

__all__ = ["Assistant", "ParleyError", "__version__", "caption", "emotion", "read", "vqa"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("parley.api" if name == "Assistant" else "parley.file_skills"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
