"""Sending, answering, stopping and failing, as someone at the keyboard meets them."""

import asyncio
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
from textual import events

from assistant.conversation.session import Session
from assistant.errors import ModelError
from assistant.events import Usage
from assistant.messages import Message, assistant, user
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from tests.tui.conftest import MakeApp, Use
from tui.app import ParleyApp
from tui.screens.chat import ChatScreen
from tui.widgets.assistant_message import AssistantMessage
from tui.widgets.status_bar import StatusBar
from tui.widgets.transcript import Transcript


class Kept:
    """A store that remembers what was written to it."""

    def __init__(self) -> None:
        self.turns: list[tuple[Message, Message]] = []

    def append(self, user: Message, reply: Message, usage: Usage) -> None:
        self.turns.append((user, reply))


async def test_a_question_is_answered_and_the_status_tells_by_whom(make_app: MakeApp, use: Use) -> None:
    model = ScriptedModel("It is a **ginger** cat.", token_seconds=0.01)
    async with use(make_app(model)) as person:
        await person.sees("ready", "StatusBar")
        await person.type("What is it?")
        await person.press("enter")
        await person.sees("It is a ginger cat.", "AssistantMessage")
        await person.sees("tokens/s", "StatusBar")
        assert person.input == ""
        assert "What is it?" in person.read("UserMessage")
        assert "scripted · cpu" in person.read("StatusBar")
        assert "context 0 %" in person.read("StatusBar")


async def test_new_lines_are_typed_with_ctrl_j_and_sent_as_they_are(make_app: MakeApp, use: Use) -> None:
    model = ScriptedModel("Yes.")
    async with use(make_app(model)) as person:
        await person.type("one\ntwo")
        await person.press("shift+enter")
        await person.type("three")
        await person.press("enter")
        await person.sees("Yes.")
        assert model.prompts[0][-1].text == "one\ntwo\nthree"
        assert "one\n" in person.read("UserMessage")


async def test_what_a_person_says_is_never_read_as_markup(make_app: MakeApp, use: Use) -> None:
    async with use(make_app(ScriptedModel("Yes."))) as person:
        await person.type("Is [bold]this[/bold] and [/] text?")
        await person.press("enter")
        await person.sees("Is [bold]this[/bold] and [/] text?", "UserMessage")


async def test_tags_and_line_breaks_of_a_reply_are_kept(make_app: MakeApp, use: Use) -> None:
    async with use(make_app(ScriptedModel("Use <b>bold</b>.\nThen\n\n<div>\nmore\n</div>"))) as person:
        await person.type("How?")
        await person.press("enter")
        await person.sees("Use <b>bold</b>.\n", "AssistantMessage")
        await person.sees("<div>\n", "AssistantMessage")


async def test_escape_stops_a_reply_and_keeps_what_was_shown(make_app: MakeApp, use: Use) -> None:
    store = Kept()
    words = [f"word{number}" for number in range(500)]
    app = make_app(ScriptedModel(" ".join(words), "Next answer.", token_seconds=0.01), store=store)
    async with use(app) as person:
        await person.type("Go")
        await person.press("enter")
        await person.sees("word5", "AssistantMessage")
        await person.press("escape")
        await person.sees("stopped", "AssistantMessage")
        await person.sees("ready", "StatusBar")
        ((_, reply),) = store.turns
        assert reply.interrupted
        assert 5 < len(reply.text.split()) < 200
        assert reply.text.split() == words[: len(reply.text.split())]
        assert person.read("AssistantMessage").split()[:-2] == reply.text.split()

        await person.type("And now?")
        await person.press("enter")
        await person.sees("Next answer.", "AssistantMessage")


async def test_escape_before_the_first_word(make_app: MakeApp, use: Use) -> None:
    store = Kept()
    async with use(make_app(ScriptedModel("Never said.", token_seconds=60), store=store)) as person:
        await person.type("Go")
        await person.press("enter")
        await person.sees("thinking", "StatusBar")
        await person.press("escape")
        await person.sees("stopped", "AssistantMessage")
        assert store.turns[0][1] == assistant("", interrupted=True)


