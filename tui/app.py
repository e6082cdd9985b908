"""The terminal app: paints first, builds the session behind the first paint, and closes it on the way out."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message

from assistant.attachments.images import ImageLoader
from assistant.conversation.session import Session
from assistant.errors import ParleyError
from tui.background_thread import run_in_daemon_thread
from tui.screens.chat import ChatScreen
from tui.skill_commands import SkillCommands
from tui.turn_view import percentage
from tui.voice_controller import VoiceController

if TYPE_CHECKING:
    from textual.screen import Screen

    from assistant.progress import Progress
    from voice.voice_session import VoiceSession

_TERMINAL_CHECK_SECS = 2.0


class ParleyApp(App[None]):
    """A conversation in the terminal."""

    TITLE = "Parley"
    CSS_PATH = "styles.tcss"
    COMMANDS = App.COMMANDS | {SkillCommands}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "voice", "Voice on or off", priority=True),
        # Terminals report key presses but no releases, so the key is pressed again to send.
        Binding("f3", "push_to_talk", "Push to talk, push to send", priority=True),
        Binding("f4", "mute", "Mute the microphone", priority=True),
    ]
    # Textual declares these two as instance attributes.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (18, "-tall")]  # noqa: RUF012

    @dataclass
    class BuildProgressed(Message):
        """Building the session, or with `for_voice` the voice session, came a step further.

        Attributes:
            label: The step, such as "fetching the decoder".
            done_bytes: Bytes so far.
            total_bytes: Bytes in all, 0 if unknown.
            for_voice: True for the voice session.
        """

        label: str
        done_bytes: int
        total_bytes: int
        for_voice: bool

    def __init__(
        self,
        build_session: "Callable[[Progress], Session]",
        *,
        build_voice_session: "Callable[[Progress], VoiceSession] | None" = None,
        image_loader: ImageLoader | None = None,
    ) -> None:
        """Create the app.

        Args:
            build_session: Return the session. Runs on a thread of its own after the first paint, and may block for as
                long as a download takes.
            build_voice_session: Return the speech engines and devices, on a thread of its own as well. Without it
                there is no voice.
            image_loader: Loads the images that the user attaches.
        """
        super().__init__()
        self._build_session = build_session
        self._build_voice_session = build_voice_session
        self._session: Session | None = None
        self._session_ready = asyncio.Event()
        self._shutting_down = threading.Event()
        self._chat = ChatScreen(image_loader or ImageLoader())
        self._voice = VoiceController(self._chat, self._load_voice_session, self._wait_for_session, self._raise_later)

    def get_default_screen(self) -> ChatScreen:
        return self._chat

    # Start and end

    def on_mount(self) -> None:
        # Building imports torch, which takes seconds and most of the interpreter: the first paint goes before it.
        self.call_after_refresh(self._load)
        if sys.platform != "win32":
            self._quit_with_terminal()

    async def on_unmount(self) -> None:
        self._shutting_down.set()
        await self._voice.close()
        await self._chat.shutdown()
        if self._session is not None:
            await self._session.close()

    async def action_quit(self) -> None:
        """Save a running reply as far as it got, then leave."""
        self._shutting_down.set()
        await self._voice.stop()
        await self._chat.flush()
        await self._chat.shutdown()
        save_error = self._session.save_error if self._session is not None else None
        self.exit(message=f"The last turns are not saved. {save_error}" if save_error else None)

    def _quit_with_terminal(self) -> None:
        """Treat a closed terminal window and `kill` like Ctrl+Q, so that they save the reply too."""
        for number in (signal.SIGHUP, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.call_later, self.action_quit)
        # SIGHUP does not reach a process that ignores it (nohup) or that does not control the terminal. It would go on
        # reading for ever.
        if _has_terminal():
            self.set_interval(_TERMINAL_CHECK_SECS, self._quit_without_terminal)

    async def _quit_without_terminal(self) -> None:
        if not _has_terminal():
            await self.action_quit()

    # Loading

    @on(ChatScreen.RetryRequested)
    @work(exclusive=True, group="load")
    async def _load(self) -> None:
        self._chat.show_loading("loading …")
        try:
            self._session = await run_in_daemon_thread(partial(self._build_session, self._report))
        except ParleyError as error:
            await self._chat.show_build_failure(str(error))
        else:
            await self._chat.start(self._session)
            self._session_ready.set()

    async def _load_voice_session(self) -> "VoiceSession":
        assert self._build_voice_session is not None
        return await run_in_daemon_thread(partial(self._build_voice_session, partial(self._report, for_voice=True)))

    async def _wait_for_session(self) -> Session:
        await self._session_ready.wait()
        assert self._session is not None
        return self._session

    def _report(self, label: str, done_bytes: int, total_bytes: int, *, for_voice: bool = False) -> None:
        """Report progress from the building thread. Once the app shuts down, this raises and so ends the building."""
        if self._shutting_down.is_set():
            raise _AbandonedError
        self.post_message(self.BuildProgressed(label, done_bytes, total_bytes, for_voice))

    @on(BuildProgressed)
    def _show_progress(self, event: BuildProgressed) -> None:
        state = f"{event.label} {percentage(event.done_bytes, event.total_bytes)}"
        if not event.for_voice:
            self._chat.show_loading(state)
        elif self._voice.is_on:
            # Turned off meanwhile, the building thread reports until it is done.
            self._chat.show_voice_status(f"voice: {state}")

    # Voice

    async def action_voice(self) -> None:
        """F2: start or end the spoken conversation."""
        if self._build_voice_session is not None:
            await self._voice.toggle()

    async def action_push_to_talk(self) -> None:
        """F3: listen; pressed again, answer."""
        if self._build_voice_session is not None:
            await self._voice.push_to_talk()

    def action_mute(self) -> None:
        """F4: mute or unmute the microphone."""
        self._voice.toggle_mute()

    def get_system_commands(self, screen: "Screen[object]") -> Iterable[SystemCommand]:
        """Return the entries of the command palette: those of Textual, and voice."""
        yield from super().get_system_commands(screen)
        if self._build_voice_session is not None:
            yield SystemCommand("Voice", "Start or end a spoken conversation (F2)", self.action_voice)
            yield SystemCommand("Push to talk", "Speak, and push again to send (F3)", self.action_push_to_talk)
            yield SystemCommand("Mute", "Mute the microphone except for push to talk (F4)", self.action_mute)

    def _raise_later(self, error: BaseException) -> None:
        """Raise `error` inside the app, which ends it with a traceback."""

        def raise_error() -> None:
            raise error

        self.call_later(raise_error)


class _AbandonedError(Exception):
    """Nobody waits for the session any more. Raised into the building thread; its awaiting task is cancelled."""


def _has_terminal() -> bool:
    return sys.__stdin__ is not None and sys.__stdin__.isatty()
