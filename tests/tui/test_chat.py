"""Typed turns: sending, stopping, failing, and the look of the transcript."""

import asyncio
import re
import threading
from collections.abc import Generator, Sequence

import pytest
from textual import events

from assistant.errors import ModelError
from assistant.events import Usage
from assistant.messages import Message, assistant, user
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from tests.fakes.conversation import FailingModel, RecordingStore, StallingModel
from tests.fakes.tui import WAIT_SECS, MakeApp, RunApp, UnfinishedModel
from tui.screens.chat import ChatScreen
from tui.widgets.assistant_message import AssistantMessage
from tui.widgets.prompt import Prompt
from tui.widgets.reasoning import ReasoningFold
from tui.widgets.status_bar import StatusBar
from tui.widgets.transcript import Transcript


async def test_question_is_answered_and_the_status_names_the_model(make_app: MakeApp, run_app: RunApp) -> None:
    model = ScriptedModel("It is a **ginger** cat.", token_seconds=0.01)
    async with run_app(make_app(model)) as person:
        await person.expect_text("ready", "StatusBar")
        await person.send("What is it?")
        await person.expect_text("It is a ginger cat.", "AssistantMessage")
        await person.expect_text("tokens/s", "StatusBar")
        assert person.input == ""
        assert "What is it?" in person.read("UserMessage")
        assert "scripted · cpu" in person.read("StatusBar")
        assert "context 0 %" in person.read("StatusBar")


async def test_ctrl_j_and_shift_enter_insert_line_breaks(make_app: MakeApp, run_app: RunApp) -> None:
    model = ScriptedModel("Yes.")
    async with run_app(make_app(model)) as person:
        await person.type("one\ntwo")
        await person.press("shift+enter")
        await person.send("three")
        await person.expect_text("Yes.")
        assert model.prompts[0][-1].text == "one\ntwo\nthree"
        assert "one\n" in person.read("UserMessage")


async def test_typed_markup_is_shown_as_text(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel("Yes."))) as person:
        await person.send("Is [bold]this[/bold] and [/] text?")
        await person.expect_text("Is [bold]this[/bold] and [/] text?", "UserMessage")


async def test_html_tags_and_line_breaks_of_a_reply_are_shown(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel("Use <b>bold</b>.\nThen\n\n<div>\nmore\n</div>"))) as person:
        await person.send("How?")
        await person.expect_text("Use <b>bold</b>.\n", "AssistantMessage")
        await person.expect_text("<div>\n", "AssistantMessage")


async def test_esc_stops_the_reply_and_keeps_what_was_shown(make_app: MakeApp, run_app: RunApp) -> None:
    store = RecordingStore()
    words = [f"word{number}" for number in range(3000)]
    app = make_app(ScriptedModel(" ".join(words), "Next answer.", token_seconds=0.01), store=store)
    async with run_app(app) as person:
        await person.send("Go")
        await person.expect_text("word5", "AssistantMessage")
        await person.press("escape")
        await person.expect_text("stopped", "AssistantMessage")
        await person.expect_text("ready", "StatusBar")
        ((_, reply, interrupted),) = store.turns
        assert interrupted
        assert reply.split() == words[: len(reply.split())]
        assert len(reply.split()) < len(words)
        assert person.read("AssistantMessage").split()[:-2] == reply.split()

        await person.send("And now?")
        await person.expect_text("Next answer.", "AssistantMessage")


async def test_esc_before_the_first_word_keeps_an_empty_reply(make_app: MakeApp, run_app: RunApp) -> None:
    store = RecordingStore()
    async with run_app(make_app(ScriptedModel("Never said.", token_seconds=60), store=store)) as person:
        await person.send("Go")
        await person.expect_text("thinking", "StatusBar")
        await person.press("escape")
        await person.expect_text("stopped", "AssistantMessage")
        assert store.turns == [("Go", "", True)]


@pytest.mark.parametrize("steps", [0, 1, 3, 10, 40])
async def test_esc_right_after_enter_loses_no_text(make_app: MakeApp, run_app: RunApp, steps: int) -> None:
    model = ScriptedModel(token_seconds=0.2)
    async with run_app(make_app(model)) as person:
        await person.type("first words")
        await person.expect_text("ready", "StatusBar")
        screen = person.app.screen
        assert isinstance(screen, ChatScreen)
        person.app.post_message(events.Key("enter", None))
        for _ in range(100_000):
            if screen._current_turn is not None:
                break
            await asyncio.sleep(0)
        for _ in range(steps):
            await asyncio.sleep(0)
        await screen.action_stop()
        # Either the message returns, or it is kept with a reply that was stopped.
        await person.wait_until(
            lambda: person.input == "first words" or "stopped" in person.read("AssistantMessage"), person.read
        )
        await screen.flush()
        if person.input != "first words":
            await person.type("first words")
        await person.press("enter")
        await person.expect_text("You said: first words", "AssistantMessage")