@pytest.mark.parametrize("steps", [0, 1, 3, 10, 40])
async def test_escape_at_once_loses_nothing_and_the_next_message_is_answered(
    make_app: MakeApp, use: Use, steps: int
) -> None:
    model = ScriptedModel(token_seconds=0.02)
    async with use(make_app(model)) as person:
        await person.type("first words")
        await person.sees("ready", "StatusBar")
        screen = person.app.screen
        assert isinstance(screen, ChatScreen)
        person.app.post_message(events.Key("enter", None))
        for _ in range(100_000):
            if screen._turn is not None:
                break
            await asyncio.sleep(0)
        for _ in range(steps):
            await asyncio.sleep(0)
        await screen.action_stop()
        await person.sees("ready", "StatusBar")
        if person.input != "first words":
            await person.sees("stopped", "AssistantMessage")
            await person.type("first words")
        await person.press("enter")
        await person.sees("You said: first words", "AssistantMessage")


async def test_a_second_message_waits_in_the_input_while_a_reply_is_written(make_app: MakeApp, use: Use) -> None:
    model = ScriptedModel("word " * 500, "Second.", token_seconds=0.03)
    async with use(make_app(model)) as person:
        await person.type("first")
        await person.press("enter")
        await person.sees("word", "AssistantMessage")
        await person.paste("second")
        await person.press("enter")
        await person.sees("One message at a time", "Composer")
        assert person.input == "second"
        assert len(model.prompts) == 1
        await person.press("escape")
        await person.sees("ready", "StatusBar")
        await person.press("enter")
        await person.sees("Second.", "AssistantMessage")


async def test_nothing_is_sent_without_words(make_app: MakeApp, use: Use) -> None:
    model = ScriptedModel("Never said.")
    async with use(make_app(model)) as person:
        await person.type("  ")
        await person.press("enter")
        await person.sees("no words", "Composer")
        assert model.prompts == []


async def test_the_screen_is_painted_and_typed_into_while_the_session_is_built(use: Use) -> None:
    go_on = threading.Event()
    model = ScriptedModel("Here I am.")

    def build(progress: Progress) -> Session:
        progress("fetching the decoder", 43, 100)
        go_on.wait(10)
        progress("loading", 0, 0)
        return Session(model)

    async with use(ParleyApp(build)) as person:
        await person.sees("fetching the decoder 43 %", "StatusBar")
        await person.type("Are you there?")
        assert person.input == "Are you there?"
        await person.press("enter")
        await person.sees("Are you there?", "UserMessage")
        go_on.set()
        await person.sees("Here I am.", "AssistantMessage")
        assert len(model.prompts) == 1


async def test_a_message_that_waits_for_the_model_can_be_taken_back(use: Use) -> None:
    go_on = threading.Event()
    model = ScriptedModel()

    def build(progress: Progress) -> Session:
        go_on.wait(10)
        return Session(model)

    async with use(ParleyApp(build)) as person:
        await person.type("Too early")
        await person.press("enter")
        await person.sees("Too early", "UserMessage")
        await person.press("escape")
        await person.until(lambda: person.input == "Too early")
        go_on.set()
        await person.sees("ready", "StatusBar")
        assert model.prompts == []
        assert not person.read("UserMessage")


async def test_a_session_that_cannot_be_built_says_why_and_is_tried_again_on_the_next_send(use: Use) -> None:
    sent = threading.Event()
    failures = [ModelError("The model cannot be fetched: no network."), None]

    def build(progress: Progress) -> Session:
        sent.wait(10)
        if failure := failures.pop(0):
            raise failure
        return Session(ScriptedModel("Now it works."))

    async with use(ParleyApp(build)) as person:
        await person.type("Are you there?")
        await person.press("enter")
        await person.sees("Are you there?", "UserMessage")
        sent.set()
        await person.sees("The model cannot be fetched: no network.", "Notice")
        await person.until(lambda: person.input == "Are you there?")
        assert "no model" in person.read("StatusBar")
        await person.press("enter")
        await person.sees("Now it works.", "AssistantMessage")


