"""The terminal app: paints first, builds the session behind the first paint, and closes it on the way out."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message

from assistant.attachments.images import ImageLoader
from assistant.conversation.session import Session
from assistant.errors import ParleyError
from tui.screens.chat import ChatScreen
from tui.skill_commands import SkillCommands
from tui.voice_controller import VoiceController

if TYPE_CHECKING:
    from textual.screen import Screen

    # Fetching needs modules that the first paint can do without.
    from assistant.progress import Progress
    from voice.voice_session import VoiceSession

Built = TypeVar("Built")

# How soon it is noticed that the terminal has gone.
_SECONDS_BETWEEN_LOOKS = 2.0


class ParleyApp(App[None]):
    """A conversation in the terminal.

    `build` makes the session; it may block for as long as a download takes, and it reports how far it is. It runs on
    a thread of its own, after the screen was painted once. `image_loader` loads the images a person attaches.
    `build_call` makes what it takes to talk, when that is wanted; it may block like `build`.
    """

    TITLE = "Parley"
    CSS_PATH = "styles.tcss"
    COMMANDS = App.COMMANDS | {SkillCommands}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "voice", "Voice on or off", priority=True),
        # Terminals tell of keys that are pressed and not of those that are let go: it is pushed again to send.
        Binding("f3", "push_to_talk", "Push to talk, push to send", priority=True),
        Binding("f4", "mute", "Mute the microphone", priority=True),
    ]
    # Textual declares these two as belonging to the instance.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (18, "-tall")]  # noqa: RUF012

    class Progressed(Message):
        """What is being built has come a step further: the session, or what it takes to talk."""

        def __init__(self, what: str, done: int, total: int, *, voice: bool) -> None:
            super().__init__()
            self.what = what
            """What is being done, like "fetching the decoder"."""
            self.done = done
            """Bytes so far."""
            self.total = total
            """Bytes in all, 0 if there is nothing to count."""
            self.voice = voice
            """Whether it is for talking."""

    def __init__(
        self,
        build: "Callable[[Progress], Session]",
        *,
        build_call: "Callable[[Progress], VoiceSession] | None" = None,
        image_loader: ImageLoader | None = None,
    ) -> None:
        super().__init__()
        self._build = build
        self._build_call = build_call
        self._session: Session | None = None
        self._session_there = asyncio.Event()
        self._leaving = threading.Event()
        self._conversation = ChatScreen(image_loader or ImageLoader())
        self._talking = VoiceController(self._conversation, self._built_call, self._wait_for_session, self._raise_later)

    def get_default_screen(self) -> ChatScreen:
        return self._conversation

    def on_mount(self) -> None:
        # Building imports torch, which takes seconds and most of the interpreter: the first paint goes before it.
        self.call_after_refresh(self._load)
        if sys.platform != "win32":
            # A closed terminal window or a `kill` keeps the reply just as Ctrl+Q does.
            for ending in (signal.SIGHUP, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(ending, self.call_later, self.action_quit)
            # Who ignores hang-ups (nohup) or controls no terminal is not told, and would read from it for ever.
            if _has_terminal():
                self.set_interval(_SECONDS_BETWEEN_LOOKS, self._leave_without_terminal)

    async def on_unmount(self) -> None:
        self._leaving.set()
        await self._talking.close()
        await self._conversation.leave()
        if self._session is not None:
            await self._session.close()

    async def action_quit(self) -> None:
        """Keep what was said of a running reply, then leave."""
        self._leaving.set()
        await self._talking.end()
        await self._conversation.shown()
        await self._conversation.leave()
        save_error = self._session.save_error if self._session is not None else None
        self.exit(message=f"The last turns are not saved. {save_error}" if save_error else None)

    async def _leave_without_terminal(self) -> None:
        if not _has_terminal():
            await self.action_quit()

    @on(ChatScreen.RetryRequested)
    @work(exclusive=True, group="load")
    async def _load(self) -> None:
        self._conversation.show_loading("loading …")
        try:
            self._session = await self._built(self._build, self._report)
        except ParleyError as error:
            await self._conversation.show_failure(str(error))
        else:
            await self._conversation.begin(self._session)
            self._session_there.set()

    async def action_voice(self) -> None:
        """Begin to listen and to answer aloud, or end that."""
        if self._build_call is not None:
            await self._talking.toggle()

    async def action_push_to_talk(self) -> None:
        """Listen to what is said now; the second time, answer it."""
        if self._build_call is not None:
            await self._talking.push()

    def action_mute(self) -> None:
        """Listen to nobody who does not push to talk, or again to everybody."""
        self._talking.mute()

    def get_system_commands(self, screen: "Screen[object]") -> Iterable[SystemCommand]:
        """What the palette offers: Textual's own, and talking."""
        yield from super().get_system_commands(screen)
        if self._build_call is not None:
            yield SystemCommand("Voice", "Listen and answer aloud, or end that (F2)", self.action_voice)
            yield SystemCommand("Push to talk", "Speak, and push again to send (F3)", self.action_push_to_talk)
            yield SystemCommand("Mute", "Listen only to who pushes to talk, or again to all (F4)", self.action_mute)

    async def _built_call(self) -> "VoiceSession":
        assert self._build_call is not None
        return await self._built(self._build_call, partial(self._report, voice=True))

    async def _wait_for_session(self) -> Session:
        await self._session_there.wait()
        assert self._session is not None
        return self._session

    def _raise_later(self, error: BaseException) -> None:
        def again() -> None:
            raise error

        self.call_later(again)

    async def _built(self, build: "Callable[[Progress], Built]", report: "Progress") -> Built:
        """What `build` makes, on a thread that the interpreter does not wait for when the app is left meanwhile.

        Assembling a model has long steps that cannot be interrupted, and whatever they leave half done is made anew.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Built] = loop.create_future()

        def settle(settle_with: Callable[[], None]) -> None:
            # The loop is closed, and the future cancelled, once nobody waits any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: None if done.done() else settle_with())

        def work() -> None:
            try:
                built = build(report)
            except BaseException as error:  # noqa: BLE001 - raised where the session is awaited
                reason = error
                settle(lambda: done.set_exception(reason))
            else:
                settle(lambda: done.set_result(built))

        threading.Thread(target=work, name="build", daemon=True).start()
        return await done

    @on(Progressed)
    def _show_progress(self, event: Progressed) -> None:
        percent = f"{100 * event.done // event.total} %" if event.total else "…"
        if event.voice:
            self._conversation.show_voice(f"voice: {event.what} {percent}")
        else:
            self._conversation.show_loading(f"{event.what} {percent}")

    def _report(self, what: str, done: int, total: int, *, voice: bool = False) -> None:
        """Pass progress on from the thread that builds. Ends that thread's work once the app is being left."""
        if self._leaving.is_set():
            raise _AbandonedError
        self.post_message(self.Progressed(what, done, total, voice=voice))


class _AbandonedError(Exception):
    """Nobody waits for the session any more. Raised into `build`, and seen by no one: its task is cancelled."""


def _has_terminal() -> bool:
    return sys.__stdin__ is not None and sys.__stdin__.isatty()
