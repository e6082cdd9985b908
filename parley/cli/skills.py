"""A command for every skill, made from its signature, and `parley skills`, which lists them."""

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assistant.generation_rules import NumberRange
from assistant.text_cleaning import clean_text
from parley.cli.options import SETTINGS_OPTIONS, as_json_option
from parley.cli.parameter_types import ChoiceParam, NumberParam, TextParam
from parley.cli.suggestions import is_picture, is_picture_file, shorten
from parley.cli.terminal import notify, write_json, write_out
from skills import registry
from skills.slash_arguments import usage

if TYPE_CHECKING:
    from skills.definition import Skill
    from skills.parameters import Parameter

_MODEL_SETTINGS = ("model", "device", "quantize", "compile", "detail", "backend", "base_url", "openai_env")
_JOBS_OPTION = click.option(
    "--jobs",
    type=NumberParam(NumberRange(1, 256, whole=True)),
    help="How many at a time, for a server or the bundled model. [default: 1 of a server, else what suits]",
)
_BATCH_OPTIONS = (
    click.option(
        "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON lines to this file, one per file."
    ),
    click.option("--resume", is_flag=True, help="Continue that file: skip the files it contains."),
    click.option("--retry-errors", is_flag=True, help="Continue that file, and try again the files that failed."),
    click.option(
        "--on-error",
        type=ChoiceParam(["skip", "stop"]),
        default="skip",
        show_default=True,
        help="What to do after a file that failed.",
    ),
)
_BATCH_FILE_OPTIONS = (
    click.option(
        "--batch-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write the questions to the model to this OpenAI batch file, and ask nobody.",
    ),
    click.option(
        "--from-batch",
        type=click.Path(dir_okay=False, path_type=Path),
        multiple=True,
        help="Take the answers from this output of a batch API; may be repeated.",
    ),
)


class _SkillCommand(click.Command):
    def get_help(self, ctx: click.Context) -> str:
        """Return the help text, cleaned: it may be that of another package."""
        return clean_text(super().get_help(ctx))


def skill_command(name: str) -> click.Command:
    """Return the command that runs the skill `name`. Raises `SkillError` if the skill cannot be used."""
    from parley.cli.batch import FILES, run_skill

    skill = registry.find(name)
    file_types = [media_type for media_type in skill.by_media_type if media_type != "text"]
    takes_many = bool(file_types)
    required = [parameter for parameter in skill.parameters if not parameter.is_option]

    def run(ctx: click.Context, /, **options: Any) -> None:
        if any(options[parameter.name] in (None, ()) for parameter in required):
            *others, last = [_metavar(parameter, takes_many=takes_many) for parameter in required]
            missing = (
                f"{', '.join(others)} and {last} have to be given, in this order." if others else f"{last} is missing."
            )
            raise click.UsageError(missing, ctx)
        if takes_many and (mistake := _mistaken_order(name, required, options)):
            raise click.UsageError(mistake, ctx)
        if not run_skill(ctx, skill, options):
            ctx.exit(1)

    decorators: list[Callable[[Any], Any]] = [
        _click_parameter(parameter, takes_many=takes_many) for parameter in skill.parameters
    ]
    if takes_many and not required:
        decorators.append(click.argument(FILES, nargs=-1, metavar="[FILE]..."))
    decorators.append(as_json_option)
    if takes_many:
        decorators += _BATCH_OPTIONS
        # Emotion models are used by one thread at a time.
        decorators += () if skill.needs_emotion_models else (_JOBS_OPTION,)
        decorators += _BATCH_FILE_OPTIONS if skill.needs_model else ()
    needs_any_model = skill.needs_model or skill.needs_emotion_models
    decorators += [SETTINGS_OPTIONS[each] for each in (*(_MODEL_SETTINGS if needs_any_model else ()), "allow_urls")]
    decorated: Any = click.pass_context(run)
    for decorator in reversed(decorators):
        decorated = decorator(decorated)
    what = "Pictures" if file_types == ["photo"] else "Files"
    files = f"\n\n{what} are paths, folders or quoted patterns; - reads a list of them from standard input."
    help_text = f"{skill.summary}\n\n{skill.description}{files if takes_many else ''}"
    return click.command(name, help=help_text, cls=_SkillCommand)(decorated)


