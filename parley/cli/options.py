"""Options that `parley` and its commands share, and the settings that follow from them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from parley.cli.parameter_types import SettingParam, TextParam
from parley.cli.terminal import notify

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from assistant.history.store import History
    from assistant.settings import LoadedSettings, Settings

Function = TypeVar("Function", bound=Callable[..., Any])

_VARIABLES_CHECKED = "parley.variables_checked"


SETTINGS_OPTIONS = {
    "model": click.option(
        "--model",
        "-m",
        metavar="MODEL",
        help="auto, pocket, one of `parley models`, a folder, a .gguf file, a hub or server id, SERVER/MODEL.",
    ),
    "device": click.option("--device", type=SettingParam("device"), help="auto, cpu, mps, xpu, cuda or cuda:1."),
    "quantize": click.option(
        "--quantize",
        type=SettingParam("quantize", "auto", "none", "int8", "nf4", "bf16", "fp16"),
        help="How weights are stored.",
    ),
    "compile": click.option(
        "--compile", type=SettingParam("compile", "auto", "on", "off"), help="Whether decoding is compiled."
    ),
    "detail": click.option(
        "--detail", type=SettingParam("detail", "auto", "low", "high"), help="Resolution at which images are read."
    ),
    "system": click.option(
        "--system", "-s", type=TextParam(), metavar="TEXT", help="Instructions for the whole conversation."
    ),
    "max_tokens": click.option(
        "--max-tokens", type=SettingParam("max_tokens"), metavar="N", help="Longest reply, in tokens."
    ),
    "temperature": click.option(
        "--temperature", type=SettingParam("temperature"), metavar="T", help="0 always takes the likeliest token."
    ),
    "top_p": click.option(
        "--top-p",
        type=SettingParam("top_p"),
        metavar="P",
        help="Sample from the likeliest tokens with this probability together.",
    ),
    "top_k": click.option(
        "--top-k", type=SettingParam("top_k"), metavar="K", help="Sample from so many of the likeliest tokens."
    ),
    "min_p": click.option(
        "--min-p",
        type=SettingParam("min_p"),
        metavar="P",
        help="Sample from tokens with this share of the likeliest one's probability.",
    ),
    "repetition_penalty": click.option(
        "--repetition-penalty",
        type=SettingParam("repetition_penalty"),
        metavar="X",
        help="Against repetition; 1 is none.",
    ),
    "presence_penalty": click.option(
        "--presence-penalty",
        type=SettingParam("presence_penalty"),
        metavar="X",
        help="Against words used before; 0 is none.",
    ),
    "reasoning": click.option(
        "--reasoning",
        type=SettingParam("reasoning", "show", "hide", "off"),
        help="What a model thinks before its reply: shown, hidden, or none asked for.",
    ),
    "stop": click.option(
        "--stop",
        type=TextParam(),
        multiple=True,
        callback=lambda ctx, param, value: value or None,  # noqa: ARG005 - click passes them
        metavar="TEXT",
        help="End the reply before this text; may be repeated.",
    ),
    "seed": click.option("--seed", type=SettingParam("seed"), metavar="N", help="Make sampling repeatable."),
    "allow_urls": click.option(
        "--allow-urls/--no-urls", default=None, help="Whether images may be downloaded from the web."
    ),
    "backend": click.option(
        "--backend",
        type=SettingParam("backend", "auto", "local", "remote"),
        help="Where the model runs: this program or a server.",
    ),
    "base_url": click.option(
        "--base-url", metavar="URL", help="Server with OpenAI's API, like http://localhost:8000/v1."
    ),
    "openai_env": click.option(
        "--openai-env/--no-openai-env",
        default=None,
        help="Use OPENAI_BASE_URL and OPENAI_API_KEY, or OpenAI's own server.",
    ),
}
"""The options of the settings for models and sampling, by the name of the setting. Voice commands have their own."""


def complete_conversation(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click passes it by name
    incomplete: str,
) -> list["CompletionItem"]:
    """Complete the id of a conversation; titles are shown beside the ids."""
    from click.shell_completion import CompletionItem

    from parley.factory.session import open_history

    return [
        CompletionItem(summary.id, help=summary.title)
        for summary in open_history(load_settings(ctx).settings).list()
        if summary.id.startswith(incomplete)
    ]


CONVERSATION_OPTIONS = (
    click.option("--continue", "-c", "resume_latest", is_flag=True, help="Continue the latest conversation."),
    click.option(
        "--conversation", metavar="ID", help="Continue this conversation.", shell_complete=complete_conversation
    ),
    click.option("--no-history", is_flag=True, help="Save nothing of this conversation."),
)


def chat_options(command: Function) -> Function:
    """Add the options for model, sampling and conversation to `command`."""
    for option in reversed((*SETTINGS_OPTIONS.values(), *CONVERSATION_OPTIONS)):
        command = option(command)
    return command


class ChatOptions(NamedTuple):
    """Options for a conversation.

    Attributes:
        settings: Settings in force, with the instructions of the conversation to continue.
        resume: Id of the conversation to continue, or None for a new one.
        save: Whether turns are saved to the history.
    """

    settings: "Settings"
    resume: str | None
    save: bool


def load_settings(ctx: click.Context, own: dict[str, Any] | None = None) -> "LoadedSettings":
    """Return the settings in force: from the command's `own` options, else from those before it, environment, file."""
    from assistant.settings import Settings, load, unknown_variables

    given = _merge_options(ctx, own or {})
    if not ctx.resilient_parsing and not ctx.find_root().meta.setdefault(_VARIABLES_CHECKED, False):
        ctx.find_root().meta[_VARIABLES_CHECKED] = True
        for sentence in unknown_variables():
            notify(sentence)
    return load(
        {name: value for name, value in given.items() if name in Settings.model_fields},
        ctx.find_root().params.get("config"),
    )