async def test_second_message_stays_in_the_input_while_a_reply_is_written(make_app: MakeApp, run_app: RunApp) -> None:
    model = UnfinishedModel("First word …", "Second.")
    async with run_app(make_app(model)) as person:
        await person.send("first")
        await person.expect_text("First word", "AssistantMessage")
        await person.paste("second")
        await person.press("enter")
        await person.expect_text("One message at a time", "Composer")
        assert person.input == "second"
        assert len(model.prompts) == 1
        await person.press("escape")
        await person.expect_text("ready", "StatusBar")
        await person.press("enter")
        await person.expect_text("Second.", "AssistantMessage")


async def test_message_that_was_not_sent_is_selected_so_that_the_next_one_replaces_it(
    make_app: MakeApp, run_app: RunApp
) -> None:
    model = UnfinishedModel("First word …", "Third.")
    async with run_app(make_app(model)) as person:
        await person.send("first")
        await person.expect_text("First word", "AssistantMessage")
        await person.send("second")
        await person.expect_text("One message at a time", "Composer")
        assert person.app.screen.query_one(Prompt).selected_text == "second"
        await person.press(*"third")
        await person.wait_until(lambda: person.input == "third", lambda: person.input)
        await person.press("escape")
        await person.expect_text("ready", "StatusBar")
        await person.press("enter")
        await person.expect_text("Third.", "AssistantMessage")
        assert model.prompts[-1][-1].text == "third"
        await person.press("up", "up")
        await person.wait_until(lambda: person.input == "second", lambda: person.input)


async def test_message_that_fails_does_not_join_the_one_typed_since(make_app: MakeApp, run_app: RunApp) -> None:
    model = StallingModel("", "Better.")
    app = make_app(model)
    async with run_app(app) as person:
        await person.send("first")
        await person.wait_until(model.stalled.is_set)
        await person.type("second")
        screen = person.app.screen
        assert isinstance(screen, ChatScreen)
        running = screen._current_turn
        assert running is not None
        await screen._composer.restore(running.submitted)
        await person.expect_text("↑ brings back", "Composer")
        assert person.input == "second"
        assert screen._composer.unsent_text(with_submitted=False) == "first\nsecond"
        await person.press("up")
        await person.wait_until(lambda: person.input == "first", lambda: person.input)
        await person.press("down")
        await person.wait_until(lambda: person.input == "second", lambda: person.input)


async def test_esc_is_acknowledged_before_the_model_has_stopped(make_app: MakeApp, run_app: RunApp) -> None:
    model = DeafModel("Never said.", "Next.")
    async with run_app(make_app(model)) as person:
        await person.send("Go")
        await person.expect_text("thinking", "StatusBar")
        await person.wait_until(model.begun.is_set)
        await person.press("escape")
        await person.expect_text("stopping …", "AssistantMessage")
        await person.expect_text("stopping …", "StatusBar")
        await person.send("And now?")
        await person.expect_text("still being stopped", "Composer")
        assert person.input == "And now?"
        model.may_end.set()
        await person.expect_text("ready", "StatusBar")
        await person.expect_text("■ stopped", "AssistantMessage")
        assert "stopping" not in person.read()
        await person.press("enter")
        await person.expect_text("Next.", "AssistantMessage")


class DeafModel(ScriptedModel):
    """Does not notice its first stop event before `may_end` is set, as in the middle of a long prompt."""

    def __init__(self, *replies: str) -> None:
        super().__init__(*replies)
        self.begun, self.may_end = threading.Event(), threading.Event()

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        self.begun.set()
        assert self.may_end.wait(WAIT_SECS)
        return (yield from super().stream(messages, options, stop))


async def test_blank_message_is_not_sent(make_app: MakeApp, run_app: RunApp) -> None:
    model = ScriptedModel("Never said.")
    async with run_app(make_app(model)) as person:
        await person.send("  ")
        await person.expect_text("no words", "Composer")
        assert model.prompts == []


async def test_turn_that_fails_before_its_first_word_returns_the_text(make_app: MakeApp, run_app: RunApp) -> None:
    model = ScriptedModel()
    model.enqueue(ModelError("The model ran out of memory: choose a smaller picture."), "Better now.")
    async with run_app(make_app(model)) as person:
        await person.send("What is this?")
        await person.expect_text("ran out of memory", "Notice")
        await person.wait_until(lambda: person.input == "What is this?")
        assert not person.read("UserMessage")
        assert not person.read("AssistantMessage")
        await person.press("enter")
        await person.expect_text("Better now.", "AssistantMessage")


