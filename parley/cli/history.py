"""`parley history`: the conversations kept on this machine."""

import json
import shutil
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

import click

from parley.cli.options import complete_conversation, history_with_notices, load_settings
from parley.cli.terminal import notify, write_out

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assistant.history.store import ConversationSummary
    from assistant.messages import Message

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
conversation_argument = click.argument("conversation", shell_complete=complete_conversation)


@click.group()
def history() -> None:
    """List, show, search and delete conversations."""


@history.command("list")
@as_json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List conversations, the latest first."""
    with history_with_notices(load_settings(ctx).settings) as kept:
        _print_summaries(kept.list(), as_json=as_json)


@history.command()
@click.argument("words", nargs=-1, required=True)
@as_json_option
@click.pass_context
def search(ctx: click.Context, words: tuple[str, ...], as_json: bool) -> None:
    """List the conversations in which WORDS occur.

    All of them have to stand in one message; a word also finds longer ones that begin with it.
    """
    with history_with_notices(load_settings(ctx).settings) as kept:
        _print_summaries(kept.search(" ".join(words)), as_json=as_json)


@history.command()
@conversation_argument
@as_json_option
@click.pass_context
def show(ctx: click.Context, conversation: str, as_json: bool) -> None:
    """Print one CONVERSATION. The first characters of its id are enough."""
    with history_with_notices(load_settings(ctx).settings) as kept:
        found, messages = kept.load(conversation)
    if as_json:
        head = {"id": found.id, "title": found.title, "model": found.model, "system": found.system}
        _print_json({**head, "created": found.created.isoformat(), "messages": [_plain(each) for each in messages]})
        return
    write_out(f"{found.title}\n{found.created.astimezone():%Y-%m-%d %H:%M}, {found.model}\n")
    for message in messages:
        write_out(f"\n{_headed(message)}\n")


@history.command()
@click.argument("conversations", nargs=-1, required=True, shell_complete=complete_conversation)
@click.pass_context
def delete(ctx: click.Context, conversations: tuple[str, ...]) -> None:
    """Delete CONVERSATIONS, with the pictures that no other one shows."""
    with history_with_notices(load_settings(ctx).settings) as kept:
        # All are found before any is deleted: a mistyped id deletes nothing.
        for identifier in dict.fromkeys([kept.find(conversation) for conversation in conversations]):
            kept.delete(identifier)
            write_out(f"Deleted {identifier}\n")


def _print_summaries(summaries: "Iterable[ConversationSummary]", *, as_json: bool) -> None:
    summaries = list(summaries)
    if as_json:
        _print_json(
            [
                {
                    "id": summary.id,
                    "title": summary.title,
                    "model": summary.model,
                    "updated": summary.updated.isoformat(),
                    "turns": summary.turns,
                    "excerpt": summary.excerpt,
                }
                for summary in summaries
            ]
        )
        return
    if not summaries:
        notify("No conversations.")
    rows = [
        (summary.id, f"{summary.updated.astimezone():%Y-%m-%d %H:%M}", str(summary.turns), summary.model)
        for summary in summaries
    ]
    heading = ("id", "last turn", "turns", "model")
    widths = [max(_columns(row[column]) for row in (heading, *rows)) for column in range(4)]
    width_in_all = shutil.get_terminal_size((120, 24)).columns
    room = max(width_in_all - sum(widths) - 2 * len(widths), 20)
    # For people: what reads the list line by line sees no other lines than those of conversations.
    if summaries and sys.stdout.isatty():
        write_out(
            "  ".join([*(name.ljust(width) for name, width in zip(heading, widths, strict=True)), "title"]) + "\n"
        )
    for summary, row in zip(summaries, rows, strict=True):
        cells = [cell + " " * (width - _columns(cell)) for cell, width in zip(row, widths, strict=True)]
        write_out("  ".join([*cells, _cut(summary.title, room)]) + "\n")
        if summary.excerpt.strip("…") not in summary.title:
            write_out(f"    {_cut(summary.excerpt, width_in_all - 4)}\n")


def _print_json(value: Any) -> None:
    write_out(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def _plain(message: "Message") -> dict[str, Any]:
    pictures = [
        {"name": image.name, "width": image.width, "height": image.height, "digest": image.digest}
        for image in message.images
    ]
    return {"role": message.role, "text": message.text, "images": pictures, "interrupted": message.interrupted}


def _headed(message: "Message") -> str:
    who = "You" if message.role == "user" else "Parley"
    pictures = [f"[{image.name}, {image.width} × {image.height}]" for image in message.images]
    ending = ["(interrupted)"] if message.interrupted else []
    return "\n".join([f"{who}:", *pictures, *filter(None, [message.text]), *ending])


def _columns(text: str) -> int:
    """How many columns of a terminal `text` takes: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def _cut(text: str, room: int) -> str:
    """As much of the first line of `text` as fits into `room` columns."""
    line = " ".join(text.split())
    if _columns(line) <= room:
        return line
    while line and _columns(line) >= room:
        line = line[:-1]
    return f"{line}…"
