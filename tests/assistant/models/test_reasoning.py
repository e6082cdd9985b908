"""Replies of models that reason first: what is shown, kept, prompted with, and counted as an answer."""

import threading
from collections.abc import Generator, Sequence
from dataclasses import replace

import pytest

from assistant.conversation.session import Session
from assistant.errors import EmptyReply
from assistant.events import Event, ReasoningDelta, TextDelta, TextWasReasoning, Usage
from assistant.messages import Message, Reasoning, ToolCall, assistant, user
from assistant.models.base import GenerationOptions, ReplyItem
from assistant.models.replies import ending_notice, stream_reply, stream_text
from assistant.models.scripted import ScriptedModel
from skills.vision_model import VisionClient
from tests.fakes.conversation import run_turn

OPTIONS = GenerationOptions(max_tokens=64)


class ItemModel(ScriptedModel):
    """Reply with the given items, each time, and learn whether its template opens the reasoning."""

    def __init__(self, *items: ReplyItem, usage: Usage | None = None) -> None:
        super().__init__()
        self.items = items
        self.usage = usage or Usage(reply_tokens=len(items))
        self.opens_reasoning = False

    def stream(  # type: ignore[override]
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[ReplyItem, None, Usage]:
        self.prompts.append(tuple(messages))
        yield from self.items
        return self.usage

    def on_unopened_reasoning(self) -> None:
        self.opens_reasoning = True


def read(model: ItemModel, options: GenerationOptions = OPTIONS) -> tuple[list[ReplyItem], Usage]:
    items: list[ReplyItem] = []
    stream = stream_reply(model, [user("Hi")], options, threading.Event())
    while True:
        try:
            items.append(next(stream))
        except StopIteration as end:
            return items, end.value


def test_tags_in_the_text_become_reasoning() -> None:
    items, usage = read(ItemModel("<thi", "nk>It is", " red.</thi", "nk>\n\n", "Red."))
    assert items == [Reasoning("It is"), Reasoning(" red."), "Red."]
    assert usage.reasoning_tokens > 0


def test_a_reply_of_reasoning_alone_is_an_error_that_says_so() -> None:
    for items in (["<think>hm"], [Reasoning("hm")], ["hm</think>"], ["<think>hm</think>", "\n"]):
        with pytest.raises(EmptyReply, match="scripted only reasoned, and gave no answer"):
            read(ItemModel(*items))
    cut = Usage(reply_tokens=64, finish_reason="length")
    with pytest.raises(EmptyReply, match=r"only reasoned, and gave no answer within 64 tokens: raise --max-tokens"):
        read(ItemModel("<think>hm", usage=cut))


def test_what_seemed_to_be_the_reply_may_turn_out_to_be_reasoning() -> None:
    model = ItemModel("It is", " red.", "</think>", "Red.")
    items, _ = read(model)
    assert items == ["It is", " red.", TextWasReasoning(), "Red."]
    assert model.opens_reasoning
    assert "".join(stream_text(model, [user("Hi")], OPTIONS, threading.Event())) == "Red."


def test_a_loop_in_the_reasoning_ends_the_reply() -> None:
    items = [Reasoning("It may be red or green. ")] * 500
    with pytest.raises(EmptyReply):
        read(ItemModel(*items))
    shown, usage = read(ItemModel("Yes. ", *items))
    assert len(shown) < 100
    assert usage.finish_reason == "loop"


def test_stop_strings_are_looked_for_in_the_reply_alone() -> None:
    items, _ = read(ItemModel("<think>one END two</think>three END four"), replace(OPTIONS, stop=("END",)))
    assert items == [Reasoning("one END two"), "three "]


def test_a_call_of_a_tool_that_nobody_offered_is_reported() -> None:
    items, usage = read(ItemModel("Let me see.", ToolCall("weather", '{"city": "Oslo"}')))
    assert items == ["Let me see.", ToolCall("weather", '{"city": "Oslo"}')]
    assert usage.finish_reason == "tool_calls"
    assert ending_notice(usage, OPTIONS) == "The model called a tool (weather), although none was offered."
    with pytest.raises(EmptyReply, match=r"called a tool \(weather\) although none was offered, and gave no text"):
        read(ItemModel(ToolCall("weather")))


def test_a_skill_gets_the_answer_alone() -> None:
    for items in (["<think>hm</think>Red."], ["hm</think>Red."], [Reasoning("hm"), "Red."]):
        assert VisionClient(ItemModel(*items)).ask("Which colour?") == "Red."


async def test_a_turn_shows_and_keeps_the_reasoning_and_no_later_prompt_has_it() -> None:
    model = ItemModel("<think>\nIt is red.\n</think>\n\nRed.")
    session = Session(model)
    events = await run_turn(session, user("Which colour?"))
    assert _joined(events, ReasoningDelta) == "\nIt is red.\n"
    assert _joined(events, TextDelta) == "Red."
    assert session.messages[1] == assistant("Red.", reasoning="It is red.")
    assert (session.messages[1].text, session.messages[1].reasoning) == ("Red.", "It is red.")
    await run_turn(session, user("Sure?"))
    assert model.prompts[1] == (user("Which colour?"), assistant("Red."), user("Sure?"))
    await session.close()


async def test_a_turn_keeps_only_what_follows_a_lone_closing_tag() -> None:
    session = Session(ItemModel("It is red.</think>", "Red."))
    events = await run_turn(session, user("Which colour?"))
    assert TextWasReasoning() in events
    assert session.messages[1] == assistant("Red.", reasoning="It is red.")
    await session.close()


async def test_a_turn_of_reasoning_alone_leaves_no_trace() -> None:
    session = Session(ItemModel(Reasoning("hm")))
    with pytest.raises(EmptyReply):
        await run_turn(session, user("Which colour?"))
    assert not session.messages
    await session.close()


def _joined(events: Sequence[Event], kind: type[ReasoningDelta] | type[TextDelta]) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))