async def test_turn_that_fails_after_some_words_keeps_them(make_app: MakeApp, run_app: RunApp) -> None:
    store = RecordingStore()
    async with run_app(make_app(FailingModel("It is a"), store=store)) as person:
        await person.send("What is this?")
        await person.expect_text("ran out of memory", "Notice")
        await person.expect_text("It is a", "AssistantMessage")
        await person.expect_text("stopped", "AssistantMessage")
        assert person.input == ""
        assert store.turns == [("What is this?", "It is a", True)]


async def test_message_too_long_for_the_model_returns_to_the_input(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel(context_tokens=8))) as person:
        await person.send("one two three four five six seven eight nine")
        await person.expect_text("The prompt takes 9 tokens and the model has room for 7", "Notice")
        await person.wait_until(lambda: person.input.endswith("nine"))


async def test_notice_of_a_turn_is_shown_above_its_reply(make_app: MakeApp, run_app: RunApp) -> None:
    earlier = [user("one two three four five"), assistant("one two three four five")]
    model = ScriptedModel("Fine.", context_tokens=10)
    async with run_app(make_app(model, messages=earlier)) as person:
        await person.expect_text("ready", "StatusBar")
        await person.send("How are you?")
        await person.expect_text("Fine.", "AssistantMessage")
        await person.expect_text("no longer fits", "Notice")


async def test_resumed_conversation_is_shown_and_continued(make_app: MakeApp, run_app: RunApp) -> None:
    model = ScriptedModel("Blue.")
    earlier = [user("What is this?"), assistant("A *boat* on", interrupted=True)]
    async with run_app(make_app(model, messages=earlier)) as person:
        await person.expect_text("A boat on", "AssistantMessage")
        assert "What is this?" in person.read("UserMessage")
        assert "stopped" in person.read("AssistantMessage")
        await person.send("What colour?")
        await person.expect_text("Blue.")
        assert model.prompts[0][:2] == tuple(earlier)


async def test_earlier_messages_of_a_long_conversation_come_when_scrolling_up(
    make_app: MakeApp, run_app: RunApp
) -> None:
    earlier = [
        message for number in range(100) for message in (user(f"question {number}"), assistant(f"answer {number}"))
    ]
    async with run_app(make_app(ScriptedModel(), messages=earlier)) as person:
        await person.expect_text("answer 99", "AssistantMessage")
        transcript = person.app.screen.query_one(Transcript)
        assert len(transcript.children) <= Transcript.MAX_LATEST + 1
        for number in (70, 40, 0):
            for _ in range(60):
                if f"question {number}\n" in person.read("UserMessage") + "\n":
                    break
                await person.press("pageup")
                await person.settle()
            else:
                raise AssertionError(f"scrolling up does not show question {number}: {person.read()}")
        assert "earlier message" not in person.read("Transcript")
        await person.send("And now?")
        await person.expect_text("You said: And now?", "AssistantMessage")
        assert len(transcript.children) <= Transcript.MAX_LATEST + 3


async def test_scrolling_up_to_earlier_messages_stays_at_the_same_text(make_app: MakeApp, run_app: RunApp) -> None:
    earlier = [message for number in range(100) for message in (user(f"question {number}"), assistant("- a\n- b"))]
    async with run_app(make_app(ScriptedModel(), messages=earlier)) as person:
        await person.expect_text("question 99", "UserMessage")
        transcript = person.app.screen.query_one(Transcript)
        count = len(transcript.children)
        transcript.scroll_home(animate=False)
        await person.wait_until(lambda: len(transcript.children) > count)
        await person.expect_text("question 80", "UserMessage")
        await person.wait_until(lambda: transcript.scroll_y > 0)


async def test_widgets_stay_few_however_long_the_conversation_becomes(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel())) as person:
        await person.expect_text("ready", "StatusBar")
        transcript = person.app.screen.query_one(Transcript)
        for number in range(40):
            await person.paste(f"message {number}.")
            await person.press("enter")
            await person.expect_text(f"You said: message {number}.", "AssistantMessage")
            await person.expect_text("ready", "StatusBar")
        assert len(transcript.children) <= Transcript.MAX_LATEST + Transcript.PAGE
        while "message 0." not in person.read("UserMessage"):
            await person.press("pageup")
            await person.settle()


