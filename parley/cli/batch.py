"""Run a skill from the command line: once, or over many files with one result per file, in order."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assistant.errors import AttachmentError, ModelError, SkillError, SkillUsageError
from parley.cli.options import SETTINGS_OPTIONS, load_settings
from parley.cli.outcomes import OutcomePrinter
from parley.cli.progress import RunProgress
from parley.cli.skill_inputs import build_dependencies, load_file, load_files
from parley.cli.terminal import notify, read_input, shown_name, write_json, write_out

if TYPE_CHECKING:
    import threading

    from pydantic import BaseModel

    from assistant.settings import Settings
    from skills.definition import Dependency, Skill
    from skills.files import Source
    from skills.jsonl_results import ResultFile

FILES = "files_by_kind"
"""Name of the argument for files of several media types."""

_CHAT_ONLY_OPTIONS = {
    "--system": "system",
    "--max-tokens": "max_tokens",
    "--temperature": "temperature",
    "--top-p": "top_p",
    "--top-k": "top_k",
    "--min-p": "min_p",
    "--repetition-penalty": "repetition_penalty",
    "--presence-penalty": "presence_penalty",
    "--reasoning": "reasoning",
    "--stop": "stop",
    "--seed": "seed",
    "--continue": "resume_latest",
    "--conversation": "conversation",
}
"""Skills ignore these: they have prompts of their own, start anew for each file and decode greedily."""


@dataclass(frozen=True)
class RunOptions:
    """Options of a run over many files.

    Attributes:
        as_json: Print JSON lines instead of text.
        out: Results file, or None for standard output.
        resume: Skip files that have a record in `out`.
        retry_errors: As `resume`, but process files again whose record is an error.
        on_error: "skip" continues after a file that failed, "stop" ends the run.
        workers: Number of files processed at the same time; None for as many as suit the model.
        batch_file: File for the questions of the skill, in place of results.
        answers: Files with answers of a batch API, in place of a model.
    """

    as_json: bool
    out: Path | None
    resume: bool
    retry_errors: bool
    on_error: str
    workers: int | None
    batch_file: Path | None
    answers: tuple[Path, ...]


def run_skill(ctx: click.Context, skill: "Skill[..., Any]", options: dict[str, Any]) -> bool:
    """Run `skill` with the options of its command.

    Returns:
        True if it succeeded for every file.

    Raises:
        ParleyError: Something failed that concerns more than one file.
    """
    _warn_about_chat_options(ctx)
    settings = load_settings(ctx, {name: options[name] for name in SETTINGS_OPTIONS if name in options}).settings
    values: dict[str, Any] = {parameter.name: options[parameter.name] or None for parameter in skill.parameters}
    try:
        skill.validate(values)
        if skill.has_check:
            is_batch = bool(options.get("batch_file") or options.get("from_batch"))
            skill.check_usage(values, bundled=not is_batch and _asks_bundled_model(settings))
    except SkillError as error:
        # Nothing but the command line has been looked at yet.
        raise SkillUsageError(str(error)) from error
    files = options.get(FILES)
    for parameter in skill.by_media_type.values():
        if parameter.kind == "photo" and not parameter.is_option:
            files = values.pop(parameter.name)
    if not files:
        _run_once(skill, values, settings, as_json=options["as_json"])
        return True
    run_options = RunOptions(
        as_json=options["as_json"],
        out=options["out"],
        resume=options["resume"] or options["retry_errors"],
        retry_errors=options["retry_errors"],
        on_error=options["on_error"],
        # Skills without a model, and those with models for one thread, have no such option.
        workers=options.get("jobs"),
        batch_file=options.get("batch_file"),
        answers=tuple(options.get("from_batch") or ()),
    )
    if run_options.batch_file is not None:
        results = {"--out": "out", "--json": "as_json", "--retry-errors": "retry_errors"}
        if given := [option for option, name in results.items() if options[name]]:
            raise click.UsageError(f"--batch-file writes requests and no results: leave {given[0]} out.", ctx)
    elif run_options.resume and run_options.out is None:
        option = "--resume" if options["resume"] else "--retry-errors"
        raise click.UsageError(f"{option} goes on with a file: name it with --out.", ctx)
    return _SkillRun(skill, values, settings, run_options).run(files)


def _asks_bundled_model(settings: "Settings") -> bool:
    from parley.factory.models import selects_bundled_model

    return selects_bundled_model(settings)


def _warn_about_chat_options(ctx: click.Context) -> None:
    given = ctx.find_root().params
    unused = [option for option, name in _CHAT_ONLY_OPTIONS.items() if given.get(name) not in (None, False)]
    if unused:
        notify(f"{' and '.join(unused)} {'is' if len(unused) == 1 else 'are'} for conversations: skills do without.")


def _run_once(skill: "Skill[..., Any]", values: dict[str, Any], settings: "Settings", *, as_json: bool) -> None:
    import threading

    from skills.definition import as_text

    values = load_files(skill, values, settings)
    [dependency] = build_dependencies(skill, settings, threading.Event())
    result = skill.run(values, dependency)
    if as_json:
        write_json(result.model_dump(mode="json"))
    else:
        write_out(f"{as_text(result)}\n")


class _SkillRun:
    """One run of a skill over many files. Each file goes to the parameter for its media type."""

    def __init__(
        self, skill: "Skill[..., Any]", values: Mapping[str, Any], settings: "Settings", options: RunOptions
    ) -> None:
        self._skill = skill
        self._values = values
        self._settings = settings
        self._options = options
        self._parameters = skill.by_media_type

    def run(self, arguments: Sequence[str]) -> bool:
        """Run the skill on the files that `arguments` name. Returns True if none has failed, now or earlier."""
        from skills.files import find_sources

        sources = find_sources(arguments, read_input, self._parameters, notify)
        self._refuse_conflicts(sources)
        self._values = load_files(self._skill, self._values, self._settings)
        if self._options.batch_file is not None:
            return self._write_requests(sources, self._options.batch_file)
        with self._open_result_file() as result_file:
            remaining = list(_without_done(sources, result_file.done)) if result_file else sources
            if not remaining:
                return self._report_nothing_to_do(sources, result_file)
            if len(sources) == 1 and result_file is None and not self._options.as_json:
                # An error in a single file is reported before a model is loaded.
                load_file(sources[0], self._parameters, self._settings)
            return self._process(remaining, len(sources), result_file)

    def _write_requests(self, sources: "Sequence[Source]", target: Path) -> bool:
        from parley.cli.batch_files import RequestRun, write_requests

        options = self._options
        stops_at_error = options.on_error == "stop"
        run = RequestRun(self._skill.name, target, options.answers, options.resume, stops_at_error, options.workers)
        return write_requests(run, sources, self._call_skill, self._settings)

    def _process(self, remaining: "Sequence[Source]", total: int, result_file: "ResultFile | None") -> bool:
        import threading

        from skills.batch import run_all

        stop = threading.Event()
        dependencies = self.build_dependencies(stop, len(remaining))
        printer = OutcomePrinter(result_file, self._record_key, as_json=self._options.as_json, single=total == 1)
        progress = RunProgress(self._skill.name, total, already_done=total - len(remaining))
        all_succeeded = True
        # Closed at once by Ctrl-C and signals: otherwise files in the queue would be processed before the exit.
        try:
            with closing(run_all(remaining, partial(self._call_skill, stop), dependencies, stop)) as outcomes:
                for outcome in outcomes:
                    progress.step(failed=outcome.result is None)
                    if printer.prints(outcome):
                        progress.clear()
                    all_succeeded = all_succeeded and outcome.result is not None
                    stops_here = not all_succeeded and self._options.on_error == "stop"
                    # The file that stops a run is not recorded: resuming the run tries it again.
                    printer.print(outcome, save=not stops_here)
                    if stops_here:
                        break
        except ModelError as error:
            if result_file is None:
                raise
            raise ModelError(f"{error} What is done so far is in {self._options.out}: go on with --resume.") from error
        finally:
            progress.finish("Go on with --resume." if result_file else "")
        return all_succeeded

    def build_dependencies(self, stop: "threading.Event", max_workers: int) -> "Sequence[Dependency | None]":
        options = self._options
        if not options.answers:
            return build_dependencies(self._skill, self._settings, stop, options.workers, max_workers)
        from parley.cli.batch_files import batch_clients

        return batch_clients(self._settings, options.answers, stop, min(options.workers or 1, max_workers))

    def _call_skill(
        self, stop: "threading.Event", source: "Source", dependency: "Dependency | None"
    ) -> "tuple[BaseModel, Sequence[str]]":
        value, notices = load_file(source, self._parameters, self._settings)
        parameter = self._parameters[source.media_type(self._parameters)]
        return self._skill.run({**self._values, parameter.name: value}, dependency, stop), notices

    def _refuse_conflicts(self, sources: "Sequence[Source]") -> None:
        """Raise `SkillUsageError` for a file whose parameter has a value from an option already."""
        given = {
            media_type: parameter
            for media_type, parameter in self._parameters.items()
            if self._values.get(parameter.name) is not None
        }
        for source in sources if given else ():
            # A file of an unknown type is reported when its turn comes.
            with suppress(AttachmentError):
                if parameter := given.get(source.media_type(self._parameters)):
                    name = shown_name(source.name)
                    raise SkillUsageError(
                        f"{name} is for {parameter.option}, which is given as well: leave one of them out."
                    )

    def _report_nothing_to_do(self, sources: "Sequence[Source]", result_file: "ResultFile | None") -> bool:
        named = Counter(source.identity for source in sources)
        failed = (named & result_file.failed).total() if result_file else 0
        errors = f", {failed:,} of them with an error: --retry-errors tries them again" if failed else ""
        notify(f"All {len(sources):,} files are in {self._options.out} already{errors}.")
        return not failed

    @property
    def _record_key(self) -> str:
        from skills.jsonl_results import FILE_KEY, IMAGE_KEY

        return IMAGE_KEY if list(self._parameters) == ["photo"] else FILE_KEY

    def _open_result_file(self) -> "AbstractContextManager[ResultFile | None]":
        from skills.jsonl_results import RecordSchema, open_result_file

        options = self._options
        if options.out is None:
            return nullcontext()
        result_type = self._skill.result_type
        fields = [*result_type.model_fields, *result_type.model_computed_fields]
        # A third-party result may have a field called like a parameter that holds something else.
        recorded = [each for each in self._skill.parameters if self._skill.is_built_in and each.name in fields]
        given = {each.name: self._values.get(each.name) or each.default for each in recorded}
        fixed_fields = {name: value for name, value in given.items() if isinstance(value, str)}
        schema = RecordSchema(fields, self._record_key, fixed_fields, result_type.model_computed_fields)
        return open_result_file(options.out, schema, resume=options.resume, retry_errors=options.retry_errors)


def _without_done(sources: "Sequence[Source]", done: Counter[str]) -> "Iterator[Source]":
    """Yield the sources without a record. A file that is named twice has two records."""
    records_left = done.copy()
    for source in sources:
        if records_left[source.identity] > 0:
            records_left[source.identity] -= 1
        else:
            yield source
