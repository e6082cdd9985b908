"""Line mode of `parley`: each line of standard input is one turn, and the replies go to standard output."""

import asyncio
from collections.abc import Iterable

from assistant.attachments.images import ImageLoader
from assistant.attachments.typed_text import read_typed_text
from assistant.conversation.session import Session
from assistant.errors import AttachmentError, ParleyError
from assistant.messages import Message, user
from assistant.progress import OnNotice
from parley.cli.signals import run
from parley.cli.terminal import MAX_INPUT_CHARACTERS, write_reasoning
from parley.cli.transcript_printer import TranscriptPrinter, WriteText, hold_reply, warn_if_unsaved


def run_repl(
    lines: Iterable[str], session: Session, write: WriteText, notify: OnNotice, image_loader: ImageLoader
) -> bool:
    """Answer each line that is not blank, then close the session.

    Args:
        lines: Messages, which may contain paths of images.
        session: The conversation.
        write: Receives the replies.
        notify: Receives notices and errors. An error names its line, and the next line is read.
        image_loader: Loads the images named in a line.

    Returns:
        True if every line was answered and every turn is saved.
    """
    all_answered = True
    with asyncio.Runner() as runner, warn_if_unsaved(session, notify) as notify_once:
        # One event loop for all turns, but none running while a line is read: there Ctrl-C and signals have to
        # interrupt at once. The instructions and a resumed conversation are processed while the first line is typed.
        session.prepare()
        for number, raw_line in enumerate(lines, 1):
            # Some editors begin a file with a byte order mark.
            line = raw_line.removeprefix("\ufeff").strip()
            if not line:
                continue
            try:
                if len(line) > MAX_INPUT_CHARACTERS:
                    raise AttachmentError(f"It is longer than {MAX_INPUT_CHARACTERS:,} characters: shorten it.")
                message = read_message(line, notify_once, image_loader)
                printer = TranscriptPrinter(
                    write, notify_once, write_reasoning=write_reasoning, hold_reply=hold_reply(session.model)
                )
                run(runner, printer.run(session, message))
            except ParleyError as error:
                all_answered = False
                notify_once(f"line {number}: {error}")
        run(runner, session.close())
    return all_answered and session.save_error is None


def read_message(line: str, notify: OnNotice, image_loader: ImageLoader) -> Message:
    """Build the user's message from a typed line.

    Raises:
        AttachmentError: The line consists of images only, or names one in a command that cannot be read.
    """
    typed = read_typed_text(line, image_loader)
    if not typed.text.strip():
        raise AttachmentError("There are no words to send yet: type a question.")
    for notice in typed.notices:
        notify(notice)
    return user(typed.text, *typed.images)
