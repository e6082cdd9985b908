"""The Python API of conversations, as plain and as async calls.

A session is asynchronous and belongs to one event loop. An `Assistant` runs its session on a private loop in a thread
of its own, so that plain calls also work where a loop is running already, as in Jupyter:

    caller's thread or loop            thread "parley"
    ask, stream, caption ──────────▶   lock ─▶ Session.turn or a skill ─▶ model
                         ◀── text ──
"""

import asyncio
import inspect
import logging
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext, suppress
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeVar, Unpack, cast

from assistant.async_bridge import wait_uncancelled
from assistant.errors import ParleyError, SkillUsageError
from assistant.events import Notice, TextDelta, TextWasReasoning
from assistant.messages import user
from assistant.progress import OnNotice, Progress
from parley.loop_thread import ClosedError, LoopThread
from parley.text_stream import TextStream, current_task
from skills.call_check import PATH, TEXT, check_call

if TYPE_CHECKING:
    from pydantic import BaseModel

    from assistant.conversation.session import Session
    from parley.factory.emotion import EmotionBackends
    from skills.definition import Skill

T = TypeVar("T")
Result = TypeVar("Result", bound="BaseModel")

_logger = logging.getLogger("parley")

FilePath = str | PathLike[str]
"""Path of a file; `~` is the home directory. Images may also be http(s) URLs if the setting `allow_urls` is on."""


class SettingsOptions(TypedDict, total=False):
    """Settings that `Assistant` accepts as keyword arguments: see `assistant.settings.Settings` for each."""

    model: str
    device: str
    quantize: Literal["auto", "none", "int8", "nf4", "bf16", "fp16"]
    compile: Literal["auto", "on", "off"]
    detail: Literal["auto", "low", "high"]
    system: str
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    reasoning: Literal["show", "hide", "off"]
    stop: Sequence[str]
    seed: int
    allow_urls: bool
    max_image_megapixels: float
    backend: Literal["auto", "local", "remote"]
    base_url: str
    openai_env: bool
    data_dir: str | Path
    cache_dir: str | Path


