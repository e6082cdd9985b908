"""The group of all commands: errors become a line and an exit code, skills become commands, help is grouped."""

from typing import TYPE_CHECKING, Any

import click

from assistant.errors import ConfigError, ParleyError, SkillUsageError
from parley.cli import INTERRUPTED
from parley.cli.terminal import discard_output, notify, replace_undecodable, silence_libraries

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

CLOSED_PIPE = 141
"""Exit code when the reader of standard output has gone: 128 plus the number of SIGPIPE, as in shells."""

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

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Errors end in one line on standard error and an exit code."""
        replace_undecodable()
        silence_libraries()
        try:
            return super().invoke(ctx)
        except ParleyError as error:
            notify(str(error))
            # 2 is click's exit code for usage errors.
            ctx.exit(2 if isinstance(error, ConfigError | SkillUsageError) else 1)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            discard_output()
            ctx.exit(CLOSED_PIPE)
        except OSError as error:
            # In practice standard output on a full disk: code that opens files translates its own errors.
            discard_output()
            what = f"{error.filename} cannot be used" if error.filename else "The output cannot be written"
            notify(f"{what}: {error.strerror or error}.")
            ctx.exit(1)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or the one made from the skill of that name."""
        if (command := super().get_command(ctx, cmd_name)) is not None:
            return command
        from skills import registry

        if cmd_name not in registry.names():
            return None
        from parley.cli.skills import skill_command

        return skill_command(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. A question in the place of a command is answered with how to ask it."""
        if args and " " in args[0] and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"{args[0]!r} is no command. To ask it: parley ask {args[0]!r}")
        return super().resolve_command(ctx, args)

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
