"""Threads at a table: their questions go to the model together, and each gets its own answer or its own failure."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from assistant.errors import ModelError, SkillError
from assistant.models.scripted import ScriptedModel
from skills.batch import Outcome, run_all
from skills.batching import BatchClient, BatchScheduler, create_clients, supports_batching
from skills.captioning import caption
from skills.files import Source
from skills.vision_model import Cancelled, VisionClient, VisionModel
from tests.fakes.skills import BatchingModel, make_image


def ask_all(table: BatchScheduler, questions: Sequence[str], **options: int) -> list[str | SkillError]:
    """One thread asks each of them, all of them sitting before the first asks."""
    seats = [BatchClient(table) for _ in questions]
    ready = threading.Barrier(len(questions))

    def ask(place: int) -> str | SkillError:
        with seats[place] as seat:
            ready.wait()
            try:
                return seat.ask(questions[place], **options)
            except SkillError as error:
                return error

    with ThreadPoolExecutor(len(questions)) as threads:
        return list(threads.map(ask, range(len(questions))))


@pytest.fixture
def model() -> BatchingModel:
    return BatchingModel()


@pytest.fixture
def table(model: BatchingModel) -> BatchScheduler:
    return BatchScheduler(model, threading.Event())


def test_what_all_have_asked_goes_together(model: BatchingModel, table: BatchScheduler) -> None:
    assert ask_all(table, ["a", "b", "c", "d"], max_tokens=9) == [f"{each}, in 9" for each in "abcd"]
    assert model.batch_sizes == [4]


def test_whoever_is_done_is_not_waited_for(model: BatchingModel, table: BatchScheduler) -> None:
    first, second = BatchClient(table), BatchClient(table)
    with first:
        with second:
            pass
        assert first.ask("alone") == "alone, in 64"
    assert model.batch_sizes == [1]


def test_questions_with_other_options_are_asked_apart(table: BatchScheduler) -> None:
    first, second = BatchClient(table), BatchClient(table)
    ready = threading.Barrier(2)

    def ask(seat: VisionClient, tokens: int) -> str:
        with seat:  # type: ignore[attr-defined]
            ready.wait()
            return seat.ask("q", max_tokens=tokens)

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(ask, (first, second), (5, 7))) == ["q, in 5", "q, in 7"]


def test_one_that_is_too_long_fails_alone(table: BatchScheduler) -> None:
    first, second, third = ask_all(table, ["a", "too long", "c"])
    assert (first, third) == ("a, in 64", "c, in 64")
    assert "takes 600 tokens" in str(second)


def test_a_broken_model_fails_all_of_them(table: BatchScheduler) -> None:
    with pytest.raises(ModelError, match="broke"):
        ask_all(table, ["a", "broken"])


def test_stopped_nobody_waits_for_ever(table: BatchScheduler) -> None:
    table.stop.set()
    assert all(isinstance(each, Cancelled) for each in ask_all(table, ["a", "b"]))


@pytest.mark.parametrize("tables", [1, 3])
def test_a_run_over_pictures_asks_together_and_keeps_the_order(tables: int) -> None:
    model = BatchingModel(tables)
    stop = threading.Event()
    names = [f"{number}.png" for number in range(23)]

    def work(source: Source, model: VisionModel | None) -> tuple[object, Sequence[str]]:
        assert model is not None
        if source.name == "7.png":
            raise SkillError("No picture.")
        return caption(make_image(name=source.name), model), ()

    places = create_clients(model, stop, len(names))
    outcomes: list[Outcome] = list(run_all(map(Source, names), work, places, stop))  # type: ignore[arg-type]
    assert [outcome.source.name for outcome in outcomes] == names
    assert [outcome.error for outcome in outcomes if outcome.result is None] == ["No picture."]
    replicas = model.replicas(9)
    assert all(replica.batch_sizes for replica in replicas)
    assert tables > 1 or len(model.batch_sizes) < 22
    assert sum(sum(replica.batch_sizes) for replica in replicas) == 22


def test_only_what_gains_from_it_is_asked_so(model: BatchingModel) -> None:
    assert supports_batching(model)
    assert not supports_batching(ScriptedModel())
    model.batch_size = 1
    assert not supports_batching(model)


@pytest.mark.parametrize(
    ("tables", "questions", "jobs", "places"),
    [
        (1, 3, None, [3]),
        (1, 99, None, [4]),
        (3, 2, None, [1, 1]),
        (3, 5, None, [2, 2, 1]),
        (3, 99, None, [4, 4, 3]),
        # Two rounds of seven, and none of a dozen and then one.
        (3, 13, None, [3, 2, 2]),
        (3, 99, 2, [1, 1]),
        (3, 99, 20, [7, 7, 6]),
    ],
)
def test_all_tables_are_asked_alike(tables: int, questions: int, jobs: int | None, places: list[int]) -> None:
    found = [seat._table for seat in create_clients(BatchingModel(tables), threading.Event(), questions, jobs)]
    assert [found.count(table) for table in dict.fromkeys(found)] == places
    # Neighbours sit apart, so that a few questions are dealt out as well.
    assert found[0] is not found[1] or tables == 1


def test_a_model_that_breaks_at_one_table_ends_the_run_at_all() -> None:
    stop = threading.Event()

    def work(source: Source, model: VisionModel | None) -> tuple[object, Sequence[str]]:
        assert model is not None
        model.ask(source.name)
        return caption(make_image(name=source.name), model), ()

    names = ["a", "b", "broken", *map(str, range(90))]
    outcomes = run_all(map(Source, names), work, create_clients(BatchingModel(3), stop, len(names)), stop)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="broke"):
        list(outcomes)
    assert stop.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("skill")]


def test_whoever_has_seen_enough_ends_the_run_at_all_tables() -> None:
    stop = threading.Event()

    def work(source: Source, model: VisionModel | None) -> tuple[object, Sequence[str]]:
        assert model is not None
        return caption(make_image(name=source.name), model), ()

    outcomes = run_all(map(Source, map(str, range(90))), work, create_clients(BatchingModel(3), stop, 90), stop)  # type: ignore[arg-type]
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("skill")]
