"""Batches: questions of several threads go to the model together, and each thread gets its own reply or error."""

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


def ask_all(clients: Sequence[BatchClient], questions: Sequence[str], **options: int) -> list[str | SkillError]:
    """Ask each question on a thread of its own. All clients are registered before the first question."""
    ready = threading.Barrier(len(questions))

    def ask(client: BatchClient, question: str) -> str | SkillError:
        with client:
            ready.wait()
            try:
                return client.ask(question, **options)
            except SkillError as error:
                return error

    with ThreadPoolExecutor(len(questions)) as threads:
        return list(threads.map(ask, clients, questions))


def caption_source(source: Source, model: VisionModel | None) -> tuple[object, Sequence[str]]:
    assert model is not None
    return caption(make_image(name=source.name), model=model), ()


def skill_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("skill")]


@pytest.fixture
def model() -> BatchingModel:
    return BatchingModel()


@pytest.fixture
def scheduler(model: BatchingModel) -> BatchScheduler:
    return BatchScheduler(model, threading.Event())


@pytest.fixture
def clients(scheduler: BatchScheduler) -> list[BatchClient]:
    return [BatchClient(scheduler) for _ in range(4)]


def test_questions_of_all_clients_form_one_batch(model: BatchingModel, clients: list[BatchClient]) -> None:
    assert ask_all(clients, ["a", "b", "c", "d"], max_tokens=9) == [f"{each}, in 9" for each in "abcd"]
    assert model.batch_sizes == [4]


def test_a_batch_does_not_wait_for_a_client_that_is_done(model: BatchingModel, clients: list[BatchClient]) -> None:
    first, second, *_ = clients
    with first:
        with second:
            pass
        assert first.ask("alone") == "alone, in 64"
    assert model.batch_sizes == [1]


def test_questions_with_different_options_are_separate_batches(clients: list[BatchClient]) -> None:
    ready = threading.Barrier(2)

    def ask(client: BatchClient, max_tokens: int) -> str:
        with client:
            ready.wait()
            return client.ask("q", max_tokens=max_tokens)

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(ask, clients, (5, 7))) == ["q, in 5", "q, in 7"]


def test_a_question_that_is_too_long_fails_alone(clients: list[BatchClient]) -> None:
    first, second, third = ask_all(clients, ["a", "too long", "c"])
    assert (first, third) == ("a, in 64", "c, in 64")
    assert "takes 600 tokens" in str(second)


def test_a_model_failure_reaches_every_client(clients: list[BatchClient]) -> None:
    with pytest.raises(ModelError, match="broke"):
        ask_all(clients, ["a", "broken"])


def test_stopping_cancels_every_question(scheduler: BatchScheduler, clients: list[BatchClient]) -> None:
    scheduler.stop.set()
    assert all(isinstance(each, Cancelled) for each in ask_all(clients, ["a", "b"]))


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_run_over_files_keeps_the_order_and_uses_all_replicas(replicas: int) -> None:
    model = BatchingModel(replicas)
    stop = threading.Event()
    names = [f"{number}.png" for number in range(23)]

    def work(source: Source, model: VisionModel | None) -> tuple[object, Sequence[str]]:
        if source.name == "7.png":
            raise SkillError("No picture.")
        return caption_source(source, model)

    clients = create_clients(model, stop, len(names))
    outcomes: list[Outcome] = list(run_all(map(Source, names), work, clients, stop))  # type: ignore[arg-type]
    assert [outcome.source.name for outcome in outcomes] == names
    assert [outcome.error for outcome in outcomes if outcome.result is None] == ["No picture."]
    batch_sizes = [each.batch_sizes for each in model.replicas(9)]
    assert all(batch_sizes)
    assert sum(map(sum, batch_sizes)) == 22


def test_models_that_gain_nothing_from_batches_do_not_support_them(model: BatchingModel) -> None:
    assert supports_batching(model)
    assert not supports_batching(ScriptedModel())
    model.batch_size = 1
    assert not supports_batching(model)


@pytest.mark.parametrize(
    ("replicas", "questions", "workers", "batch_sizes"),
    [
        (1, 3, None, [3]),
        (1, 99, None, [4]),
        (3, 2, None, [1, 1]),
        (3, 5, None, [2, 2, 1]),
        (3, 99, None, [4, 4, 3]),
        # Two rounds of seven instead of one of twelve and one of one.
        (3, 13, None, [3, 2, 2]),
        (3, 99, 2, [1, 1]),
        (3, 99, 20, [7, 7, 6]),
    ],
)
def test_clients_are_spread_evenly_over_replicas(
    replicas: int, questions: int, workers: int | None, batch_sizes: list[int]
) -> None:
    model = BatchingModel(replicas)
    clients = create_clients(model, threading.Event(), questions, workers)
    ask_all(clients, ["q"] * len(clients))
    assert [each.batch_sizes for each in model.replicas(9) if each.batch_sizes] == [[size] for size in batch_sizes]


def test_neighbouring_clients_use_different_replicas() -> None:
    model = BatchingModel(replicas=3)
    clients = create_clients(model, threading.Event(), 99)
    ask_all(clients[:3], ["q"] * 3)
    assert [each.batch_sizes for each in model.replicas(9)] == [[1], [1], [1]]


def test_a_model_failure_ends_the_run_on_all_replicas() -> None:
    stop = threading.Event()

    def work(source: Source, model: VisionModel | None) -> tuple[object, Sequence[str]]:
        assert model is not None
        model.ask(source.name)
        return caption_source(source, model)

    names = ["a", "b", "broken", *map(str, range(90))]
    clients = create_clients(BatchingModel(3), stop, len(names))
    outcomes = run_all(map(Source, names), work, clients, stop)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="broke"):
        list(outcomes)
    assert stop.is_set()
    assert not skill_threads()


def test_closing_the_iterator_ends_the_run() -> None:
    stop = threading.Event()
    clients = create_clients(BatchingModel(3), stop, 90)
    outcomes = run_all(map(Source, map(str, range(90))), caption_source, clients, stop)  # type: ignore[arg-type]
    next(outcomes)
    outcomes.close()
    assert stop.is_set()
    assert not skill_threads()


def test_an_empty_reply_is_the_error_of_its_question_alone(clients: list[BatchClient]) -> None:
    replies = ask_all(clients, ["a", "(empty)", "c", "d"])
    assert [isinstance(reply, SkillError) for reply in replies] == [False, True, False, False]
    assert "scripted gave no text" in str(replies[1])


def test_a_wrong_number_of_replies_is_an_error_and_no_thread_waits(
    model: BatchingModel, clients: list[BatchClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "generate_batch", lambda *_: [])
    with pytest.raises(ModelError, match="scripted gave 0 replies to 4 questions"):
        ask_all(clients, ["a", "b", "c", "d"])


def test_a_batch_goes_on_after_an_empty_reply() -> None:
    model = ScriptedModel("a cat", "", "a dog")
    sources = [Source(f"{number}.png") for number in range(3)]
    outcomes = list(run_all(sources, caption_source, [VisionClient(model)], threading.Event()))  # type: ignore[arg-type]
    assert [outcome.error != "" for outcome in outcomes] == [False, True, False]
