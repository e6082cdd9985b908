"""Line mode: one turn for each line, answers apart from everything else that is said."""

import os
import signal
import threading
from collections.abc import Generator, Sequence
from pathlib import Path

import PIL.Image
import pytest

from assistant.attachments.images import ImageLoader
from assistant.conversation.session import Session
from assistant.errors import HistoryError, ModelError
from assistant.events import Usage
from assistant.messages import Message
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from parley.cli.chat import converse


class Conversed:
    """What was written and what was told, and whether all went well."""

    def __init__(self, session: Session, *lines: str) -> None:
        self.pieces: list[str] = []
        self.told: list[str] = []
        self.well = converse(lines, session, self.pieces.append, self.told.append, ImageLoader())

    @property
    def written(self) -> str:
        return "".join(self.pieces)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "my photo.png"
    PIL.Image.new("RGB", (40, 30), "red").save(path)
    return path


def test_each_line_is_a_turn_of_one_conversation() -> None:
    model = ScriptedModel("Hello.", "You said hi.")
    heard = Conversed(Session(model), "Hi!\n", "\n", "   \n", "What did I say?")
    assert heard.written == "Hello.\nYou said hi.\n"
    assert heard.well
    assert not heard.told
    assert [message.text for message in model.prompts[1]] == ["Hi!", "Hello.", "What did I say?"]
    assert model.closed


def test_a_byte_order_mark_and_foreign_line_ends_are_no_words() -> None:
    model = ScriptedModel()
    Conversed(Session(model), "\ufeffHi!\r\n")
    assert model.prompts[0][0].text == "Hi!"


def test_words_are_written_as_they_come() -> None:
    assert Conversed(Session(ScriptedModel("one two three")), "Count.").pieces == ["one", " two", " three", "\n"]


def test_pictures_named_in_a_line_are_shown_to_the_model(photo: Path) -> None:
    model = ScriptedModel()
    Conversed(Session(model), f'What is in this picture? "{photo}"\n')
    message = model.prompts[0][0]
    assert [image.name for image in message.images] == ["my photo.png"]
    assert message.text == "What is in this picture?"


def test_a_line_with_a_missing_picture_is_told_and_the_next_goes_on(tmp_path: Path) -> None:
    model = ScriptedModel("Fine.")
    heard = Conversed(Session(model), f"What is this? {tmp_path}/gone.jpg\n", "How are you?\n")
    assert heard.written == "Fine.\n"
    assert not heard.well
    [told] = heard.told
    assert told.startswith("line 1: ")
    assert "gone.jpg" in told
    assert len(model.prompts) == 1


def test_what_is_to_know_about_a_picture_is_told_and_not_written(tmp_path: Path) -> None:
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "cat.gif", save_all=True, append_images=frames[1:])
    heard = Conversed(Session(ScriptedModel("A cat.")), f"{tmp_path}/cat.gif what is it?")
    assert heard.written == "A cat.\n"
    assert heard.well
    assert "cat.gif is animated" in heard.told[0]


def test_a_failure_half_way_ends_its_line() -> None:
    class Failing(ScriptedModel):
        def stream(
            self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
        ) -> Generator[str, None, Usage]:
            usage = yield from super().stream(messages, options, stop)
            if len(self.prompts) == 1:
                raise ModelError("Out of memory.")
            return usage

    heard = Conversed(Session(Failing("A cat", "A dog.")), "one", "two")
    assert heard.written == "A cat\nA dog.\n"
    assert heard.told == ["line 1: Out of memory."]
    assert not heard.well


def test_an_overlong_line_says_how_long_and_keeps_the_conversation() -> None:
    model = ScriptedModel("Noted.", "Blue.", context_tokens=60)
    heard = Conversed(Session(model), "My colour is blue.", "word " * 100, "Which colour?")
    assert heard.written == "Noted.\nBlue.\n"
    assert "takes 100 tokens and the model has room for 59" in heard.told[0]
    assert model.prompts[1][0].text == "My colour is blue."


def test_a_history_that_cannot_be_written_is_told_once_and_does_not_go_well() -> None:
    class Full:
        def append(self, user: Message, reply: Message, usage: Usage) -> None:
            raise HistoryError("The disk is full.")

    heard = Conversed(Session(ScriptedModel("one", "two"), store=Full()), "a", "b")
    assert heard.written == "one\ntwo\n"
    assert len(heard.told) == 1
    assert not heard.well


def test_a_notice_never_breaks_into_a_line() -> None:
    class Full:
        def append(self, user: Message, reply: Message, usage: Usage) -> None:
            raise HistoryError("The disk is full.")

    order: list[str] = []
    converse(["a"], Session(ScriptedModel("one two"), store=Full()), order.append, order.append, ImageLoader())
    assert order[:3] == ["one", " two", "\n"]
    assert order[3].startswith("The disk is full.")


def test_ctrl_c_between_turns_is_not_held_back() -> None:
    def lines() -> Generator[str, None, None]:
        yield "Hi"
        raise KeyboardInterrupt

    pieces: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        converse(lines(), Session(ScriptedModel("Hello.")), pieces.append, pieces.append, ImageLoader())
    assert "".join(pieces) == "Hello.\n"


def test_an_interruption_still_tells_that_nothing_was_saved() -> None:
    class Full:
        def append(self, user: Message, reply: Message, usage: Usage) -> None:
            raise HistoryError("The disk is full.")

    class Interrupted(ScriptedModel):
        def stream(
            self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
        ) -> Generator[str, None, Usage]:
            yield "A dog"
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.wait(10), "Ctrl-C stops the model"
            return Usage()

    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        converse(["a"], Session(Interrupted(), store=Full()), lambda _: None, told.append, ImageLoader())
    assert told == ["The last turns are not saved. The disk is full."]


def test_a_picture_without_words_is_refused_and_the_next_line_goes_on(photo: Path) -> None:
    model = ScriptedModel("Fine.")
    heard = Conversed(Session(model), f'"{photo}"', "How are you?")
    assert heard.told == ["line 1: There are no words to send yet: type a question."]
    assert heard.written == "Fine.\n"
    assert not heard.well


def test_a_page_in_a_line_is_talked_about_while_links_are_off() -> None:
    model = ScriptedModel("It is an example.")
    assert Conversed(Session(model), "tell me about https://example.com please").well
    assert model.prompts[0][0].text == "tell me about https://example.com please"


class OneOther:
    """There is one other model, and its name is other."""

    def __init__(self, model: ScriptedModel) -> None:
        self.model = model

    def fetch(self, name: str, progress: Progress) -> None:
        if name != "other":
            raise ModelError(f"There is no model {name}.")

    def load(self, name: str, progress: Progress) -> ScriptedModel:
        return self.model


def test_a_line_can_choose_another_model() -> None:
    session = Session(ScriptedModel("One."), models=OneOther(ScriptedModel("Two.")), model_name="scripted")
    heard = Conversed(session, "Count.", "/model other", "Go on.", "/model third")
    assert heard.written == "One.\nTwo.\n"
    assert heard.told == ["scripted answers from here on.", "line 4: There is no model third."]
    assert not heard.well
