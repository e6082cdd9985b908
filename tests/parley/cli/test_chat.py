"""Line mode: one turn for each line of the input."""

import os
import signal
import threading
from collections.abc import Generator, Sequence
from pathlib import Path

import PIL.Image
import pytest

from assistant.attachments.images import ImageLoader
from assistant.conversation.session import Session
from assistant.errors import ModelError
from assistant.events import Usage
from assistant.messages import Message
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from assistant.settings import Settings
from parley.cli.chat import run_repl
from parley.factory.session import start_session
from tests.fakes.conversation import FakeModelSource, RecordingStore


class Repl:
    """The outcome of line mode.

    Attributes:
        chunks: Text written, piece by piece.
        notices: Sentences on standard error.
        succeeded: The result of `run_repl`.
    """

    def __init__(self, session: Session, *lines: str) -> None:
        self.chunks: list[str] = []
        self.notices: list[str] = []
        self.succeeded = run_repl(lines, session, self.chunks.append, self.notices.append, ImageLoader())

    @property
    def output(self) -> str:
        return "".join(self.chunks)


@pytest.fixture
def image_path(tmp_path: Path) -> Path:
    path = tmp_path / "my photo.png"
    PIL.Image.new("RGB", (40, 30), "red").save(path)
    return path


def test_each_line_is_a_turn_of_one_conversation() -> None:
    model = ScriptedModel("Hello.", "You said hi.")
    repl = Repl(Session(model), "Hi!\n", "\n", "   \n", "What did I say?")
    assert repl.output == "Hello.\nYou said hi.\n"
    assert repl.succeeded
    assert not repl.notices
    assert [message.text for message in model.prompts[1]] == ["Hi!", "Hello.", "What did I say?"]
    assert model.closed


def test_byte_order_mark_and_crlf_are_removed() -> None:
    model = ScriptedModel()
    Repl(Session(model), "\ufeffHi!\r\n")
    assert model.prompts[0][0].text == "Hi!"


def test_text_is_written_as_it_comes() -> None:
    assert Repl(Session(ScriptedModel("one two three")), "Count.").chunks == ["one", " two", " three", "\n"]


def test_image_named_in_a_line_is_attached(image_path: Path) -> None:
    model = ScriptedModel()
    Repl(Session(model), f'What is in this picture? "{image_path}"\n')
    message = model.prompts[0][0]
    assert [image.name for image in message.images] == ["my photo.png"]
    assert message.text == "What is in this picture?"


def test_missing_image_is_an_error_and_the_next_line_is_answered(tmp_path: Path) -> None:
    model = ScriptedModel("Fine.")
    repl = Repl(Session(model), f"{tmp_path}/gone.jpg\n", "How are you?\n")
    assert repl.output == "Fine.\n"
    assert not repl.succeeded
    [error] = repl.notices
    assert error.startswith("line 1: ")
    assert "gone.jpg" in error
    assert len(model.prompts) == 1


def test_name_without_a_file_is_sent_as_text_with_a_notice() -> None:
    model = ScriptedModel("With Pillow.")
    repl = Repl(Session(model), "How do I convert gone.png to gone.webp in Python?\n")
    assert repl.succeeded
    assert repl.output == "With Pillow.\n"
    assert repl.notices == ["gone.png and gone.webp are not files here, so they were sent as text."]
    assert model.prompts[0][0].text == "How do I convert gone.png to gone.webp in Python?"


def test_image_without_words_is_an_error_and_the_next_line_is_answered(image_path: Path) -> None:
    repl = Repl(Session(ScriptedModel("Fine.")), f'"{image_path}"', "How are you?")
    assert repl.notices == ["line 1: There are no words to send yet: type a question."]
    assert repl.output == "Fine.\n"
    assert not repl.succeeded


def test_notice_about_an_image_is_not_part_of_the_output(tmp_path: Path) -> None:
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "cat.gif", save_all=True, append_images=frames[1:])
    repl = Repl(Session(ScriptedModel("A cat.")), f"{tmp_path}/cat.gif what is it?")
    assert repl.output == "A cat.\n"
    assert repl.succeeded
    assert "cat.gif is animated" in repl.notices[0]


def test_link_stays_in_the_text_while_links_are_off() -> None:
    model = ScriptedModel("It is an example.")
    assert Repl(Session(model), "tell me about https://example.com please").succeeded
    assert model.prompts[0][0].text == "tell me about https://example.com please"


def test_reply_that_fails_halfway_ends_its_line() -> None:
    class FailingOnce(ScriptedModel):
        def stream(
            self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
        ) -> Generator[str, None, Usage]:
            usage = yield from super().stream(messages, options, stop)
            if len(self.prompts) == 1:
                raise ModelError("Out of memory.")
            return usage

    repl = Repl(Session(FailingOnce("A cat", "A dog.")), "one", "two")
    assert repl.output == "A cat\nA dog.\n"
    assert repl.notices == ["line 1: Out of memory."]
    assert not repl.succeeded


def test_line_too_long_for_the_model_leaves_the_conversation_unchanged() -> None:
    model = ScriptedModel("Noted.", "Blue.", context_tokens=60)
    repl = Repl(Session(model), "My colour is blue.", "word " * 100, "Which colour?")
    assert repl.output == "Noted.\nBlue.\n"
    assert "takes 100 tokens and the model has room for 59" in repl.notices[0]
    assert model.prompts[1][0].text == "My colour is blue."


def test_unwritable_history_causes_one_notice_and_failure() -> None:
    repl = Repl(Session(ScriptedModel("one", "two"), store=RecordingStore(full=True)), "a", "b")
    assert repl.output == "one\ntwo\n"
    assert len(repl.notices) == 1
    assert not repl.succeeded


def test_ctrl_c_between_turns_interrupts_at_once() -> None:
    def lines() -> Generator[str, None, None]:
        yield "Hi"
        raise KeyboardInterrupt

    chunks: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_repl(lines(), Session(ScriptedModel("Hello.")), chunks.append, chunks.append, ImageLoader())
    assert "".join(chunks) == "Hello.\n"


def test_ctrl_c_during_a_turn_still_warns_of_unsaved_turns() -> None:
    class Interrupted(ScriptedModel):
        def stream(
            self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
        ) -> Generator[str, None, Usage]:
            yield "A dog"
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.wait(60), "Ctrl-C stops the model"
            return Usage()

    notices: list[str] = []
    session = Session(Interrupted(), store=RecordingStore(full=True))
    with pytest.raises(KeyboardInterrupt):
        run_repl(["a"], session, lambda _: None, notices.append, ImageLoader())
    assert notices == ["The last turns are not saved. The history cannot be written: the disk is full."]


def test_line_can_choose_another_model() -> None:
    models = FakeModelSource(other=ScriptedModel("Two."))
    session = Session(ScriptedModel("One."), models=models, model_name="scripted")
    repl = Repl(session, "Count.", "/model other", "Go on.", "/model third")
    assert repl.output == "One.\nTwo.\n"
    assert repl.notices == ["scripted answers from here on.", "line 4: There is no model third."]
    assert not repl.succeeded


def test_a_name_that_is_too_long_for_a_file_is_an_unknown_model() -> None:
    session = start_session(Settings(model="scripted"), save=False)
    repl = Repl(session, f"/model {'x' * 5000}", "Hello")
    assert repl.notices[0].startswith("line 1: There is no model xxx")
    assert repl.output == "You said: Hello\n"
