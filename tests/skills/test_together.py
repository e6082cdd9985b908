"""Threads at a table: their questions go to the model together, and each gets its own answer or its own failure."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from assistant.errors import ContextOverflow, ModelError, SkillError
from assistant.messages import Message
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from skills.batch import Outcome, run_all
from skills.captioning import caption
from skills.files import Source
from skills.model import ChatVision, Stopped, VisionModel
from skills.together import Table, answers_together
from tests.skills.conftest import make_photo


class Together(ScriptedModel):
    """Echoes several at once, and remembers how many; what is too long or broken is named so in the question."""

    batch_size = 4

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[int] = []

    def answer_all(
        self, conversations: Sequence[Sequence[Message]], options: GenerationOptions, stop: threading.Event
    ) -> list[str]:
        self.groups.append(len(conversations))
        texts = [messages[-1].text for messages in conversations]
        if "too long" in texts:
            raise ContextOverflow(600, 500)
        if "broken" in texts:
            raise ModelError("The model broke.")
        return ["" if stop.is_set() else f"{text}, in {options.max_tokens}" for text in texts]


def ask_all(table: Table, questions: Sequence[str], **options: int) -> list[str | SkillError]:
    """One thread asks each of them, all of them sitting before the first asks."""
    seats = table.seats(len(questions))
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
def model() -> Together:
    return Together()


@pytest.fixture
def table(model: Together) -> Table:
    return Table(model, threading.Event())


def test_what_all_have_asked_goes_together(model: Together, table: Table) -> None:
    assert ask_all(table, ["a", "b", "c", "d"], max_tokens=9) == [f"{each}, in 9" for each in "abcd"]
    assert model.groups == [4]


def test_whoever_is_done_is_not_waited_for(model: Together, table: Table) -> None:
    first, second = table.seats(2)
    with first:
        with second:
            pass
        assert first.ask("alone") == "alone, in 64"
    assert model.groups == [1]


def test_questions_with_other_options_are_asked_apart(table: Table) -> None:
    first, second = table.seats(2)
    ready = threading.Barrier(2)

    def ask(seat: ChatVision, tokens: int) -> str:
        with seat:  # type: ignore[attr-defined]
            ready.wait()
            return seat.ask("q", max_tokens=tokens)

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(ask, (first, second), (5, 7))) == ["q, in 5", "q, in 7"]


def test_one_that_is_too_long_fails_alone(table: Table) -> None:
    first, second, third = ask_all(table, ["a", "too long", "c"])
    assert (first, third) == ("a, in 64", "c, in 64")
    assert "takes 600 tokens" in str(second)


def test_a_broken_model_fails_all_of_them(table: Table) -> None:
    with pytest.raises(ModelError, match="broke"):
        ask_all(table, ["a", "broken"])


def test_stopped_nobody_waits_for_ever(table: Table) -> None:
    table.stop.set()
    assert all(isinstance(each, Stopped) for each in ask_all(table, ["a", "b"]))


def test_a_run_over_pictures_asks_together_and_keeps_the_order(model: Together) -> None:
    stop = threading.Event()
    names = [f"{number}.png" for number in range(23)]

    def work(source: Source, model: VisionModel | None) -> tuple[object, Sequence[str]]:
        assert model is not None
        if source.name == "7.png":
            raise SkillError("No picture.")
        return caption(make_photo(name=source.name), model), ()

    seats = Table(model, stop).seats(model.batch_size)
    outcomes: list[Outcome] = list(run_all(map(Source, names), work, seats, stop))  # type: ignore[arg-type]
    assert [outcome.source.name for outcome in outcomes] == names
    assert [outcome.error for outcome in outcomes if outcome.result is None] == ["No picture."]
    assert sum(model.groups) == 22
    assert len(model.groups) < 22


def test_only_what_gains_from_it_is_asked_so(model: Together) -> None:
    assert answers_together(model)
    assert not answers_together(ScriptedModel())
    model.batch_size = 1
    assert not answers_together(model)
