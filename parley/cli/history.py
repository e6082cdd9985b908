"""`parley history`: list, show, search and delete saved conversations."""

import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from parley.cli.options import as_json_option, complete_conversation, history_with_notices, load_settings
from parley.cli.table import format_table, truncate
from parley.cli.terminal import is_terminal, notify, write_json, write_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assistant.history.rows import ConversationSummary
    from assistant.messages import Message

conversation_argument = click.argument("conversation", shell_complete=complete_conversation)


@click.group(invoke_without_command=True)
@as_json_option
@click.pass_context
def history(ctx: click.Context, as_json: bool) -> None:
    """List, show, search and delete conversations."""
    if ctx.invoked_subcommand is None:
        _list_conversations(ctx, as_json=as_json)


@history.command("list")
@as_json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List conversations, the latest first."""
    _list_conversations(ctx, as_json=as_json)


@history.command()
@click.argument("words", nargs=-1, required=True)
@as_json_option
@click.pass_context
def search(ctx: click.Context, words: tuple[str, ...], as_json: bool) -> None:
    """List the conversations in which WORDS occur.

    All of them must occur in one message. A word also matches longer ones that start with it.
    """
    with history_with_notices(load_settings(ctx).settings) as (store, notices):
        summaries = store.search(" ".join(words))
    _print_summaries(summaries, as_json=as_json, is_complete=not notices)


@history.command()
@conversation_argument
@as_json_option
@click.pass_context
def show(ctx: click.Context, conversation: str, as_json: bool) -> None:
    """Print one CONVERSATION. The first characters of its id are enough."""
    with history_with_notices(load_settings(ctx).settings) as (store, _):
        found, messages = store.load(conversation)
    if as_json:
        head = {"id": found.id, "title": found.title, "model": found.model, "system": found.system}
        _print_json(
            {**head, "created": found.created.isoformat(), "messages": [_describe(message) for message in messages]}
        )
        return
    write_out(f"{found.title}\n{found.created.astimezone():%Y-%m-%d %H:%M}, {found.model}\n")
    for message in messages:
        write_out(f"\n{_format_message(message)}\n")


@history.command()
@click.argument("conversations", nargs=-1, required=True, shell_complete=complete_conversation)
@click.pass_context
def delete(ctx: click.Context, conversations: tuple[str, ...]) -> None:
    """Delete CONVERSATIONS, with the images that no other one contains."""
    with history_with_notices(load_settings(ctx).settings) as (store, _):
        # All ids are looked up first: with one mistyped, nothing is deleted.
        for identifier in dict.fromkeys([store.find(conversation) for conversation in conversations]):
            store.delete(identifier)
            write_out(f"Deleted {identifier}\n")


def _list_conversations(ctx: click.Context, *, as_json: bool) -> None:
    with history_with_notices(load_settings(ctx).settings) as (store, notices):
        summaries = store.list()
    _print_summaries(summaries, as_json=as_json, is_complete=not notices)


def _print_summaries(summaries: "Sequence[ConversationSummary]", *, as_json: bool, is_complete: bool) -> None:
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
    # A notice has said what could not be read.
    if not summaries and is_complete:
        notify("No conversations.")
    rows = [("id", "last turn", "turns", "model", "title")]
    for summary in summaries:
        updated = f"{summary.updated.astimezone():%Y-%m-%d %H:%M}"
        rows.append((summary.id, updated, str(summary.turns), summary.model, summary.title))
    terminal_width = shutil.get_terminal_size((120, 24)).columns
    header, *lines = format_table(rows, terminal_width)
    # Programs that read the list line by line get no header.
    if summaries and is_terminal(sys.stdout):
        write_out(f"{header}\n")
    for summary, line in zip(summaries, lines, strict=True):
        write_out(f"{line}\n")
        if summary.excerpt.strip("…") not in summary.title:
            write_out(f"    {truncate(summary.excerpt, terminal_width - 4)}\n")


def _print_json(value: Any) -> None:
    write_json(value, indent=2)


def _describe(message: "Message") -> dict[str, Any]:
    images = [
        {"name": image.name, "width": image.width, "height": image.height, "digest": image.digest}
        for image in message.images
    ]
    reasoning = {"reasoning": message.reasoning} if message.reasoning else {}
    return {
        "role": message.role,
        "text": message.text,
        "images": images,
        "interrupted": message.interrupted,
    } | reasoning


def _format_message(message: "Message") -> str:
    speaker = "You" if message.role == "user" else "Parley"
    images = [f"[{image.name}, {image.width} × {image.height}]" for image in message.images]
    suffix = ["(interrupted)"] if message.interrupted else []
    return "\n".join([f"{speaker}:", *images, *filter(None, [message.text]), *suffix])