def _mistaken_order(name: str, required: "Sequence[Parameter]", options: dict[str, Any]) -> str:
    """Return what is wrong if the last argument is a picture in the place of a text, or an empty string."""
    if [parameter.kind for parameter in required] != ["photo", "text"]:
        return ""
    pictures, text = options[required[0].name], options[required[1].name]
    if not is_picture_file(text):
        return ""
    if any(is_picture(each) or os.path.lexists(each) for each in pictures):
        return f"The {required[1].name} is missing: it follows the pictures."
    words = shlex.quote(shorten(" ".join(pictures)))
    return f"The picture comes first: parley {name} {shlex.quote(shorten(text))} {words}"


@click.command("skills")
@as_json_option
@click.pass_context
def list_skills(ctx: click.Context, as_json: bool) -> None:
    """List the skills with their parameters.

    Each is a command of `parley`. In a conversation, a line that starts with / and its name calls it.
    """
    skills, notices = registry.all_skills()
    root = ctx.find_root().command
    command_names = root.commands if isinstance(root, click.Group) else {}
    notices += [
        f"The skill {skill.name} cannot be a command, because parley has one of that name; /{skill.name} works."
        for skill in skills
        if skill.name in command_names
    ]
    if as_json:
        write_json([_describe(skill) for skill in skills], indent=2)
    else:
        for skill in skills:
            write_out(f"{usage(skill)}\n    {skill.summary}\n")
    for notice in notices:
        notify(notice)


def _metavar(parameter: "Parameter", *, takes_many: bool) -> str:
    return f"{parameter.name.upper()}{'...' if takes_many and parameter.kind == 'photo' else ''}"


def _click_parameter(parameter: "Parameter", *, takes_many: bool) -> Callable[[Any], Any]:
    """Return the click decorator for a parameter. Numbers stay text: pydantic validates them later."""
    if not parameter.is_option:
        return click.argument(
            parameter.name,
            nargs=-1 if takes_many and parameter.kind == "photo" else 1,
            # click would call the photo of `vqa photo.jpg` missing, since it fills the last argument first.
            required=False,
            type=None if parameter.kind in ("photo", "sound") else TextParam(),
            metavar=_metavar(parameter, takes_many=takes_many),
        )
    attributes: dict[str, Any]
    match parameter.kind:
        case "flag":
            attributes = {"is_flag": True, "default": None, "help": parameter.help}
        case "choice":
            help_text = _with_default(parameter)
            attributes = {"type": ChoiceParam(parameter.choices), "default": None, "help": help_text}
        case "texts":
            help_text = f"{parameter.help} May be repeated.".strip()
            attributes = {"multiple": True, "type": TextParam(), "metavar": "TEXT", "help": help_text}
        case "photo" | "sound":
            attributes = {"metavar": "PATH", "help": parameter.help}
        case "text":
            attributes = {"type": TextParam(), "metavar": "TEXT", "help": parameter.help}
        case _:
            attributes = {"metavar": "N", "help": _with_default(parameter)}
    return click.option(parameter.option, parameter.name, **attributes)


def _with_default(parameter: "Parameter") -> str:
    if parameter.default is None:
        return parameter.help
    return f"{parameter.help}  [default: {parameter.default}]".strip()


def _describe(skill: "Skill[..., Any]") -> dict[str, Any]:
    inputs = [
        {
            "name": parameter.name,
            "kind": parameter.kind,
            "required": not parameter.is_option,
            **({"choices": parameter.choices} if parameter.choices else {}),
            "help": parameter.help,
        }
        for parameter in skill.parameters
    ]
    fields = [*skill.result_type.model_fields, *skill.result_type.model_computed_fields]
    return {"name": skill.name, "summary": skill.summary, "inputs": inputs, "result": fields}
