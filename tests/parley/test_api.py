"""The Python API as a script, a notebook and an async program use it."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

import parley
from assistant.conversation.session import Session
from assistant.events import Usage
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from assistant.settings import Settings
from parley import Assistant, ParleyError, caption, emotion, read, vqa
from parley.api import SettingsOptions

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("nobodys_machine")


@pytest.fixture
def photo(tmp_path: Path) -> str:
    PIL.Image.new("RGB", (40, 30), "red").save(tmp_path / "dog.png")
    return "dog.png"


@pytest.fixture
def assistant() -> Iterator[Assistant]:
    with Assistant(model="scripted") as assistant:
        yield assistant


@pytest.fixture
def slow() -> Iterator[Assistant]:
    """Reply with one word each 50 ms."""
    with Assistant(model="scripted:0.05") as assistant:
        yield assistant


def test_a_question_about_an_image_is_answered(assistant: Assistant, photo: str) -> None:
    assert assistant.ask("What is this?", photo) == "You said: What is this? (and showed dog.png)"


def test_a_path_object_will_do(assistant: Assistant, photo: str) -> None:
    assert assistant.ask("And?", Path(photo)) == "You said: And? (and showed dog.png)"


def test_a_reply_is_streamed_as_it_is_written(assistant: Assistant) -> None:
    pieces = list(assistant.stream("one two"))
    assert len(pieces) > 1
    assert "".join(pieces) == "You said: one two"


def test_a_conversation_goes_on_across_calls_and_forms(assistant: Assistant) -> None:
    assistant.ask("one")
    list(assistant.stream("two"))
    asyncio.run(assistant.ask_async("three"))
    session = assistant._session
    assert session is not None
    assert [message.text for message in session.messages if message.role == "user"] == ["one", "two", "three"]


def test_words_that_look_like_a_command_are_words(assistant: Assistant) -> None:
    assert assistant.ask("/caption") == "You said: /caption"


def test_plain_calls_work_inside_a_running_event_loop(assistant: Assistant) -> None:
    async def cell() -> tuple[str, str]:
        return assistant.ask("Hi"), "".join(assistant.stream("Hi"))

    assert asyncio.run(cell()) == ("You said: Hi", "You said: Hi")


def test_async_calls_leave_the_loop_free(slow: Assistant) -> None:
    async def main() -> tuple[str, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        reply = await slow.ask_async("one two three")
        ticking.cancel()
        return reply, ticks

    reply, ticks = asyncio.run(main())
    assert reply == "You said: one two three"
    assert ticks > 1


def test_two_async_questions_are_answered_one_after_the_other(assistant: Assistant) -> None:
    async def main() -> list[str]:
        return list(await asyncio.gather(assistant.ask_async("one"), assistant.ask_async("two")))

    assert asyncio.run(main()) == ["You said: one", "You said: two"]


def last_reply(assistant: Assistant) -> tuple[str, bool]:
    session = assistant._session
    assert session is not None
    return session.messages[-1].text, session.messages[-1].interrupted


def test_leaving_a_stream_early_stops_the_model(slow: Assistant) -> None:
    for text in slow.stream("word " * 400):
        assert text
        break
    text, interrupted = last_reply(slow)
    assert interrupted
    assert len(text.split()) < 400
    assert slow.ask("And now?") == "You said: And now?"


def test_leaving_an_async_stream_early_stops_the_model(slow: Assistant) -> None:
    async def main() -> str:
        async with aclosing(slow.stream_async("word " * 400)) as texts:
            async for _ in texts:
                break
        return await slow.ask_async("And now?")

    assert asyncio.run(main()) == "You said: And now?"


def wait_for_prompt(assistant: Assistant, number: int) -> None:
    """Wait until the model has received its prompt of this number."""
    deadline = time.monotonic() + 60
    while assistant._session is None or len(cast("ScriptedModel", assistant._session.model).prompts) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_cancelling_a_task_stops_the_model(slow: Assistant) -> None:
    async def main() -> None:
        task = asyncio.create_task(slow.ask_async("word " * 400))
        await asyncio.to_thread(wait_for_prompt, slow, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert last_reply(slow)[1]


def test_ctrl_c_stops_the_model_and_the_conversation_goes_on(slow: Assistant) -> None:
    def press() -> None:
        wait_for_prompt(slow, 1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        slow.ask("word " * 400)
    assert last_reply(slow)[1]
    assert slow.ask("And now?") == "You said: And now?"


def test_a_call_that_would_wait_for_itself_is_refused(slow: Assistant, photo: str) -> None:
    texts = slow.stream("one two three")
    next(texts)
    for call in (lambda: slow.ask("And?"), lambda: caption(photo, assistant=slow)):
        with pytest.raises(ParleyError, match="A reply is still being streamed"):
            call()
    texts.close()
    assert slow.ask("And?") == "You said: And?"


def test_a_plain_call_that_would_stop_the_task_of_a_stream_is_refused(slow: Assistant) -> None:
    async def main() -> str:
        async with aclosing(slow.stream_async("word " * 400)) as texts:
            await anext(texts)

            async def other_task() -> str:
                return slow.ask("And?")

            with pytest.raises(ParleyError, match="A reply is still being streamed"):
                await asyncio.create_task(other_task())
            waiting = asyncio.create_task(slow.ask_async("And?"))
        return await waiting

    assert asyncio.run(main()) == "You said: And?"


def test_the_garbage_collector_may_close_a_stream_on_the_models_thread(
    slow: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = ScriptedModel.stream

    def collecting(*args: Any) -> Generator[str, None, Usage]:
        texts = stream(*args)
        while True:
            try:
                text = next(texts)
            except StopIteration as end:
                usage: Usage = end.value
                return usage
            gc.collect()
            yield text

    def abandon() -> None:
        cycle: list[object] = [slow.stream("word " * 400)]
        cycle.append(cycle)
        next(cast("Generator[str, None, None]", cycle[0]))

    monkeypatch.setattr(ScriptedModel, "stream", collecting)
    gc.disable()
    try:
        abandon()
        deadline = time.monotonic() + 60
        while slow._streams and time.monotonic() < deadline:
            time.sleep(0.01)
        with ThreadPoolExecutor(1) as executor:
            assert executor.submit(slow.ask, "And now?").result(60) == "You said: And now?"
    finally:
        gc.enable()


def test_closing_stops_an_open_stream(slow: Assistant) -> None:
    texts = slow.stream("word " * 400)
    next(texts)
    slow.close()
    slow.close()
    with pytest.raises(ParleyError, match="is closed"):
        next(texts)
    with pytest.raises(ParleyError, match="is closed"):
        slow.ask("Hello")


def test_closing_stops_an_open_async_stream(slow: Assistant) -> None:
    async def main() -> None:
        texts = slow.stream_async("word " * 400)
        await anext(texts)
        slow.close()
        with pytest.raises(ParleyError, match="is closed"):
            await anext(texts)

    asyncio.run(main())


def test_a_reply_that_closing_cut_short_does_not_seem_complete(slow: Assistant) -> None:
    started = threading.Event()

    def read() -> None:
        for _ in slow.stream("word " * 400):
            started.set()

    with ThreadPoolExecutor(1) as executor:
        reading = executor.submit(read)
        assert started.wait(60)
        slow.close()
        with pytest.raises(ParleyError, match="is closed"):
            reading.result(60)


def test_ctrl_c_ends_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()

    def download(_settings: Settings, progress: Progress, **_options: Any) -> Session:
        os.kill(os.getpid(), signal.SIGINT)
        deadline = time.monotonic() + 10
        try:
            while time.monotonic() < deadline:
                progress("fetching a model", 0, 0)
                time.sleep(0.01)
        except BaseException:
            given_up.set()
            raise
        raise AssertionError("the download went on")

    monkeypatch.setattr("parley.factory.session.start_session", download)
    with Assistant(model="scripted") as assistant, pytest.raises(KeyboardInterrupt):
        assistant.ask("Hello")
    assert given_up.is_set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_gets_an_error_and_does_not_wait_for_ever() -> None:
    program = (
        "import multiprocessing\n"
        "from parley import Assistant, ParleyError\n"
        "assistant = Assistant(model='scripted')\n"
        "assistant.ask('Hello')\n"
        "def child():\n"
        "    try:\n"
        "        assistant.ask('Hello')\n"
        "    except ParleyError as error:\n"
        "        print(error)\n"
        "process = multiprocessing.get_context('fork').Process(target=child)\n"
        "process.start()\n"
        "process.join()\n"
        "print(assistant.ask('Hello'))\n"
    )
    assert run_script(program) == "This assistant is closed: create another one.\nYou said: Hello\n"


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    with Assistant(model="scripted") as assistant:
        assistant.ask("Hello")
        assert threading.active_count() > before
    assert assistant._loop_thread.thread not in threading.enumerate()


def test_an_assistant_that_is_dropped_ends_its_thread() -> None:
    assistant = Assistant(model="scripted")
    assistant.ask("Hello")
    thread = assistant._loop_thread.thread
    del assistant
    thread.join(10)
    assert not thread.is_alive()


def test_by_default_nothing_is_written_to_disk(tmp_path: Path, photo: str) -> None:
    with Assistant(model="scripted") as assistant:
        assistant.ask("What is this?", photo)
        caption(photo, assistant=assistant)
    assert [path.name for path in tmp_path.rglob("*")] == [photo]


def test_a_history_is_kept_if_wanted(tmp_path: Path) -> None:
    with Assistant(model="scripted", history=True, data_dir=tmp_path / "kept") as assistant:
        assistant.ask("What is this?")
    assert (tmp_path / "kept" / "history.sqlite3").exists()


def test_settings_are_keyword_arguments_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_MODEL", "nonsense")
    monkeypatch.setenv("PARLEY_MAX_TOKENS", "3")
    with Assistant(model="scripted") as assistant:
        assert assistant.ask("one two three") == "You said: one"


def test_a_setting_without_a_valid_value_is_named() -> None:
    with pytest.raises(ParleyError, match="max_tokens in the arguments is 0"):
        Assistant(max_tokens=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'modle'"):
        Assistant(modle="pocket")  # type: ignore[call-arg]


def test_all_options_are_settings() -> None:
    assert SettingsOptions.__annotations__.keys() <= Settings.model_fields.keys()


def test_a_missing_file_is_an_error_that_names_it(assistant: Assistant) -> None:
    with pytest.raises(ParleyError, match=r"gone\.jpg does not exist"):
        assistant.ask("What is this?", "gone.jpg")
    with pytest.raises(ParleyError, match=r"gone\.jpg does not exist"):
        caption("gone.jpg", assistant=assistant)
    with pytest.raises(ParleyError, match=r"gone\.wav"):
        emotion(voice="gone.wav", assistant=assistant)


def test_notices_are_logged_or_go_where_they_are_wanted(photo: str, caplog: pytest.LogCaptureFixture) -> None:
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save("cat.gif", save_all=True, append_images=frames[1:])
    with Assistant(model="scripted") as assistant:
        assistant.ask("What is this?", "cat.gif")
    assert "cat.gif is animated" in caplog.text
    notices: list[str] = []
    with Assistant(model="scripted", on_notice=notices.append) as assistant:
        assistant.ask("What is this?", "cat.gif")
    [notice] = notices
    assert "cat.gif is animated" in notice


def test_skills_are_functions_over_files(assistant: Assistant, photo: str) -> None:
    described = caption(photo, style="alt-text", assistant=assistant)
    assert (described.style, described.model) == ("alt-text", "scripted")
    answered = vqa(photo, "Is there a dog?", yes_no=True, assistant=assistant)
    assert answered.answer in ("yes", "no")
    assert vqa(photo, "Which?", choices=["a cat", "a dog"], assistant=assistant).answer in ("a cat", "a dog")


def test_skills_are_no_part_of_the_conversation(assistant: Assistant, photo: str) -> None:
    assistant.ask("Hello")
    caption(photo, assistant=assistant)
    session = assistant._session
    assert session is not None
    assert len(session.messages) == 2


def test_skills_share_an_assistant(photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_MODEL", "scripted")
    monkeypatch.setattr("parley.file_skills._shared", None)
    try:
        assert caption(photo).model == vqa(photo, "What?").model == "scripted"
    finally:
        from parley import file_skills

        assert file_skills._shared is not None
        file_skills._shared.close()


def test_reading_words_loads_no_chat_model() -> None:
    image = PIL.Image.new("RGB", (400, 120), "white")
    PIL.ImageDraw.Draw(image).text((20, 20), "HELLO", "black", PIL.ImageFont.load_default(72))
    image.save("sign.png")
    with Assistant(model="/no/such/model") as assistant:
        assert [line.text for line in read("sign.png", assistant=assistant).lines] == ["HELLO"]


def run_script(program: str) -> str:
    """Run a program that prints nothing on standard error, and return its output."""
    done = subprocess.run(
        # Not -X dev: asyncio would report whatever a busy machine takes longer than 100 ms for.
        [sys.executable, "-W", "error", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PARLEY_MODEL": "scripted"},
        timeout=120,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_script_needs_no_close(photo: str) -> None:
    program = (
        "from parley import Assistant, caption\n"
        "print(Assistant(model='scripted').ask('What is this?', 'dog.png'))\n"
        "print(caption('dog.png'))\n"
    )
    assert run_script(program) == (
        "You said: What is this? (and showed dog.png)\nYou said: Describe the photo. (and showed dog.png)\n"
    )


def test_names_are_listed_and_others_are_not_there() -> None:
    assert all(getattr(parley, name) for name in parley.__all__)
    assert len(parley.__all__) <= 10
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        parley.nonsense  # noqa: B018


@pytest.mark.slow
def test_the_bundled_model_answers_and_describes(photo: str) -> None:
    with Assistant(model="pocket", max_tokens=24) as assistant:
        assert assistant.ask("What colour is this?", photo).strip()
        assert caption(photo, assistant=assistant).text
        assert vqa(photo, "Is it red?", yes_no=True, assistant=assistant).confidence is not None
        assert emotion(text="I am so happy today!", assistant=assistant).label == "joy"
