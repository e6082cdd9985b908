"""Evaluate the bundled model through the chat.

    python -m benchmarks pocket persona reading colours injection        needs no data
    python -m benchmarks pocket questions --questions FILE               JSON lines with prompt and answer_matches
    python -m benchmarks pocket names details languages --data DATA      the photos of `training`
    python -m benchmarks pocket names details --data DATA -m pocket-small     the small model beside it

Replies are written to `--work` as they come; a run that was stopped goes on from there, and one that is complete only
prints its table. Choose nothing by `--split test`.
"""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from assistant.models.base import ChatModel, GenerationOptions
from benchmarks.figures import describe_machine
from benchmarks.pocket.answering import answer
from benchmarks.pocket.cases import Case, append_record, read_records
from benchmarks.pocket.scores import SCORES
from benchmarks.pocket.tasks import PARTS, Options
from training.evaluate import format_table
from training.evaluation_tasks import Figure


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    arguments = _parse(argv)
    options = Options(arguments.split, arguments.limit, arguments.data, arguments.questions)
    figures: list[Figure] = []
    model: ChatModel | None = None
    generation = GenerationOptions(arguments.max_tokens, temperature=arguments.temperature, seed=0)
    for part in arguments.parts or PARTS:
        cases = list(PARTS[part](options))[: arguments.limit]
        path = arguments.work / f"{part}-{arguments.split}-{arguments.model}.jsonl"
        done = {record.key for record in read_records(path)}
        missing = [case for case in cases if case.key not in done]
        if missing:
            model = model or _load(arguments.model)
            for number, case in enumerate(missing, 1):
                record = answer(model, case, generation)
                append_record(path, record)
                if arguments.show:
                    print(f"{part} {number} of {len(missing)}: {record.questions[-1]}\n  > {record.reply}", flush=True)
        figures += _score(part, cases, path)
        print(f"\n{format_table(figures)}\n", flush=True)
    if arguments.out:
        _save(arguments, figures)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks pocket", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("-m", "--model", default="pocket", help="model, as `parley --model` takes it")
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--limit", type=int, help="most cases of a part")
    parser.add_argument("--data", type=Path, help="folder of the photo datasets")
    parser.add_argument("--questions", type=Path, help="file of questions")
    parser.add_argument("--work", type=Path, default=Path("pocket-replies"), help="folder of the replies")
    parser.add_argument("--temperature", type=float, help="default: the model's own")
    parser.add_argument("--max-tokens", type=int, default=400)
    parser.add_argument("--show", action="store_true", help="print each reply")
    parser.add_argument("--out", type=Path, help="file of the results")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    return arguments


def _load(name: str) -> ChatModel:
    from assistant.settings import load
    from parley.factory.models import build_model

    return build_model(load({"model": name}).settings)


def _score(part: str, cases: Sequence[Case], path: Path) -> list[Figure]:
    wanted = {case.key for case in cases}
    records = [record for record in read_records(path) if record.key in wanted]
    return SCORES[part](records) if records else []


def _save(arguments: argparse.Namespace, figures: Sequence[Figure]) -> None:
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "model": arguments.model,
        "split": arguments.split,
        "limit": arguments.limit,
        "machine": describe_machine(),
        "figures": [figure.to_json() for figure in figures],
    }
    arguments.out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
