"""A command for every skill, made from what its signature says, and `parley skills`, which lists them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parley.cli.options import SETTINGS_NAMES, SETTINGS_OPTIONS, TextParam
from parley.cli.terminal import notify, write_out
from skills import registry

if TYPE_CHECKING:
    from skills.definition import Skill
    from skills.parameters import Parameter

_SHARED = dict(zip(SETTINGS_NAMES, SETTINGS_OPTIONS, strict=True))
_OF_MODELS = ("model", "device", "quantize", "compile", "detail", "backend", "base_url")
_JOBS = click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    help="How many at a time, for a server or the bundled model. [default: 1 of a server, else what suits]",
)
_BATCH_OPTIONS = (
    click.option(
        "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON to this file, a line for each."
    ),
    click.option("--resume", is_flag=True, help="Go on with that file: leave out what it has already."),
    click.option(
        "--retry-errors", is_flag=True, help="Go on with that file, and try those again that have an error in it."
    ),
    click.option(
        "--on-error",
        type=click.Choice(["skip", "stop"]),
        default="skip",
        show_default=True,
        help="What to do after one that fails.",
    ),
    _JOBS,
)


def skill_command(name: str) -> click.Command:
    """The command that runs the skill `name`. Raises `SkillError` if it cannot be used."""
    from parley.cli.batch import FILES, run_skill

    skill = registry.find(name)
    kinds = [kind for kind in skill.by_media_type if kind != "text"]
    many = bool(kinds)

    given_by_place = [each for each in skill.parameters if not each.is_option]

    def run(ctx: click.Context, /, **options: Any) -> None:
        if any(options[each.name] in (None, ()) for each in given_by_place):
            *first, last = [_placeholder(each, many=many) for each in given_by_place]
            missing = (
                f"{', '.join(first)} and {last} have to be given, in this order." if first else f"{last} is missing."
            )
            raise click.UsageError(missing, ctx)
        if not run_skill(ctx, skill, options):
            ctx.exit(1)

    decorators: list[Callable[[Any], Any]] = [_parameter(each, many=many) for each in skill.parameters]
    if many and all(each.is_option for each in skill.parameters):
        decorators.append(click.argument(FILES, nargs=-1, metavar="[FILE]..."))
    decorators.append(click.option("--json", "as_json", is_flag=True, help="Print JSON, a line for each file."))
    # One at a time is all that senses take.
    decorators += (
        [option for option in _BATCH_OPTIONS if not (skill.needs_emotion_models and option is _JOBS)] if many else ()
    )
    asks = skill.needs_model or skill.needs_emotion_models
    decorators += [_SHARED[each] for each in (*(_OF_MODELS if asks else ()), "allow_urls")]
    decorated: Any = click.pass_context(run)
    for decorator in reversed(decorators):
        decorated = decorator(decorated)
    what = "Pictures" if kinds == ["photo"] else "Files"
    files = f"\n\n{what} are paths, folders or quoted patterns; - reads a list of them from standard input."
    described = f"{skill.summary}\n\n{skill.description}{files if many else ''}"
    return click.command(name, help=described)(decorated)


@click.command("skills")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a list.")
@click.pass_context
def list_skills(ctx: click.Context, as_json: bool) -> None:
    """List the skills with what they take.

    Each is a command of `parley`, and in a conversation a line that begins with / and its name.
    """
    found, notices = registry.all_skills()
    root = ctx.find_root().command
    taken = root.commands if isinstance(root, click.Group) else {}
    notices += [
        f"The skill {skill.name} cannot be a command, because parley has one of that name; /{skill.name} works."
        for skill in found
        if skill.name in taken
    ]
    if as_json:
        write_out(json.dumps([_described(skill) for skill in found], ensure_ascii=False, indent=2) + "\n")
    else:
        for skill in found:
            write_out(f"{' '.join([skill.name, *map(_usage, skill.parameters)])}\n    {skill.summary}\n")
    for notice in notices:
        notify(notice)


def _placeholder(each: "Parameter", *, many: bool) -> str:
    return f"{each.name.upper()}{'...' if many and each.kind == 'photo' else ''}"


def _parameter(each: "Parameter", *, many: bool) -> Callable[[Any], Any]:
    """What click has to know of an input; what its value may be, pydantic says later."""
    if not each.is_option:
        nargs = -1 if many and each.kind == "photo" else 1
        words = None if each.kind in ("photo", "sound") else TextParam()
        shown = _placeholder(each, many=many)
        # Of `vqa photo.jpg` click would say that the photo is missing, since it gives the last place its value first.
        return click.argument(each.name, nargs=nargs, required=False, type=words, metavar=shown)
    match each.kind:
        case "flag":
            return click.option(each.option, each.name, is_flag=True, default=None, help=each.help)
        case "choice":
            kind = click.Choice(each.choices)
            return click.option(
                each.option, each.name, type=kind, default=None, help=_with_default(each.help, each.default)
            )
        case "texts":
            said = f"{each.help} May be repeated.".strip()
            return click.option(each.option, each.name, multiple=True, type=TextParam(), metavar="TEXT", help=said)
        case "photo" | "sound":
            return click.option(each.option, each.name, metavar="PATH", help=each.help)
        case "text":
            return click.option(each.option, each.name, type=TextParam(), metavar="TEXT", help=each.help)
        case _:
            said = _with_default(each.help, each.default)
            return click.option(each.option, each.name, metavar="N", help=said)


def _with_default(help: str, default: Any) -> str:
    return help if default is None else f"{help}  [default: {default}]".strip()


def _usage(each: "Parameter") -> str:
    if not each.is_option:
        return each.name.upper()
    match each.kind:
        case "flag":
            return f"[{each.option}]"
        case "choice":
            return f"[{each.option} {'|'.join(each.choices)}]"
        case "texts":
            return f"[{each.option} TEXT]…"
        case "photo" | "sound":
            return f"[{each.option} PATH]"
        case "text":
            return f"[{each.option} TEXT]"
        case _:
            return f"[{each.option} N]"


def _described(skill: "Skill[..., Any]") -> dict[str, Any]:
    inputs = [
        {
            "name": each.name,
            "kind": each.kind,
            "required": not each.is_option,
            **({"choices": each.choices} if each.choices else {}),
            "help": each.help,
        }
        for each in skill.parameters
    ]
    fields = list(skill.result_type.model_fields)
    return {"name": skill.name, "summary": skill.summary, "inputs": inputs, "result": fields}
