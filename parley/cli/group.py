"""The group of all commands: skills become commands, help is grouped, a mistyped command gets a suggestion."""

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from assistant.text_cleaning import clean_text
from parley.cli.exit_codes import exit_after_errors
from parley.cli.options import accept_config
from parley.cli.suggestions import ask_command, is_picture, shorten
from parley.cli.terminal import replace_undecodable, silence_libraries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

COMPLETION_VARIABLE = "_PARLEY_COMPLETE"
"""Set by the shell that asks for completions."""

SKILLS_SECTION = "Skills"
"""Section of the help in which skills are listed, before the commands of the section."""


class ParleyGroup(click.Group):
    """A click group whose commands are listed in sections, with a command for every skill.

    Every skill is a command unless a command of that name exists. Help lists skills without importing them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections: dict[str, list[click.Command]] = {}

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add commands and list them under `title`, in this order."""
        self._sections[title] = list(commands)
        for command in commands:
            self.add_command(command)

    # click's variants differ in what they return; this one never returns.
    def main(  # type: ignore[override]
        self, args: "Sequence[str] | None" = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run a command line and exit. Errors end in one line on standard error, after the usage if that is wrong."""
        replace_undecodable()
        silence_libraries()
        prog_name = prog_name or "parley"
        with exit_after_errors():
            if instruction := os.environ.get(COMPLETION_VARIABLE):
                from click.shell_completion import shell_complete

                sys.exit(shell_complete(self, extra, prog_name, COMPLETION_VARIABLE, instruction))
            with self.make_context(prog_name, sys.argv[1:] if args is None else list(args), **extra) as ctx:
                self.invoke(ctx)
        sys.exit(0)

    def get_help(self, ctx: click.Context) -> str:
        """Return the help text, cleaned: it quotes the skills of other packages."""
        return clean_text(super().get_help(ctx))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or the one made from the skill of that name."""
        if (command := super().get_command(ctx, cmd_name)) is not None:
            return accept_config(command)
        from skills import registry

        if cmd_name not in registry.names():
            return None
        from parley.cli.skills import skill_command

        return accept_config(skill_command(cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. A question or a picture in its place is answered with how to ask about it."""
        name = args[0]
        if name.startswith("-") or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        if " " in name or is_picture(name):
            raise click.UsageError(f"{shorten(name)!r} is no command. To ask about it: {ask_command(args)}", ctx)
        skills = [each for each, _ in _skill_summaries()]
        raise click.exceptions.NoSuchCommand(shorten(name), possibilities=[*self.commands, *skills], ctx=ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write one section of help per group of commands."""
        skill_rows = [(name, summary) for name, summary in _skill_summaries() if name not in self.commands]
        names = [*self.commands, *(name for name, _ in skill_rows)]
        # All sections are aligned alike. click keeps 6 columns for indentation and spacing.
        width = max(map(len, names))
        limit = formatter.width - width - 6
        for title, commands in self._sections.items():
            rows = [(command.name or "", command.get_short_help_str(limit)) for command in commands]
            if title == SKILLS_SECTION:
                rows = [*skill_rows, *rows]
            with formatter.section(title):
                formatter.write_dl([(f"{name:{width}}", summary) for name, summary in rows])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Complete the names of commands and skills."""
        from click.shell_completion import CompletionItem

        skills = [
            CompletionItem(name, help=summary)
            for name, summary in _skill_summaries()
            if name.startswith(incomplete) and name not in self.commands
        ]
        return [*super().shell_complete(ctx, incomplete), *skills]


def _skill_summaries() -> list[tuple[str, str]]:
    from skills import registry

    return [(name, registry.summary(name)) for name in registry.names()]
