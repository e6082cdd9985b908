"""`parley ask`: answer one question, streamed to standard output or as one JSON object."""

import sys
from typing import TYPE_CHECKING, Any

import click

from parley.cli.options import ChatOptions, chat_options, resolve_options
from parley.cli.progress import ProgressLine
from parley.cli.suggestions import ask_command, is_picture_file
from parley.cli.terminal import (
    decode_argument,
    has_piped_input,
    is_terminal,
    notify,
    read_input,
    read_text,
    write_json,
    write_out,
    write_reasoning,
)

if TYPE_CHECKING:
    from assistant.conversation.session import Session
    from assistant.messages import Message
    from assistant.progress import OnNotice
    from parley.cli.transcript_printer import TranscriptPrinter


@click.command()
@click.argument("words", nargs=-1, metavar="PROMPT")
@click.option("--image", "-i", "images", multiple=True, metavar="PATH", help="Image to ask about; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the answer alone.")
@chat_options
@click.pass_context
def ask(ctx: click.Context, /, words: tuple[str, ...], images: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Answer one question, about pictures given with -i.

    The answer to PROMPT goes to standard output as it is written. A `-` reads the prompt, or one picture, from
    standard input, and so does a pipe without PROMPT.
    """
    if "" in images:
        raise click.UsageError("The path of a picture is empty: name a file.", ctx)
    if len(words) > 1:
        command = ask_command([*images, *words])
        raise click.UsageError(f"The prompt is one argument, and pictures follow -i: {command}", ctx)
    if [*words, *images].count("-") > 1:
        raise click.UsageError("Standard input can be the prompt or one picture: give - once.", ctx)
    prompt = _read_prompt(ctx, words, images)
    chosen = resolve_options(ctx, options)
    notices: list[str] = []
    if "-" not in (*words, *images) and words and has_piped_input():
        (notices.append if as_json else notify)("Standard input is not read: give - in place of the prompt for that.")
    # Images are loaded before the model, so that an error in one is reported at once.
    message = _build_message(prompt.strip(), images, chosen, notices.append if as_json else notify)
    session = _start_session(chosen)
    if not _answer(session, message, notices if as_json else None):
        ctx.exit(1)


def _read_prompt(ctx: click.Context, words: tuple[str, ...], images: tuple[str, ...]) -> str:
    """Return the prompt, from standard input if it is - or missing. Raises `UsageError` if it cannot be one."""
    from assistant.conversation.commands import parse_help_command
    from assistant.conversation.model_command import parse_model_command
    from assistant.conversation.set_command import parse_set_command

    if not words and ("-" in images or is_terminal(sys.stdin)):
        raise click.UsageError(f"The prompt is missing: say what you want to know, as in {ask_command(images)}", ctx)
    if not words or words[0] == "-":
        prompt = read_text()
    elif is_picture_file(words[0]):
        command = ask_command([*words, *images])
        raise click.UsageError(f"The prompt is a picture: ask something about it, as in {command}", ctx)
    else:
        prompt = decode_argument(words[0])
    if not prompt.strip():
        raise click.UsageError("The prompt is empty: say what you want to know.", ctx)
    if parse_model_command(prompt) is not None:
        raise click.UsageError("/model changes the model of an open conversation: name it here with --model.", ctx)
    if parse_set_command(prompt) is not None:
        raise click.UsageError("/set is for an open conversation: give options, as in --temperature 0.7.", ctx)
    if parse_help_command(prompt) is not None:
        raise click.UsageError("/help is for an open conversation: `parley skills` lists what there is.", ctx)
    return prompt


def _build_message(prompt: str, images: tuple[str, ...], chosen: ChatOptions, on_notice: "OnNotice") -> "Message":
    from assistant.attachments.images import MAX_BYTES, ImageLoader
    from assistant.attachments.typed_text import named_files
    from assistant.messages import user

    loader = ImageLoader.from_settings(chosen.settings)
    loaded_images = []
    for image in images:
        if image == "-":
            # One byte over the limit is enough to refuse an endless stream for its size.
            data = read_input(MAX_BYTES + 1)
            loaded_images.append(loader.load_bytes(data, "standard input"))
        else:
            loaded_images.append(loader.load(image))
    for loaded in loaded_images:
        for notice in loaded.notices:
            on_notice(notice)
    for source in named_files(prompt):
        if source not in images:
            on_notice(f"{source} is only named in the prompt: attach it with -i {source} to have it looked at.")
    return user(prompt, *(loaded.image for loaded in loaded_images))


def _start_session(chosen: ChatOptions) -> "Session":
    from parley.factory.session import start_session

    with ProgressLine() as progress:
        return start_session(chosen.settings, progress, resume=chosen.resume, save=chosen.save)


def _answer(session: "Session", message: "Message", notices: list[str] | None) -> bool:
    """Run the turn and print the answer.

    Args:
        session: The conversation.
        message: The user's message.
        notices: Print one JSON object at the end, with these notices and those of the turn; None streams the answer.

    Returns:
        True if the turn is saved.
    """
    import asyncio

    from parley.cli.signals import run
    from parley.cli.transcript_printer import TranscriptPrinter, hold_reply, warn_if_unsaved

    with asyncio.Runner() as runner:
        if notices is None:
            with warn_if_unsaved(session, notify) as notify_once:
                printer = TranscriptPrinter(
                    write_out, notify_once, write_reasoning=write_reasoning, hold_reply=hold_reply(session.model)
                )
                run(runner, printer.run(session, message))
        else:
            try:
                with warn_if_unsaved(session, notices.append) as notify_once:
                    printer = TranscriptPrinter(lambda _: None, notify_once)
                    run(runner, printer.run(session, message))
            finally:
                # Also after Ctrl-C, a signal or an error: a partial reply is still an answer.
                if printer.reply_text or printer.finished:
                    _print_json(session, printer, notices)
                else:
                    for notice in notices:
                        notify(notice)
        run(runner, session.close())
    return session.save_error is None


def _print_json(session: "Session", printer: "TranscriptPrinter", notices: list[str]) -> None:
    info, usage = session.model.info, printer.usage
    write_json(
        {
            "answer": printer.reply_text,
            **({"reasoning": printer.reasoning.strip()} if printer.reasoning else {}),
            "model": info.name,
            "device": info.device,
            "quantization": info.quantization,
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "reply_tokens": usage.reply_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "seconds_to_first_token": round(usage.first_token_seconds, 3),
            "tokens_per_second": round(usage.tokens_per_second, 2),
            "interrupted": not printer.finished,
            "notices": notices,
        }
    )
