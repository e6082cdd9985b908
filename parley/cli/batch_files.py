"""Batch files: the questions of a skill for a batch API, and its answers in place of a model."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from parley.cli.outcomes import report
from parley.cli.progress import ProgressLine, RunProgress
from parley.cli.terminal import notify, shown_name

if TYPE_CHECKING:
    import threading

    from pydantic import BaseModel

    from assistant.settings import Settings
    from skills.batch import Work
    from skills.definition import Dependency
    from skills.files import Source
    from skills.openai_batch import RequestFile
    from skills.vision_model import VisionClient

_MAX_ENCODERS = 4


@dataclass(frozen=True)
class RequestRun:
    """A run that writes requests in place of results.

    Attributes:
        name: Name of the skill.
        target: The batch file.
        answers: Files with answers to earlier requests.
        resume: Continue an existing batch file.
        stops_at_error: End the run at the first file that cannot be read.
        workers: Number of files processed at the same time; None for one a core, four at most.
    """

    name: str
    target: Path
    answers: Sequence[Path]
    resume: bool
    stops_at_error: bool
    workers: int | None


def batch_clients(
    settings: "Settings", answers: Sequence[Path], stop: "threading.Event", workers: int, *, asks_again: bool = False
) -> "list[VisionClient]":
    """Return clients that answer from the files `answers`.

    Raises:
        ConfigError: No model is named.
        SkillError: A file cannot be read.
    """
    from parley.factory.servers import batch_model
    from skills.openai_batch import BatchAnswers, BatchFileModel
    from skills.vision_model import VisionClient

    name = batch_model(settings)
    with ProgressLine() as progress:
        if answers:
            progress("reading the answers", 0, 0)
        found = BatchAnswers(answers)
    for file, count in found.damaged.items():
        lines = "1 line" if count == 1 else f"{count:,} lines"
        notify(f"{lines} of {shown_name(str(file))} cannot be read as answers of a batch and are left out.")
    model = BatchFileModel(name, found, asks_again=asks_again)
    return [VisionClient(model, stop) for _ in range(workers)]


def write_requests(
    run: RequestRun,
    sources: "Sequence[Source]",
    call_skill: "Callable[[threading.Event, Source, Dependency | None], tuple[BaseModel, Sequence[str]]]",
    settings: "Settings",
) -> bool:
    """Write what a skill asks about `sources` and has no answer to. Returns True if every file could be read.

    Raises what `batch_clients` raises, and `SkillError` if the file cannot be written.
    """
    import threading

    from skills.batch import run_all
    from skills.openai_batch import open_request_file

    stop = threading.Event()
    workers = min(len(sources), run.workers or min(_MAX_ENCODERS, os.cpu_count() or 1))
    clients = batch_clients(settings, run.answers, stop, workers, asks_again=True)
    progress = RunProgress(f"{run.name} requests", len(sources))
    failed = waiting = written = 0
    with open_request_file(run.target, resume=run.resume) as file:
        work = _asking(partial(call_skill, stop), file)
        try:
            with closing(run_all(sources, work, clients, stop)) as outcomes:
                for outcome in outcomes:
                    progress.step(failed=outcome.result is None)
                    if outcome.result is None or outcome.notices:
                        progress.clear()
                    report(outcome, single=len(sources) == 1)
                    if outcome.result is None:
                        failed += 1
                        if run.stops_at_error:
                            break
                        continue
                    lines: dict[str, str] = getattr(outcome.result, "lines", {})
                    waiting += bool(lines)
                    written += sum(file.write(custom_id, line) for custom_id, line in lines.items())
        finally:
            progress.finish("Go on with --resume.")
    _report(run, written, waiting)
    return not failed


def _report(run: RequestRun, written: int, waiting: int) -> None:
    target = shown_name(str(run.target))
    if waiting:
        requests = "1 new request" if written == 1 else f"{written:,} new requests"
        files = "1 file" if waiting == 1 else f"{waiting:,} files"
        notify(f"{requests} for {files} in {target}. Read the answers with --from-batch in place of --batch-file.")
    else:
        notify(f"Nothing is left to ask, and nothing new is in {target}: leave --batch-file out to get the results.")


def _asking(work: "Work", file: "RequestFile") -> "Work":
    """Return `work` with the requests of unanswered questions in place of an error."""
    from pydantic import BaseModel

    from skills.vision_model import Unanswered

    class Requests(BaseModel):
        lines: dict[str, str]

    def ask(source: "Source", dependency: "Dependency | None") -> "tuple[BaseModel, Sequence[str]]":
        try:
            return work(source, dependency)
        except Unanswered as error:
            # Encoded here, on the thread of the file: most of the work.
            lines = {each.id: "" if each.id in file.ids else each.line() for each in error.requests}
            return Requests(lines=lines), ()

    return ask
