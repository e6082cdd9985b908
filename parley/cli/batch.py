"""Running a skill from the command line: once, or over many files with a result for each, in their order."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from assistant.errors import AttachmentError, ModelError, SkillError, SkillUsageError
from parley.cli.options import SETTINGS_NAMES, load_settings
from parley.cli.progress import ProgressLine, RunProgress
from parley.cli.terminal import decode_argument, notify, read_input, write_out

if TYPE_CHECKING:
    import threading

    from pydantic import BaseModel

    from assistant.settings import Settings
    from skills.batch import Outcome
    from skills.definition import Dependency, Skill
    from skills.files import Source
    from skills.jsonl_results import ResultFile
    from skills.parameters import Parameter, ParameterKind

FILES = "files_by_kind"
"""The argument for files that go to whichever input takes what they hold."""


_OF_CONVERSATIONS = {
    "--system": "system",
    "--max-tokens": "max_tokens",
    "--temperature": "temperature",
    "--seed": "seed",
    "--continue": "resume_latest",
    "--conversation": "conversation",
}
"""What skills leave aside: they ask in words of their own, each time anew, and take the likeliest answer."""


class RunOptions(NamedTuple):
    """How a skill is run over many files; each is an option of its command."""

    as_json: bool
    out: Path | None
    resume: bool
    retry_errors: bool
    on_error: str
    jobs: int | None


def run_skill(ctx: click.Context, skill: "Skill[..., Any]", options: dict[str, Any]) -> bool:
    """Run `skill` as the `options` of its command say. False if a file failed; raises what ends the run."""
    _tell_of_unused(ctx)
    settings = load_settings(ctx, {name: options[name] for name in SETTINGS_NAMES if name in options}).settings
    values: dict[str, Any] = {each.name: options[each.name] or None for each in skill.parameters}
    try:
        skill.validate(values)
    except SkillError as error:
        # So far it has been told nothing but the command line.
        raise SkillUsageError(str(error)) from error
    files = options.get(FILES)
    for each in skill.by_media_type.values():
        if each.kind == "photo" and not each.is_option:
            files = values.pop(each.name)
    if not files:
        _run_once(skill, values, settings, as_json=options["as_json"])
        return True
    # Not every skill can be asked several times at once.
    options = {"jobs": None, **options}
    way = RunOptions(*(options[name] for name in RunOptions._fields))
    if (way.resume or way.retry_errors) and way.out is None:
        option = "--resume" if way.resume else "--retry-errors"
        raise click.UsageError(f"{option} goes on with a file: name it with --out.", ctx)
    return _run_over(skill, files, values, settings, way)


def _tell_of_unused(ctx: click.Context) -> None:
    """Say which options that were given before the command are for conversations only."""
    given = ctx.find_root().params
    unused = [option for option, name in _OF_CONVERSATIONS.items() if given.get(name) not in (None, False)]
    if unused:
        notify(f"{' and '.join(unused)} {'is' if len(unused) == 1 else 'are'} for conversations: skills do without.")


def _run_once(skill: "Skill[..., Any]", values: dict[str, Any], settings: "Settings", *, as_json: bool) -> None:
    import threading

    from skills.definition import as_text
    from skills.jsonl_results import to_json_line

    _read_files(skill, values, settings)
    result = skill.run(values, _helpers(skill, settings, threading.Event())[0])
    write_out(to_json_line(result.model_dump(mode="json")) if as_json else f"{as_text(result)}\n")


def _run_over(
    skill: "Skill[..., Any]",
    arguments: Sequence[str],
    values: dict[str, Any],
    settings: "Settings",
    way: RunOptions,
) -> bool:
    """Run `skill` on each of the files that `arguments` mean, as the input that takes their kind."""
    import threading

    from skills.batch import run_all
    from skills.files import find_sources
    from skills.jsonl_results import FILE_KEY, IMAGE_KEY

    places = skill.by_media_type
    sources = find_sources(arguments, read_input, places)
    _refuse_two_of_a_kind(sources, places, values)
    stop = threading.Event()
    _read_files(skill, values, settings)

    def work(source: "Source", helper: "Dependency | None") -> "tuple[BaseModel, Sequence[str]]":
        value, notices = _read(source, places, settings)
        return skill.run({**values, places[source.media_type(places)].name: value}, helper), notices

    key = IMAGE_KEY if list(places) == ["photo"] else FILE_KEY
    fields = [*skill.result_type.model_fields, *skill.result_type.model_computed_fields]
    # Of the skills of others nobody knows that a field which is called like an input holds it.
    own = [each for each in skill.parameters if skill.is_built_in and each.name in fields]
    given = {each.name: values.get(each.name) or each.default for each in own}
    same = {name: value for name, value in given.items() if isinstance(value, str)}
    with _opened(way, fields, key, same) as records:
        remaining = list(_without(sources, records.done)) if records else sources
        if len(sources) == 1 and records is None and not way.as_json:
            # What is wrong with a single picture is known before a model is loaded.
            _read(remaining[0], places, settings)
        if not remaining:
            failed = records.failed if records else 0
            told = f", {failed:,} of them with an error: --retry-errors tries them again" if failed else ""
            notify(f"All {len(sources):,} files are in {way.out} already{told}.")
            return not failed
        helpers = _helpers(skill, settings, stop, way.jobs, len(remaining))
        write = _Writer(records, key, as_json=way.as_json, alone=len(sources) == 1)
        pace = RunProgress(skill.name, len(sources), len(sources) - len(remaining))
        well = True
        try:
            for outcome in run_all(remaining, work, helpers, stop):
                pace.step(failed=outcome.result is None)
                if write.needs_screen(outcome):
                    pace.clear()
                well = well and outcome.result is not None
                last = not well and way.on_error == "stop"
                # The picture that ends a run is tried again when it goes on.
                write(outcome, keep=not last)
                if last:
                    break
        except ModelError as error:
            if records is None:
                raise
            raise ModelError(f"{error} What is done so far is in {way.out}: go on with --resume.") from error
        finally:
            pace.finish("Go on with --resume." if records else "")
        return well


def _refuse_two_of_a_kind(
    sources: Sequence["Source"], places: "Mapping[ParameterKind, Parameter]", values: Mapping[str, Any]
) -> None:
    """Raise `SkillUsageError` for a file that would take the place of what an option has given already."""
    given = {kind: each for kind, each in places.items() if values.get(each.name) is not None}
    for source in sources if given else ():
        # What a file of no known kind is, is said when its turn comes.
        with suppress(AttachmentError):
            if each := given.get(source.media_type(places)):
                raise SkillUsageError(
                    f"{decode_argument(source.name)} is for {each.option}, which is given as well: leave one of them out."
                )


class _Writer:
    """Puts outcomes where they belong: to the file of records, or to standard output; failures are told as well."""

    def __init__(self, records: "ResultFile | None", key: str, *, as_json: bool, alone: bool) -> None:
        self._records = records
        self._key = key
        self._as_json = as_json
        self._alone = alone

    def needs_screen(self, outcome: "Outcome") -> bool:
        """Whether something of it will be seen on a terminal."""
        return self._records is None or outcome.result is None or bool(outcome.notices)

    def __call__(self, outcome: "Outcome", *, keep: bool) -> None:
        from skills.definition import as_text
        from skills.jsonl_results import make_record, to_json_line

        name, result = outcome.source.name, outcome.result
        for notice in outcome.notices:
            notify(notice)
        if result is None:
            notify(
                outcome.error
                if self._alone or decode_argument(name) in outcome.error
                else f"{decode_argument(name)}: {outcome.error}"
            )
        if self._records is not None:
            if keep:
                self._records.write(make_record(name, result, outcome.error, key=self._key))
        elif self._as_json:
            write_out(to_json_line(make_record(name, result, outcome.error, key=self._key)))
        elif result is not None:
            write_out(_headed(decode_argument(name), as_text(result), alone=self._alone))


def _opened(
    way: RunOptions, fields: Sequence[str], key: str, same: Mapping[str, str]
) -> "AbstractContextManager[ResultFile | None]":
    from skills.jsonl_results import RecordSchema, open_result_file

    if way.out is None:
        return nullcontext()
    resume = way.resume or way.retry_errors
    schema = RecordSchema(fields, key, same)
    return open_result_file(way.out, schema, resume=resume, retry_errors=way.retry_errors)


def _headed(name: str, text: str, *, alone: bool) -> str:
    """A result as people read it, after the name of its picture if there are several."""
    if alone:
        return f"{text}\n"
    return f"{name}: {text}\n" if "\n" not in text else f"{name}:\n{text}\n\n"


def _without(sources: Sequence["Source"], done: Counter[str]) -> "Iterator[Source]":
    """The sources of which there is no record yet; a picture that is named twice has two."""
    left = done.copy()
    for source in sources:
        if left[source.identity] > 0:
            left[source.identity] -= 1
        else:
            yield source


def _read_files(skill: "Skill[..., Any]", values: dict[str, Any], settings: "Settings") -> None:
    """Put pictures and recordings into `values` where the paths of them stand."""
    from skills.files import Source

    for each in skill.parameters:
        path = values.get(each.name)
        if each.kind in ("photo", "sound") and path is not None:
            value, notices = _read(Source(path), {each.kind: each}, settings, each.kind)
            values[each.name] = value
            for notice in notices:
                notify(notice)


def _read(
    source: "Source",
    places: "Mapping[ParameterKind, Parameter]",
    settings: "Settings",
    kind: "ParameterKind | None" = None,
) -> tuple[Any, Sequence[str]]:
    """What is in a file, which is of `kind`, or of whichever its ending says; and what is to be known of it."""
    match kind or source.media_type(places):
        case "sound":
            from parley.factory.voice import load_audio

            return load_audio(source.name)
        case "text":
            return source.read_text(), ()
    from assistant.attachments.images import ImageLoader

    loaded = source.read_image(ImageLoader.from_settings(settings))
    return loaded.image, loaded.notices


def _helpers(
    skill: "Skill[..., Any]", settings: "Settings", stop: "threading.Event", jobs: int | None = None, most: int = 1
) -> "Sequence[Dependency | None]":
    """What as many threads ask as should work at a time."""
    if skill.needs_emotion_models:
        from parley.factory.emotion import EmotionBackends

        return [EmotionBackends(settings, progress_display=ProgressLine, on_notice=notify)]
    if not skill.needs_model:
        return [None] * min(jobs or 1, most)
    from parley.factory.models import build_vision_clients

    notices: list[str] = []
    with ProgressLine() as progress:
        models = build_vision_clients(settings, stop, progress, notices.append, workers=jobs, max_clients=most)
    for notice in notices:
        notify(notice)
    return models
