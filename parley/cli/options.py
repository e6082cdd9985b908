"""The options that `parley` and its commands share, and what they come to together with environment and file."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from parley.cli.terminal import decode_argument, notify

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from assistant.history.store import History
    from assistant.settings import LoadedSettings, Settings

Function = TypeVar("Function", bound=Callable[..., Any])


class DeviceParam(click.ParamType[str]):
    """A place to run on; checked here so that a mistyped one is a matter of usage, told before anything is loaded."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(value)):
            self.fail(f"{value!r} is no device: choose auto, cpu, mps, cuda or cuda:1.", param, ctx)
        return str(value)


class TextParam(click.ParamType[str]):
    """Text for the model."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        return decode_argument(str(value))


SETTINGS_OPTIONS = (
    click.option(
        "--model", "-m", metavar="MODEL", help="auto, pocket, a name of `parley models`, a folder, a hub or server id."
    ),
    click.option("--device", type=DeviceParam(), help="auto, cpu, mps, cuda or cuda:1."),
    click.option(
        "--quantize", type=click.Choice(["auto", "none", "int8", "nf4", "bf16", "fp16"]), help="How weights are held."
    ),
    click.option("--compile", type=click.Choice(["auto", "on", "off"]), help="Whether decoding is compiled."),
    click.option("--detail", type=click.Choice(["auto", "low", "high"]), help="How closely pictures are looked at."),
    click.option(
        "--system", "-s", type=TextParam(), metavar="TEXT", help="Instructions that stand before the conversation."
    ),
    click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="The longest reply, in tokens."),
    click.option("--temperature", type=click.FloatRange(0, 2), metavar="T", help="0 takes the likeliest word, always."),
    click.option("--seed", type=click.IntRange(min=0, max=2**63 - 1), metavar="N", help="Makes sampling repeatable."),
    click.option("--allow-urls/--no-urls", default=None, help="Whether pictures may be fetched from the web."),
    click.option("--backend", type=click.Choice(["auto", "local", "remote"]), help="Who runs the model."),
    click.option("--base-url", metavar="URL", help="A server with OpenAI's API, like http://localhost:8000/v1."),
)
SETTINGS_NAMES = (
    *("model", "device", "quantize", "compile", "detail", "system", "max_tokens", "temperature", "seed"),
    *("allow_urls", "backend", "base_url"),
)
VOICE_NAMES = (
    *("whisper", "voice", "language"),
    *("microphone", "speaker", "headphones", "empathy", "call_log", "keep_audio"),
)
"""Settings that only the commands for speech have options for."""


def complete_conversation(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click passes it by name
    incomplete: str,
) -> list["CompletionItem"]:
    """Ids of conversations that begin with what was typed, with their titles."""
    from click.shell_completion import CompletionItem

    from parley.factory.session import open_history

    return [
        CompletionItem(summary.id, help=summary.title)
        for summary in open_history(load_settings(ctx).settings).list()
        if summary.id.startswith(incomplete)
    ]


CONVERSATION_OPTIONS = (
    click.option("--continue", "-c", "resume_latest", is_flag=True, help="Go on with the latest conversation."),
    click.option(
        "--conversation", metavar="ID", help="Go on with this conversation.", shell_complete=complete_conversation
    ),
    click.option("--no-history", is_flag=True, help="Leave no trace of this conversation."),
)


def chat_options(command: Function) -> Function:
    """Give `command` the options that say which model answers, how, and in which conversation."""
    for option in reversed((*SETTINGS_OPTIONS, *CONVERSATION_OPTIONS)):
        command = option(command)
    return command


class ChatOptions(NamedTuple):
    """What the options come to: `resume` is the id of the conversation to go on with, `keep` whether to save turns."""

    settings: "Settings"
    resume: str | None
    keep: bool


def load_settings(ctx: click.Context, own: dict[str, Any] | None = None) -> "LoadedSettings":
    """Settings in force: a command's `own` options, then those given before the command, environment and file."""
    from assistant.settings import load

    given = _merge_options(ctx, own or {})
    return load(
        {name: given.get(name) for name in (*SETTINGS_NAMES, *VOICE_NAMES)}, ctx.find_root().params.get("config")
    )


def resolve_options(ctx: click.Context, own: dict[str, Any]) -> ChatOptions:
    """Everything that the conversation options decide. Raises `UsageError`, `ConfigError` and `HistoryError`."""
    given = _merge_options(ctx, own)
    wanted, latest = given.get("conversation"), given.get("resume_latest")
    if wanted is not None and latest:
        raise click.UsageError("--continue and --conversation name two conversations: give one of them.", ctx)
    settings = load_settings(ctx, own).settings
    resume = None
    if latest or wanted is not None:
        # Looked up now, so that a mistyped id is told before the model is loaded.
        from parley.factory.session import find_conversation

        with history_with_notices(settings) as history:
            resume = find_conversation(history, wanted)
    return ChatOptions(settings, resume, keep=not given.get("no_history"))


@contextmanager
def history_with_notices(settings: "Settings") -> "Iterator[History]":
    """The conversations on this machine, to be asked in the block; what is to be known about them is told after it."""
    from parley.factory.session import open_history

    history = open_history(settings)
    try:
        yield history
    finally:
        for notice in history.notices:
            notify(notice)


def _merge_options(ctx: click.Context, own: dict[str, Any]) -> dict[str, Any]:
    """Options given before the command, under the command's own. A flag that is not raised counts as not given."""
    return {
        name: value
        for options in (ctx.find_root().params, own)
        for name, value in options.items()
        if value is not None and (value or name == "allow_urls" or not isinstance(value, bool))
    }


config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="PARLEY_CONFIG",
    help="The TOML file with settings.",
)