async def test_transcript_follows_the_reply_unless_scrolled_up(make_app: MakeApp, run_app: RunApp) -> None:
    lines = "\n\n".join(f"line{number}" for number in range(40))
    model = ScriptedModel(" ".join(f"more{number}\n\n" for number in range(2000)), token_seconds=0.03)
    async with run_app(make_app(model, messages=[user("Earlier"), assistant(lines)]), (60, 20)) as person:
        await person.expect_text("line39", "Transcript")
        await person.send("two")
        await person.expect_text("more10", "Transcript")
        await person.press("pageup", "pageup")
        await person.settle()
        here = re.findall(r"more\d+", person.read("Transcript"))
        reply = person.app.screen.query(AssistantMessage).last()
        length = len(reply.text)
        await person.wait_until(lambda: len(reply.text) > length + 100)
        assert re.findall(r"more\d+", person.read("Transcript")) == here
        await person.press("escape")
        await person.expect_text("ready", "StatusBar")
        await person.send("three")
        await person.expect_text("You said: three", "Transcript")


async def test_ctrl_c_copies_the_selection_and_does_not_quit(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel("Copy these words."))) as person:
        await person.send("Go")
        await person.expect_text("Copy these words.", "AssistantMessage")
        await person.press("ctrl+c")
        person.app.screen.text_select_all()
        await person.press("ctrl+c")
        assert "Copy these words." in person.app.clipboard
        assert person.app.is_running


async def test_ctrl_c_stops_the_reply_and_keeps_what_was_shown(make_app: MakeApp, run_app: RunApp) -> None:
    store = RecordingStore()
    async with run_app(make_app(UnfinishedModel("Once upon …"), store=store)) as person:
        await person.send("Go")
        await person.expect_text("Once upon …", "AssistantMessage")
        await person.press("ctrl+c")
        await person.expect_text("ready", "StatusBar")
        assert person.app.is_running
        assert store.turns == [("Go", "Once upon …", True)]


async def test_stopped_reply_does_not_show_the_speed_of_the_one_before(make_app: MakeApp, run_app: RunApp) -> None:
    model = UnfinishedModel("Only three words.", "Once upon …", token_seconds=0.01)
    async with run_app(make_app(model)) as person:
        await person.send("Go")
        await person.expect_text("tokens/s", "StatusBar")
        await person.send("Go on")
        await person.expect_text("Once upon …", "AssistantMessage")
        await person.press("escape")
        await person.expect_text("ready", "StatusBar")
        assert "tokens/s" not in person.read("StatusBar")


async def test_click_into_the_transcript_leaves_the_focus_in_the_prompt(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel("Hello."))) as person:
        await person.send("Hi")
        await person.expect_text("Hello.", "AssistantMessage")
        for place in ("Transcript", "AssistantMessage", "StatusBar"):
            await person.click(place)
            await person.type("x")


async def test_arrow_keys_bring_back_earlier_messages(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel("First.", "Second."))) as person:
        await person.send("one")
        await person.expect_text("First.")
        await person.send("two\nlines")
        await person.expect_text("Second.")
        await person.type("draft")
        await person.press("up")
        await person.wait_until(lambda: person.input == "two\nlines")
        await person.press("up", "up")
        await person.wait_until(lambda: person.input == "one")
        await person.press("down", "down")
        await person.wait_until(lambda: person.input == "draft")


async def test_arrow_keys_bring_back_messages_of_a_resumed_conversation(make_app: MakeApp, run_app: RunApp) -> None:
    earlier = [user("one"), assistant("1"), user("two"), assistant("2")]
    async with run_app(make_app(ScriptedModel(), messages=earlier)) as person:
        await person.expect_text("ready", "StatusBar")
        await person.send("three")
        await person.expect_text("You said: three", "AssistantMessage")
        for text in ("three", "two", "one"):
            await person.press("up")
            await person.wait_until(lambda text=text: person.input == text)  # type: ignore[misc]


async def test_hint_goes_with_the_text_that_it_is_about(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(UnfinishedModel("First …"))) as person:
        await person.send("first")
        await person.expect_text("First …", "AssistantMessage")
        await person.send("second")
        await person.expect_text("One message at a time", "Composer")
        await person.press("ctrl+u")
        await person.wait_until(lambda: not person.input)
        await person.wait_until(lambda: "One message" not in person.read("Composer"), person.read)


async def test_hint_about_an_empty_input_goes_with_the_first_letter(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel())) as person:
        await person.send(" ")
        await person.expect_text("no words", "Composer")
        await person.type("a")
        await person.wait_until(lambda: "no words" not in person.read("Composer"), person.read)


