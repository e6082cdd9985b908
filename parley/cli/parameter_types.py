"""Types of options and arguments. A wrong value is one sentence, in the words that settings have for theirs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from assistant.generation_rules import NumberRange, wrong_value
from parley.cli.terminal import decode_argument

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class TextParam(click.ParamType[str]):
    """Text for the model, as valid Unicode."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        return decode_argument(str(value))


class SettingParam(click.ParamType[Any]):
    """A value of a setting. The settings check it, here already: whatever the command, before anything is loaded."""

    name = "setting"

    def __init__(self, setting: str, *choices: str) -> None:
        """Create the type for `setting`; `choices` are listed in the help and completed."""
        self._setting = setting
        self._choices = choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ARG002
        from assistant.settings import parse_value

        return parse_value(self._setting, decode_argument(str(value)), _name(param))

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:  # noqa: ARG002 - click's signature
        return f"[{'|'.join(self._choices)}]" if self._choices else None

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        return [CompletionItem(choice) for choice in self._choices if choice.startswith(incomplete)]


class ChoiceParam(click.Choice[str]):
    """One of several words."""

    def __init__(self, choices: Sequence[str]) -> None:
        super().__init__(choices)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            *others, last = self.choices
            expected = f"{', '.join(others)} or {last}" if others else last
            raise wrong_value(_name(param), value, expected) from error


class NumberParam(click.ParamType[float]):
    """A number of a range."""

    name = "number"

    def __init__(self, numbers: NumberRange) -> None:
        self._numbers = numbers

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ARG002
        try:
            return self._numbers.parse(value) if isinstance(value, str) else value
        except ValueError as error:
            raise wrong_value(_name(param), value, self._numbers) from error


def _name(param: click.Parameter | None) -> str:
    """Return the long name of an option, or the name of an argument as help shows it."""
    if param is None:
        return "It"
    return max(param.opts, key=len) if isinstance(param, click.Option) else (param.name or "").upper()
