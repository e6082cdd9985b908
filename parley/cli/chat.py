"""Conversation as plain text: what a turn says goes out as it comes, and line mode is one turn for each line read."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager

from assistant.attachments.images import ImageLoader, extract_images
from assistant.conversation.session import Session, model_named
from assistant.errors import AssistantError, AttachmentError
from assistant.events import Notice, TextDelta, TurnFinished, Usage
from assistant.messages import Message, user
from assistant.progress import no_progress

Write = Callable[[str], None]
"""Takes the next piece of text, and shows it at once."""


class Answer:
    """What has come of a turn: complete once `finished`, and otherwise as far as it got."""

    def __init__(self) -> None:
        self.text = ""
        self.usage = Usage()
        self.finished = False

    async def follow(self, session: Session, message: Message, write: Write, tell: Write) -> None:
        """Run the turn. Words go to `write` as they come and end with a line; notices go to `tell`, never within it."""
        late: list[str] = []
        try:
            async with aclosing(session.turn(message)) as events:
                async for event in events:
                    match event:
                        case TextDelta(text):
                            self.text += text
                            write(text)
                        case Notice(text):
                            (late.append if self.text else tell)(text)
                        case TurnFinished(_, usage):
                            self.usage = usage
                            self.finished = True
        except (AssistantError, asyncio.CancelledError):
            if self.text:
                write("\n")
            raise
        write("\n")
        for notice in late:
            tell(notice)


@contextmanager
def unsaved_told(session: Session, tell: Write) -> Iterator[Write]:
    """Gives the block a `tell` to use; tells after it, however it ends, that turns are not saved, unless it did."""
    told: list[str] = []

    def listened(sentence: str) -> None:
        told.append(sentence)
        tell(sentence)

    try:
        yield listened
    finally:
        if session.unsaved is not None and not any(str(session.unsaved) in sentence for sentence in told):
            tell(f"The last turns are not saved. {session.unsaved}")


def converse(
    lines: Iterable[str],
    session: Session,
    write: Write,
    tell: Write,
    loader: ImageLoader,
) -> bool:
    """Answer each of `lines` that is not blank, with the pictures named in it; True if all went well.

    A line that cannot be answered is told with its number, and the next one goes on.
    """
    well = True
    with asyncio.Runner() as runner, unsaved_told(session, tell) as listened:
        # One event loop for all turns, but none running while a line is read: there Ctrl-C has to interrupt at once.
        for number, read in enumerate(lines, 1):
            # Some editors begin a file with a byte order mark.
            line = read.removeprefix("\ufeff").strip()
            if not line:
                continue
            try:
                if (name := model_named(line)) is not None:
                    listened(runner.run(session.change_model(name, no_progress)))
                    continue
                message = read_message(line, listened, loader)
                runner.run(Answer().follow(session, message, write, listened))
            except AssistantError as error:
                well = False
                listened(f"line {number}: {error}")
        runner.run(session.close())
    return well and session.unsaved is None


def read_message(line: str, tell: Write, loader: ImageLoader) -> Message:
    """The user's message that a typed line stands for.

    Raises `AttachmentError` for a picture that cannot be read, or that nothing is said about.
    """
    found = extract_images(line, links=loader.allow_urls)
    if not found.text.strip():
        raise AttachmentError("There are no words to send yet: type a question.")
    images, notices = loader.load_all(found.sources)
    for notice in notices:
        tell(notice)
    return user(found.text, *images)