def resolve_options(ctx: click.Context, own: dict[str, Any]) -> ChatOptions:
    """Evaluate the conversation options.

    Raises:
        UsageError: Two options contradict each other.
        ConfigError: A setting has no valid value.
        HistoryError: There is no such conversation.
    """
    given = _merge_options(ctx, own)
    id_prefix, latest = given.get("conversation"), given.get("resume_latest")
    if id_prefix is not None and latest:
        raise click.UsageError("--continue and --conversation name two conversations: give one of them.", ctx)
    settings = load_settings(ctx, own).settings
    resume = None
    if latest or id_prefix is not None:
        # Looked up now, so that a mistyped id is reported before the model is loaded.
        from parley.factory.session import find_conversation

        with history_with_notices(settings) as (history, _):
            resume = find_conversation(history, id_prefix)
            if settings.system is None:
                # Speech recognition is told of the names in them, as well as the model.
                settings = settings.model_copy(update={"system": history.instructions(resume)})
    return ChatOptions(settings, resume, save=not given.get("no_history"))


@contextmanager
def history_with_notices(settings: "Settings") -> "Iterator[tuple[History, list[str]]]":
    """Open the history for the block, and print its notices, which the second value collects, afterwards."""
    from parley.factory.session import open_history

    notices: list[str] = []
    try:
        yield open_history(settings, notices.append), notices
    finally:
        for notice in notices:
            notify(notice)


def _merge_options(ctx: click.Context, own: dict[str, Any]) -> dict[str, Any]:
    """Return the options before the command, overridden by the command's own. An unset flag counts as not given."""
    return {
        name: value
        for options in (ctx.find_root().params, own)
        for name, value in options.items()
        if value is not None and (value or name in {"allow_urls", "openai_env"} or not isinstance(value, bool))
    }


config_option = click.option(
    "--config",
    type=click.Path(readable=False, path_type=Path),
    envvar="PARLEY_CONFIG",
    help="TOML file with settings.",
)


def accept_config(command: click.Command) -> click.Command:
    """Let `command`, and every command below it, take `--config` after its name as well. Returns `command`."""

    def keep(ctx: click.Context, param: click.Parameter, file: Path | None) -> None:  # noqa: ARG001 - click passes them
        if file is not None:
            ctx.find_root().params["config"] = file

    if not any(param.name == "config" for param in command.params):
        command.params.append(
            click.Option(
                ["--config"],
                type=click.Path(readable=False, path_type=Path),
                expose_value=False,
                callback=keep,
                help="TOML file with settings.",
            )
        )
    if isinstance(command, click.Group):
        for below in command.commands.values():
            accept_config(below)
    return command


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""For every command that prints data."""
