"""`parley config` and `parley completion`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from assistant.text_cleaning import clean_line, to_json
from parley.cli.options import load_settings
from parley.cli.parameter_types import ChoiceParam
from parley.cli.terminal import write_out

if TYPE_CHECKING:
    from assistant.settings import Settings


@click.command()
@click.pass_context
def config(ctx: click.Context) -> None:
    """Show every setting in force, and where it came from."""
    from assistant.config_file import default_config_file

    settings, origins = load_settings(ctx)
    width = max(map(len, origins))
    unset = _unset_options(settings)
    for name, origin in origins.items():
        shown = _shown(getattr(settings, name), unset.get(name, "None"))
        write_out(f"{name:{width}}  {clean_line(shown, 300):32}  {origin}\n")
    write_out(f"\nThe file is {ctx.find_root().params['config'] or default_config_file()}\n")


def _unset_options(settings: "Settings") -> dict[str, str]:
    """Return words for the options of sampling that are not set."""
    from assistant.models.pocket.model import FAITHFUL
    from assistant.settings import SAMPLING
    from parley.factory.bundled import POCKET
    from parley.factory.models import is_remote

    words = dict.fromkeys(SAMPLING, "as the model's makers set it")
    if settings.model in ("auto", POCKET) and not is_remote(settings):
        for name, value in FAITHFUL.items():
            words[name] += f" ({POCKET} takes {value:g} while there is an image)"
    return words


def _shown(value: object, unset: str) -> str:
    if value is None:
        return unset
    if isinstance(value, Mapping):
        return ", ".join(f"{name} ({server.base_url})" for name, server in value.items()) or "none"
    if not isinstance(value, tuple):
        return str(value)
    return ", ".join(part if part.isprintable() else to_json(part) for part in value) or "none"


@click.command()
@click.argument("shell", type=ChoiceParam(["bash", "zsh", "fish"]))
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