class Assistant:
    """A conversation with one model. Each call continues it.

    Methods may be called from any thread; calls run one after the other. Use it as a context manager, or call `close`,
    to free the model's memory.

    Each method raises `ParleyError` for what goes wrong with a file, a setting or the model.
    """

    def __init__(
        self,
        *,
        history: bool = False,
        on_notice: OnNotice = _logger.warning,
        progress: Progress | None = None,
        **settings: Unpack[SettingsOptions],
    ) -> None:
        """Create an assistant. The model is loaded by the first call that needs it, and downloaded before if needed.

        Args:
            history: Save the conversation where `parley history` finds it. By default nothing of it is written to disk.
            on_notice: Receives sentences that you should know and that are no error, such as that only the first frame
                of an animation is used. They are logged by default. Called from another thread.
            progress: Receives the progress of downloads and loading: label, bytes done, bytes in total. By default a
                progress bar appears on a terminal, and elsewhere each label is logged.
            settings: Override environment and configuration file, which apply as on the command line.

        Raises:
            ConfigError: A setting has no valid value.
        """
        from assistant.settings import load

        if unknown := settings.keys() - SettingsOptions.__annotations__.keys():
            raise TypeError(f"Assistant() got an unexpected keyword argument {min(unknown)!r}")
        self._settings = load(settings, overrides_origin="the arguments").settings
        self._history = history
        self._on_notice = on_notice
        self._progress = progress
        self._session: Session | None = None
        self._emotion_backends: EmotionBackends | None = None
        self._streams: set[TextStream] = set()
        # One turn or skill at a time: they share the model.
        self._lock = asyncio.Lock()
        # Set to end the work that runs in a thread now.
        self._stop = threading.Event()
        self._loop_thread = LoopThread("parley")

    def ask(self, prompt: str, *images: FilePath) -> str:
        """Return the reply to `prompt`, which may be about `images` and about everything said before."""
        self._check_usable_by_thread()
        stream = self._open_stream(prompt, images)
        for _ in self._read(stream):
            pass
        return stream.text

    def stream(self, prompt: str, *images: FilePath) -> Generator[str, None, None]:
        """Yield the reply piece by piece, as the model writes it, without its reasoning.

        Leaving the loop early stops the model; the conversation keeps the reply as far as it was yielded.
        """
        self._check_usable_by_thread()
        yield from self._read(self._open_stream(prompt, images))

    async def ask_async(self, prompt: str, *images: FilePath) -> str:
        """Return the reply, like `ask`. Cancelling the task stops the model."""
        self._check_usable_by_task()
        stream = self._open_stream(prompt, images)
        async with aclosing(self._read_async(stream)) as texts:
            async for _ in texts:
                pass
        return stream.text

    async def stream_async(self, prompt: str, *images: FilePath) -> AsyncGenerator[str, None]:
        """Yield the reply piece by piece, like `stream`.

        If you may leave the loop early, iterate inside `contextlib.aclosing`, which stops the model at once.
        """
        self._check_usable_by_task()
        async with aclosing(self._read_async(self._open_stream(prompt, images))) as texts:
            async for text in texts:
                yield text

    def run_skill(self, skill: "Skill[..., Result]", **values: Any) -> Result:
        """Run any skill on this assistant's model, without the conversation.

        Args:
            skill: A skill, such as those of other packages.
            values: Its arguments by name, with paths of files in place of images and audio.

        Raises:
            TypeError: `skill` is none.
        """
        if not hasattr(skill, "parameters"):
            raise TypeError(f"skill of run_skill() has to be a Skill and is {skill!r:.60}: import it, as from skills.")
        self._check_usable_by_thread()
        return self._loop_thread.run(self._skill_result(skill, values))

    def close(self) -> None:
        """Stop open streams and free the model's memory. The assistant cannot be used afterwards."""
        if not self._loop_thread.is_running:
            return
        try:
            while self._streams:
                self._loop_thread.run(self._streams.pop().aclose())
            self._loop_thread.run(self._close())
        finally:
            self._loop_thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Everything below runs on the private loop or in threads started from it.

    async def _texts(self, prompt: str, images: Sequence[FilePath]) -> AsyncGenerator[str | TextWasReasoning, None]:
        async with self._lock:
            message = user(prompt, *[await self._in_thread(self._load_image, image) for image in images])
            session = await self._in_thread(self._get_session)
            async with aclosing(session.turn(message, commands=False)) as turn:
                async for event in turn:
                    match event:
                        case TextDelta(text):
                            yield text
                        case TextWasReasoning():
                            yield event
                        case Notice(text):
                            self._on_notice(text)

    async def _skill_result(self, skill: "Skill[..., Result]", values: dict[str, Any]) -> Result:
        async with self._lock:
            return await self._in_thread(self._call_skill, skill, values)

    def _call_skill(self, skill: "Skill[..., Result]", values: dict[str, Any]) -> Result:
        from parley.factory.emotion import EmotionBackends
        from parley.factory.voice import load_audio
        from skills.vision_model import VisionClient

        values = dict(values)
        for parameter in skill.parameters:
            value = values.get(parameter.name)
            if isinstance(value, str) and not value.strip() and value != parameter.default:
                raise SkillUsageError(f"The {parameter.name} for the skill {skill.name} is empty: say which.")
        for parameter in skill.parameters:
            path = values.get(parameter.name)
            if parameter.kind == "photo" and path is not None:
                values[parameter.name] = self._load_image(path)
            elif parameter.kind == "sound" and path is not None:
                values[parameter.name], notices = load_audio(str(path))
                for notice in notices:
                    self._on_notice(notice)
        if skill.needs_emotion_models:
            if self._emotion_backends is None:
                self._emotion_backends = EmotionBackends(
                    self._settings,
                    chat_model=lambda: None if self._session is None else self._session.model,
                    progress_display=self._progress_display,
                    on_notice=self._on_notice,
                )
            return cast("Result", skill.run(values, self._emotion_backends, self._stop))
        client = VisionClient(self._get_session().model, self._stop) if skill.needs_model else None
        return cast("Result", skill.run(values, client, self._stop))

    def _load_image(self, path: FilePath) -> Any:
        from assistant.attachments.images import ImageLoader

        loaded = ImageLoader.from_settings(self._settings).load(path if isinstance(path, str) else Path(path))
        for notice in loaded.notices:
            self._on_notice(notice)
        return loaded.image

    def _get_session(self) -> "Session":
        from parley.factory.session import start_session

        if self._session is None:
            with self._progress_display() as progress:
                self._session = start_session(self._settings, progress, save=self._history)
        return self._session

    @contextmanager
    def _progress_display(self) -> Iterator[Progress]:
        """Show the progress inside the block. A report after a cancellation raises, which ends the download."""
        from parley.cli.progress import ProgressLine
        from parley.cli.terminal import is_terminal

        stop = self._stop
        display: AbstractContextManager[Progress]
        if self._progress is not None:
            display = nullcontext(self._progress)
        else:
            display = ProgressLine() if is_terminal(sys.stderr) else nullcontext(_LabelLogger())
        with display as progress:

            def report(label: str, done_bytes: int, total_bytes: int) -> None:
                if stop.is_set():
                    raise _StoppedError
                progress(label, done_bytes, total_bytes)

            yield report

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run `function` in a thread. A cancellation sets `_stop`, and waits for the function to end."""
        self._stop = threading.Event()
        running = asyncio.get_running_loop().run_in_executor(None, partial(function, *args))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._stop.set()
            with suppress(Exception):
                await wait_uncancelled(running)
            raise

    async def _close(self) -> None:
        async with self._lock:
            if self._emotion_backends is not None:
                self._emotion_backends.close()
            if self._session is not None:
                await self._session.close()

    # Everything below runs where the caller is.

    def _open_stream(self, prompt: str, images: Sequence[FilePath]) -> TextStream:
        check_call("ask", inspect.signature(self.ask), {"prompt": TEXT, "images": PATH}, (prompt, *images), {})
        if not prompt.strip():
            raise ParleyError("The prompt is empty: say what you want to know.")
        if not all(str(image).strip() for image in images):
            raise ParleyError("The path of an image is empty: name a file.")
        stream = TextStream(self._texts(prompt, images))
        self._streams.add(stream)
        return stream

    def _read(self, stream: TextStream) -> Generator[str, None, None]:
        try:
            while (text := self._loop_thread.run(self._next_text(stream))) is not None:
                yield text
        finally:
            self._close_stream(stream)

    async def _read_async(self, stream: TextStream) -> AsyncGenerator[str, None]:
        try:
            while (text := await self._loop_thread.run_async(self._next_text(stream))) is not None:
                yield text
        finally:
            self._streams.discard(stream)
            # `close` stops all streams itself.
            with suppress(ClosedError):
                await self._loop_thread.run_async(stream.aclose())

    def _close_stream(self, stream: TextStream) -> None:
        self._streams.discard(stream)
        # `close` stops all streams itself.
        with suppress(ClosedError, CancelledError):
            closing = self._loop_thread.submit(stream.aclose())
            # The garbage collector may close an abandoned stream on any thread. The model's thread and the private one
            # cannot wait for themselves.
            if stream.thread == threading.get_ident():
                closing.result()

    def _next_text(self, stream: TextStream) -> Coroutine[Any, Any, str | None]:
        self._check_open()
        return stream.next()

    def _check_open(self) -> None:
        if not self._loop_thread.is_running:
            raise ClosedError

    # Two calls that would wait for the reply of an open stream, while its reader waits for them:

    def _check_usable_by_thread(self) -> None:
        """Raise `ParleyError` if a stream of this thread is open: a plain call stops the thread, all tasks included."""
        self._check_open()
        thread = threading.get_ident()
        # A copy, because other threads open and close streams meanwhile.
        if any(stream.thread == thread for stream in self._streams.copy()):
            raise _open_stream_error()

    def _check_usable_by_task(self) -> None:
        """Raise `ParleyError` if a stream of this task is open."""
        self._check_open()
        task = current_task()
        if any(stream.task is task for stream in self._streams.copy()):
            raise _open_stream_error()


class _StoppedError(Exception):
    """The call was cancelled. Raised into a download, which ends there."""


class _LabelLogger:
    """Log each new label of a progress once."""

    def __init__(self) -> None:
        self._label = ""

    def __call__(self, label: str, done_bytes: int, total_bytes: int) -> None:  # noqa: ARG002 - a `Progress`
        if label != self._label:
            self._label = label
            _logger.info(label)


def _open_stream_error() -> ParleyError:
    return ParleyError("A reply is still being streamed: read it to its end, or close the stream first.")