async def test_pasted_text_has_no_controls_and_stays_otherwise(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel())) as person:
        await person.paste("one\r\ntwo\u2028three \x1b]0;PWNED\x07\u202e \ud800 👨\u200d👩\u200d👧 שלום")
        await person.wait_until(lambda: person.input)
        assert person.input == "one\ntwo\nthree ]0;PWNED \ufffd 👨\u200d👩\u200d👧 שלום"


@pytest.mark.parametrize("text", ["word " * 200_000, "line\n" * 100_000, "a.png " * 30_000])
async def test_huge_paste_leaves_the_app_alive(make_app: MakeApp, run_app: RunApp, text: str) -> None:
    async with run_app(make_app(ScriptedModel("Fine.", context_tokens=10**9))) as person:
        await person.expect_text("ready", "StatusBar")
        await person.paste(text)
        await person.wait_until(lambda: person.input == text)
        await person.press("enter")
        await person.expect_text("Fine.", "AssistantMessage")
        await person.expect_text("characters more", "UserMessage")


async def test_undoing_a_paste_that_is_higher_than_the_prompt(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel())) as person:
        await person.paste("line\n" * 30)
        await person.wait_until(lambda: person.input)
        await person.settle()
        await person.press("ctrl+z")
        await person.wait_until(lambda: not person.input)
        await person.type("alive")
        assert person.input == "alive"


async def test_ctrl_c_says_how_to_quit(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel())) as person:
        told: list[str] = []
        person.app.notify = lambda message, **_: told.append(message)  # type: ignore[method-assign]
        await person.type("draft")
        await person.press("ctrl+c")
        await person.wait_until(lambda: told)
        assert told == ["Ctrl+Q quits."]


async def test_small_terminal_shows_the_essentials(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel("A short answer."))) as person:
        await person.send("Hello there")
        await person.expect_text("A short answer.", "AssistantMessage")
        await person.resize(40, 12)
        await person.expect_text("A short answer.", "AssistantMessage")
        await person.type("next")
        await person.expect_text("next", "Prompt")
        await person.expect_text("scripted", "StatusBar")
        assert max(len(line) for line in person.read().splitlines()) <= 40


@pytest.mark.parametrize(
    ("columns", "shown"), [(120, "scripted · cuda:0 · nf4 · 12.5 tokens/s · context 50 %"), (30, "scripted")]
)
async def test_narrow_status_bar_drops_the_least_important_facts(
    make_app: MakeApp, run_app: RunApp, columns: int, shown: str
) -> None:
    model = ScriptedModel()
    model.info = type(model.info)("scripted", "cuda:0", "nf4", 100)
    async with run_app(make_app(model), (columns, 12)) as person:
        await person.expect_text("ready", "StatusBar")
        person.app.screen.query_one(StatusBar).usage = Usage(24, 0, 26, first_token_seconds=1, total_seconds=3)
        await person.expect_text(shown, "StatusBar")
        assert person.read("StatusBar").split("  ")[-1].strip() == shown


async def test_reasoning_is_folded_and_opens_on_a_click(make_app: MakeApp, run_app: RunApp) -> None:
    store = RecordingStore()
    model = ScriptedModel("<think>It is red, I think.</think> Red.", token_seconds=0.01)
    async with run_app(make_app(model, store=store)) as person:
        await person.send("Which colour?")
        await person.expect_text("Red.", "AssistantMessage Markdown")
        await person.expect_text("Reasoned for", "ReasoningFold")
        assert "It is red, I think." not in person.read("AssistantMessage Markdown")
        fold = person.app.screen.query_one(ReasoningFold)
        assert fold.collapsed
        await person.click("ReasoningFold CollapsibleTitle")
        await person.expect_text("It is red, I think.", "ReasoningFold")
        assert store.turns == [("Which colour?", "Red.", False)]


async def test_text_that_turns_out_to_be_reasoning_moves_into_the_fold(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel("It is red. </think> Red.", token_seconds=0.01))) as person:
        await person.send("Which colour?")
        await person.expect_text("Red.", "AssistantMessage Markdown")
        await person.wait_until(lambda: "It is" not in person.read("AssistantMessage Markdown"))
        assert person.app.screen.query_one(ReasoningFold).text.strip() == "It is red."


async def test_reasoning_of_a_resumed_conversation_is_folded(make_app: MakeApp, run_app: RunApp) -> None:
    messages = [user("Which colour?"), assistant("Red.", reasoning="It is red.")]
    async with run_app(make_app(ScriptedModel(), messages=messages)) as person:
        await person.expect_text("Red.", "AssistantMessage Markdown")
        assert person.app.screen.query_one(ReasoningFold).text == "It is red."
