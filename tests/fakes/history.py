"""Helpers for tests of the history: conversations, other processes, and disks that fail."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assistant import messages
from assistant.events import Usage
from assistant.history.store import Conversation, History
from assistant.messages import Image

USAGE = Usage(prompt_tokens=20, cached_tokens=8, reply_tokens=3, first_token_seconds=0.25, total_seconds=1.5)
CAT = Image(b"a picture of a cat", "image/png", 640, 480, "cat.png")
DOG = Image(b"a picture of a dog", "image/jpeg", 10, 20, "dog.jpg")


def add_turns(history: History, *texts: str, image: Image | None = None) -> Conversation:
    """Return a new conversation with one turn for each text."""
    conversation = history.create("pocket", None)
    for text in texts:
        attachments = [image] if image else []
        conversation.append(messages.user(text, *attachments), messages.assistant(f"You said {text}."), USAGE)
    return conversation


def load_texts(history: History, id: str) -> list[str]:
    return [message.text for message in history.load(id)[1]]


def attachment_names(history: History) -> set[str]:
    return {path.name for path in history.path.parent.glob("attachments/*")}


def program(code: str, history: History) -> list[str]:
    """Return the command that runs `code` in another process, where `history` is the same history."""
    setup = f"""
import os, signal, sys
from pathlib import Path
from assistant import messages
from assistant.events import Usage
from assistant.history.store import History
notices = []
history = History(Path({str(history.path)!r}), notices.append)
def talk(*said):
    conversation = history.create("pocket", None)
    for words in said:
        conversation.append(messages.user(words), messages.assistant("Yes."), Usage())
"""
    return [sys.executable, "-c", setup + code]


def in_process(code: str, history: History) -> subprocess.CompletedProcess[str]:
    return subprocess.run(program(code, history), stdout=subprocess.PIPE, text=True, timeout=30, check=False)


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Make writing past `size` bytes of a file fail, as a full disk would."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take the right to write in `folder`, which root has to give up to lose it."""
    is_root = os.geteuid() == 0
    opened = {parent: parent.stat().st_mode for parent in folder.parents if parent.stat().st_uid == os.geteuid()}
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o444)
    for parent in opened:
        parent.chmod(parent.stat().st_mode | 0o011)
    folder.chmod(0o555)
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        for parent, mode in opened.items():
            parent.chmod(mode)
        folder.chmod(0o700)
        for path in folder.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
