"""The outcomes of a run of a skill over many files, as they are written: results, notices and errors."""

from typing import TYPE_CHECKING

from parley.cli.terminal import notify, shown_name, write_json, write_out

if TYPE_CHECKING:
    from skills.batch import Outcome
    from skills.jsonl_results import ResultFile


def report(outcome: "Outcome", *, single: bool) -> None:
    """Write the notices and the error of `outcome`, with the name of the file unless there is a `single` one."""
    for notice in outcome.notices:
        notify(notice)
    if outcome.result is None:
        name = shown_name(outcome.source.name)
        notify(outcome.error if single or name in outcome.error else f"{name}: {outcome.error}")


class OutcomePrinter:
    """Write outcomes to the results file or to standard output, and notices and errors to standard error."""

    def __init__(self, result_file: "ResultFile | None", key: str, *, as_json: bool, single: bool) -> None:
        self._result_file = result_file
        self._key = key
        self._as_json = as_json
        self._single = single

    def prints(self, outcome: "Outcome") -> bool:
        """Return True if any of `outcome` appears on a terminal."""
        return self._result_file is None or outcome.result is None or bool(outcome.notices)

    def print(self, outcome: "Outcome", *, save: bool) -> None:
        """Write `outcome`; to the results file only if `save`."""
        from skills.definition import as_text
        from skills.jsonl_results import make_record

        name, result = shown_name(outcome.source.name), outcome.result
        report(outcome, single=self._single)
        record = make_record(outcome.source.name, result, outcome.error, key=self._key)
        if self._result_file is not None:
            if save:
                self._result_file.write(record)
        elif self._as_json:
            write_json(record)
        elif result is not None:
            write_out(self._format_result(name, as_text(result)))

    def _format_result(self, name: str, text: str) -> str:
        if self._single:
            return f"{text}\n"
        return f"{name}: {text}\n" if "\n" not in text else f"{name}:\n{text}\n\n"