async def test_leaving_ends_a_build_that_takes_long(use: Use) -> None:
    building = threading.Event()
    ended = threading.Event()

    def build(progress: Progress) -> Session:
        building.set()
        try:
            for done in range(10_000):
                progress("fetching", done, 10_000)
                threading.Event().wait(0.001)
        finally:
            ended.set()
        raise AssertionError("nobody ended it")

    async with use(ParleyApp(build)) as person:
        await person.until(building.is_set)
        await person.press("ctrl+q")
    assert await asyncio.to_thread(ended.wait, 5)


async def test_a_turn_that_fails_before_its_first_word_returns_the_text(make_app: MakeApp, use: Use) -> None:
    model = ScriptedModel()
    model.enqueue(ModelError("The model ran out of memory: choose a smaller picture."), "Better now.")
    async with use(make_app(model)) as person:
        await person.type("What is this?")
        await person.press("enter")
        await person.sees("ran out of memory", "Notice")
        await person.until(lambda: person.input == "What is this?")
        assert not person.read("UserMessage")
        assert not person.read("AssistantMessage")
        await person.press("enter")
        await person.sees("Better now.", "AssistantMessage")


async def test_a_turn_that_fails_after_some_words_keeps_them(make_app: MakeApp, use: Use) -> None:
    class Faltering(ScriptedModel):
        def stream(
            self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
        ) -> Generator[str, None, Usage]:
            yield "It is a"
            raise ModelError("The model ran out of memory: choose a smaller picture.")

    store = Kept()
    async with use(make_app(Faltering(), store=store)) as person:
        await person.type("What is this?")
        await person.press("enter")
        await person.sees("ran out of memory", "Notice")
        await person.sees("It is a", "AssistantMessage")
        await person.sees("stopped", "AssistantMessage")
        assert person.input == ""
        assert store.turns == [(user("What is this?"), assistant("It is a", interrupted=True))]


async def test_a_message_too_long_for_the_model_returns_with_its_words(make_app: MakeApp, use: Use) -> None:
    async with use(make_app(ScriptedModel(context_tokens=8))) as person:
        await person.type("one two three four five six seven eight nine")
        await person.press("enter")
        await person.sees("The prompt takes 9 tokens and the model has room for 7", "Notice")
        await person.until(lambda: person.input.endswith("nine"))


async def test_notices_of_a_turn_are_shown_where_they_belong(make_app: MakeApp, use: Use) -> None:
    earlier = [user("one two three four five"), assistant("one two three four five")]
    async with use(make_app(ScriptedModel("Fine."), messages=earlier)) as person:
        await person.sees("ready", "StatusBar")
        person.app.screen._session.model.info = ScriptedModel(context_tokens=10).info  # type: ignore[attr-defined]
        await person.type("How are you?")
        await person.press("enter")
        await person.sees("Fine.", "AssistantMessage")
        await person.sees("no longer fits", "Notice")


async def test_a_resumed_conversation_is_shown_and_continued(make_app: MakeApp, use: Use) -> None:
    model = ScriptedModel("Blue.")
    earlier = [user("What is this?"), assistant("A *boat* on", interrupted=True)]
    async with use(make_app(model, messages=earlier)) as person:
        await person.sees("A boat on", "AssistantMessage")
        assert "What is this?" in person.read("UserMessage")
        assert "stopped" in person.read("AssistantMessage")
        await person.type("What colour?")
        await person.press("enter")
        await person.sees("Blue.")
        assert model.prompts[0][:2] == tuple(earlier)


