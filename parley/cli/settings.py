"""`parley config` and `parley completion`."""

import click

from assistant.text_cleaning import clean_line, to_json
from parley.cli.options import load_settings
from parley.cli.terminal import write_out


@click.command()
@click.pass_context
def config(ctx: click.Context) -> None:
    """Show every setting in force, and where it came from."""
    from assistant.config_file import default_config_file
    from assistant.settings import SAMPLING

    settings, origins = load_settings(ctx)
    width = max(map(len, origins))
    for name, origin in origins.items():
        shown = _shown(getattr(settings, name), "as the model's makers set it" if name in SAMPLING else "None")
        write_out(f"{name:{width}}  {clean_line(shown, 300):32}  {origin}\n")
    write_out(f"\nThe file is {ctx.find_root().params['config'] or default_config_file()}\n")


def _shown(value: object, unset: str) -> str:
    if value is None:
        return unset
    if not isinstance(value, tuple):
        return str(value)
    return ", ".join(part if part.isprintable() else to_json(part) for part in value) or "none"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
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
    write_out(completer(ctx.find_root().command, {}, "parley", "_PARLEY_COMPLETE").source() + "\n")
