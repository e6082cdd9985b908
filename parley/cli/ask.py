"""`parley ask`: one question, streamed to standard output, or one JSON object about its answer."""

import json
from typing import TYPE_CHECKING, Any

import click

from parley.cli.options import ChatOptions, chat_options, resolve_options
from parley.cli.progress import ProgressLine
from parley.cli.terminal import decode_argument, notify, read_input, write_out

if TYPE_CHECKING:
    from assistant.conversation.session import Session
    from assistant.messages import Message
    from assistant.progress import OnNotice
    from parley.cli.transcript_printer import TranscriptPrinter


@click.command()
@click.argument("prompt")
@click.option("--image", "-i", "images", multiple=True, metavar="PATH", help="A picture to show; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the bare answer.")
@chat_options
@click.pass_context
def ask(ctx: click.Context, /, prompt: str, images: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Answer one question, about pictures given with -i.

    The answer to PROMPT goes to standard output as it is written. A `-` reads the prompt, or else one picture, from
    standard input.
    """
    if "" in images:
        raise click.UsageError("The path of a picture is empty: name a file.", ctx)
    if [prompt, *images].count("-") > 1:
        raise click.UsageError("Standard input can be the prompt or one picture: give - once.", ctx)
    prompt = read_input().decode("utf-8-sig", errors="replace") if prompt == "-" else decode_argument(prompt)
    if not prompt.strip():
        raise click.UsageError("The prompt is empty: say what you want to know.", ctx)
    choices = resolve_options(ctx, options)
    notices: list[str] = []
    note = notices.append if as_json else notify
    message = _message(prompt.strip(), images, choices, note)
    session = _start(choices)
    if not _answer(session, message, notices if as_json else None):
        ctx.exit(1)


def _message(prompt: str, images: tuple[str, ...], choices: ChatOptions, note: "OnNotice") -> "Message":
    """The pictures are read before a model is loaded: what is wrong with them is known at once."""
    from assistant.attachments.images import MAX_BYTES, ImageLoader, extract_images
    from assistant.attachments.paths_in_text import exists
    from assistant.messages import user

    loader = ImageLoader.from_settings(choices.settings)
    attached = []
    for image in images:
        if image == "-":
            # One byte more than may be, so that an endless stream is refused for its size and not waited for.
            data = read_input(MAX_BYTES + 1)
            attached.append(loader.load_bytes(data, "standard input"))
        else:
            attached.append(loader.load(image))
    for picture in attached:
        for notice in picture.notices:
            note(notice)
    for source in extract_images(prompt).sources:
        if source not in images and exists(source):
            note(f"{source} is only named in the prompt: attach it with -i {source} to have it looked at.")
    return user(prompt, *(picture.image for picture in attached))


def _start(choices: ChatOptions) -> "Session":
    from parley.factory.session import start_session

    with ProgressLine() as progress:
        return start_session(choices.settings, progress, resume=choices.resume, save=choices.save)


def _answer(session: "Session", message: "Message", notices: list[str] | None) -> bool:
    """Run the turn; with `notices`, collect them for one JSON object instead of streaming. True if all is saved."""
    import asyncio

    from parley.cli.transcript_printer import TranscriptPrinter, warn_if_unsaved

    with asyncio.Runner() as runner:
        if notices is None:
            with warn_if_unsaved(session, notify) as notify_once:
                runner.run(TranscriptPrinter(write_out, notify_once).run(session, message))
        else:
            try:
                with warn_if_unsaved(session, notices.append) as notify_once:
                    printer = TranscriptPrinter(lambda _: None, notify_once)
                    runner.run(printer.run(session, message))
            finally:
                # Also after Ctrl-C or a failure half-way: what has been said so far is still an answer.
                if printer.reply_text or printer.finished:
                    _print_json(session, printer, notices)
                else:
                    for notice in notices:
                        notify(notice)
        runner.run(session.close())
    return session.save_error is None


def _print_json(session: "Session", printer: "TranscriptPrinter", notices: list[str]) -> None:
    info, usage = session.model.info, printer.usage
    write_out(
        json.dumps(
            {
                "answer": printer.reply_text,
                "model": info.name,
                "device": info.device,
                "quantization": info.quantization,
                "prompt_tokens": usage.prompt_tokens,
                "cached_tokens": usage.cached_tokens,
                "reply_tokens": usage.reply_tokens,
                "seconds_to_first_token": round(usage.first_token_seconds, 3),
                "tokens_per_second": round(usage.tokens_per_second, 2),
                "interrupted": not printer.finished,
                "notices": notices,
            },
            ensure_ascii=False,
        )
        + "\n"
    )