async def test_a_message_sent_early_stands_below_the_resumed_conversation(use: Use) -> None:
    go_on = threading.Event()

    def build(progress: Progress) -> Session:
        go_on.wait(10)
        return Session(ScriptedModel("New answer."), messages=[user("Old question"), assistant("Old answer")])

    async with use(ParleyApp(build)) as person:
        await person.type("New question")
        await person.press("enter")
        await person.sees("New question", "UserMessage")
        go_on.set()
        await person.sees("New answer.", "AssistantMessage")
        screen = person.read()
        places = [screen.index(text) for text in ("Old question", "Old answer", "New question", "New answer.")]
        assert places == sorted(places)


async def test_of_a_very_long_conversation_the_end_is_shown(make_app: MakeApp, use: Use) -> None:
    earlier = [made for number in range(100) for made in (user(f"question {number}"), assistant(f"answer {number}"))]
    async with use(make_app(ScriptedModel(), messages=earlier)) as person:
        await person.sees("answer 99", "AssistantMessage")
        person.app.screen.query_one(Transcript).scroll_home(animate=False)
        await person.sees("140 earlier messages are remembered", "Notice")
        await person.sees("question 70", "UserMessage")


@pytest.mark.parametrize("way", ["ctrl+q", "exit", "signal", "terminal gone"])
async def test_leaving_keeps_the_reply_as_far_as_it_got(
    make_app: MakeApp, use: Use, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = threading.Event()
    monkeypatch.setattr("tui.app._SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr("tui.app._has_terminal", lambda: not gone.is_set())
    store = Kept()
    model = ScriptedModel("word " * 500, token_seconds=0.02)
    async with use(make_app(model, store=store)) as person:
        await person.type("Go")
        await person.press("enter")
        await person.sees("word word word", "AssistantMessage")
        match way:
            case "ctrl+q":
                await person.press("ctrl+q")
            case "exit":
                person.app.exit()
            case "signal":
                signal.raise_signal(signal.SIGTERM)
                await person.until(lambda: store.turns)
            case "terminal gone":
                gone.set()
                await person.until(lambda: store.turns)
    ((_, reply),) = store.turns
    assert reply.interrupted
    assert reply.text.startswith("word word word")
    assert model.closed


async def test_the_transcript_follows_the_reply_unless_scrolled_up(make_app: MakeApp, use: Use) -> None:
    lines = "\n\n".join(f"line{number}" for number in range(40))
    model = ScriptedModel(" ".join(f"more{number}\n\n" for number in range(500)), token_seconds=0.03)
    async with use(make_app(model, messages=[user("Earlier"), assistant(lines)]), (60, 20)) as person:
        await person.sees("line39", "Transcript")
        await person.type("two")
        await person.press("enter")
        await person.sees("more10", "Transcript")
        await person.press("pageup", "pageup")
        await person.settle()
        here = re.findall(r"more\d+", person.read("Transcript"))
        reply = person.app.screen.query(AssistantMessage).last()
        length = len(reply.text)
        await person.until(lambda: len(reply.text) > length + 100)
        assert re.findall(r"more\d+", person.read("Transcript")) == here
        await person.press("escape")
        await person.sees("ready", "StatusBar")
        await person.type("three")
        await person.press("enter")
        await person.sees("You said: three", "Transcript")


async def test_ctrl_c_copies_what_is_selected_and_does_not_quit(make_app: MakeApp, use: Use) -> None:
    async with use(make_app(ScriptedModel("Copy these words."))) as person:
        await person.type("Go")
        await person.press("enter")
        await person.sees("Copy these words.", "AssistantMessage")
        await person.press("ctrl+c")
        person.app.screen.text_select_all()
        await person.press("ctrl+c")
        assert "Copy these words." in person.app.clipboard
        assert person.app.is_running


async def test_ctrl_c_stops_a_reply_and_keeps_what_was_shown(make_app: MakeApp, use: Use) -> None:
    store = Kept()
    app = make_app(ScriptedModel(" ".join(f"word{number}" for number in range(500)), token_seconds=0.01), store=store)
    async with use(app) as person:
        await person.type("Go")
        await person.press("enter")
        await person.sees("word5", "AssistantMessage")
        await person.press("ctrl+c")
        await person.sees("ready", "StatusBar")
        assert person.app.is_running
        ((_, reply),) = store.turns
        assert reply.interrupted


async def test_the_speed_of_an_earlier_reply_is_not_shown_for_one_that_was_stopped(make_app: MakeApp, use: Use) -> None:
    app = make_app(ScriptedModel("Only three words.", " ".join(["long"] * 500), token_seconds=0.01))
    async with use(app) as person:
        await person.type("Go")
        await person.press("enter")
        await person.sees("tokens/s", "StatusBar")
        await person.type("Go on")
        await person.press("enter")
        await person.sees("long", "AssistantMessage")
        await person.press("escape")
        await person.sees("ready", "StatusBar")
        assert "tokens/s" not in person.read("StatusBar")


async def test_leaving_does_not_wait_for_a_step_of_the_build_that_takes_long(use: Use) -> None:
    building, goes_on = threading.Event(), threading.Event()

    def build(progress: Progress) -> Session:
        building.set()
        goes_on.wait(20)
        raise AssertionError("nobody waits for this")

    async with use(ParleyApp(build)) as person:
        await person.until(building.is_set)
        await person.press("ctrl+q")
    waiting = [thread for thread in threading.enumerate() if thread.name == "build"]
    # A daemon thread is one that the end of the program does not wait for.
    assert [thread.daemon for thread in waiting] == [True]
    goes_on.set()


async def test_clicking_into_the_transcript_does_not_take_the_keyboard_away(make_app: MakeApp, use: Use) -> None:
    async with use(make_app(ScriptedModel("Hello."))) as person:
        await person.type("Hi")
        await person.press("enter")
        await person.sees("Hello.", "AssistantMessage")
        for place in ("Transcript", "AssistantMessage", "StatusBar"):
            await person.click(place)
            await person.type("x")


async def test_what_was_sent_comes_back_with_the_arrow_keys(make_app: MakeApp, use: Use) -> None:
    async with use(make_app(ScriptedModel("First.", "Second."))) as person:
        await person.type("one")
        await person.press("enter")
        await person.sees("First.")
        await person.type("two\nlines")
        await person.press("enter")
        await person.sees("Second.")
        await person.type("draft")
        await person.press("up")
        await person.until(lambda: person.input == "two\nlines")
        await person.press("up", "up")
        await person.until(lambda: person.input == "one")
        await person.press("down", "down")
        await person.until(lambda: person.input == "draft")


async def test_a_small_terminal_shows_the_essential(make_app: MakeApp, use: Use) -> None:
    async with use(make_app(ScriptedModel("A short answer."))) as person:
        await person.type("Hello there")
        await person.press("enter")
        await person.sees("A short answer.", "AssistantMessage")
        await person.resize(40, 12)
        await person.sees("A short answer.", "AssistantMessage")
        await person.type("next")
        await person.sees("next", "Prompt")
        await person.sees("scripted", "StatusBar")
        assert max(len(line) for line in person.read().splitlines()) <= 40


@pytest.mark.parametrize(
    ("columns", "shown"), [(120, "scripted · cuda:0 · nf4 · 12.5 tokens/s · context 50 %"), (30, "scripted")]
)
async def test_the_status_drops_the_least_important_where_room_is_scarce(
    make_app: MakeApp, use: Use, columns: int, shown: str
) -> None:
    model = ScriptedModel()
    model.info = type(model.info)("scripted", "cuda:0", "nf4", 100)
    async with use(make_app(model), (columns, 12)) as person:
        await person.sees("ready", "StatusBar")
        person.app.screen.query_one(StatusBar).usage = Usage(24, 0, 26, first_token_seconds=1, total_seconds=3)
        await person.sees(shown, "StatusBar")
        assert person.read("StatusBar").split("  ")[-1].strip() == shown


def test_the_app_starts_without_the_machinery_of_models() -> None:
    code = "import sys, tui.app; print(sorted({'torch', 'transformers', 'pydantic', 'sqlite3'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert loaded.stdout.strip() == "[]"
