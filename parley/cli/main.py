"""`parley` itself: opens the chat, as an app on a terminal and line by line elsewhere, and lists all commands."""

import os
import sys
from typing import Any

import click

from assistant import __version__
from assistant.stderr import reserve_stderr
from parley.cli.ask import ask
from parley.cli.devices import devices
from parley.cli.doctor import doctor
from parley.cli.evaluate import evaluate
from parley.cli.group import SKILLS_SECTION, ParleyGroup
from parley.cli.history import history
from parley.cli.licenses import licences
from parley.cli.models import models, pull_bundled
from parley.cli.options import ChatOptions, chat_options, config_option, resolve_options
from parley.cli.progress import ProgressLine
from parley.cli.settings import completion, config
from parley.cli.skills import list_skills
from parley.cli.speak import speak
from parley.cli.terminal import ensure_terminal_size, is_terminal, notify, read_lines, write_out
from parley.cli.transcribe import transcribe
from parley.cli.voice import voice


@click.group(
    "parley", cls=ParleyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@chat_options
@config_option
@click.version_option(__version__, "--version", "-V", prog_name="parley", message="%(prog)s %(version)s")
@click.pass_context
def root(ctx: click.Context, /, **options: Any) -> None:
    """A private assistant on your own machine: talk about pictures.

    Without a command it opens the chat. If standard input is not a terminal, each line of it is one turn, and the
    replies go to standard output.
    """
    if ctx.invoked_subcommand is not None:
        return
    chosen = resolve_options(ctx, options)
    if is_terminal(sys.stdin, sys.stdout) and os.environ.get("TERM") != "dumb":
        _open_app(chosen)
    else:
        _run_line_mode(chosen)


root.add_section("Chat", ask)
root.add_section("Voice", voice, transcribe, speak, devices)
root.add_section(SKILLS_SECTION, list_skills, evaluate)
root.add_section("Models", models, pull_bundled)
root.add_section("History", history)
root.add_section("Settings", config, doctor, completion, licences)


def _open_app(chosen: ChatOptions) -> None:
    from parley.factory.session import start_session
    from parley.factory.voice import build_voice_session

    ensure_terminal_size()
    from assistant.attachments.images import ImageLoader
    from tui.app import ParleyApp

    settings, resume, save = chosen
    notices: list[str] = []  # of all attempts: starting may fail and be tried again
    app = ParleyApp(
        lambda progress: start_session(settings, progress, resume=resume, save=save, notices=notices),
        build_voice_session=lambda progress: build_voice_session(settings, progress),
        image_loader=ImageLoader.from_settings(settings),
        folder=settings.data_dir if save else None,
    )
    with reserve_stderr():
        app.run()
    for notice in app.exit_notices:
        notify(notice)
    if app.unsent_text:
        notify("What you have not sent:")
        write_out(f"{app.unsent_text}\n")
    sys.exit(app.return_code)


def _run_line_mode(chosen: ChatOptions) -> None:
    from assistant.attachments.images import ImageLoader
    from parley.cli.chat import run_repl
    from parley.factory.session import start_session

    settings, resume, save = chosen
    with ProgressLine() as progress:
        session = start_session(settings, progress, resume=resume, save=save)
    if not run_repl(read_lines(), session, write_out, notify, ImageLoader.from_settings(settings)):
        sys.exit(1)
