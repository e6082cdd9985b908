"""The terminal app: paints first, builds the session behind the first paint, and closes it on the way out."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.message import Message

from assistant.attachments.images import ImageLoader
from assistant.conversation.session import Session
from assistant.errors import ParleyError
from assistant.text_cleaning import clean_line, clean_text
from tui.background_thread import run_in_daemon_thread
from tui.crash_report import report_crash
from tui.kept_draft import KeptDraft
from tui.screens.chat import ChatScreen
from tui.skill_commands import Palette, SkillCommands
from tui.text_filter import TextFilter
from tui.voice_controller import VoiceController

if TYPE_CHECKING:
    from textual.driver import Driver
    from textual.screen import Screen

    from assistant.progress import Progress
    from voice.voice_session import VoiceSession

_TERMINAL_CHECK_SECS = 2.0
# One for all lines: Textual caches filtered lines by their filter.
_TEXT_FILTER = TextFilter()


class ParleyApp(App[None]):
    """A conversation in the terminal.

    Attributes:
        exit_notices: Sentences for the user that are due when the app has ended.
        unsent_text: What was typed and not sent, if there is no folder to keep it in.
    """

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
        folder: Path | None = None,
    ) -> None:
        """Create the app.

        Args:
            build_session: Return the session. Runs on a thread of its own after the first paint, and may block for as
                long as a download takes.
            build_voice_session: Return the speech engines and devices, on a thread of its own as well. Without it
                there is no voice.
            image_loader: Loads the images that the user attaches.
            folder: Folder for what was typed and not sent. Without one it is in `unsent_text`.
        """
        super().__init__(_driver_class())
        self.exit_notices: list[str] = []
        self.unsent_text = ""
        self._folder = folder
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

    def on_load(self) -> None:
        # Before the driver changes the terminal: from then on it has to be restored.
        if sys.platform != "win32":
            self._quit_with_terminal()
        asyncio.get_running_loop().set_exception_handler(self._on_loop_error)

    def on_mount(self) -> None:
        if self._folder is not None:
            self._chat.restore_draft(KeptDraft(self._folder).take())
        # Building imports torch, which takes seconds and most of the interpreter: the first paint goes before it.
        self.call_after_refresh(self._load)

    async def on_unmount(self) -> None:
        self._shutting_down.set()
        await self._voice.close()
        await self._chat.shutdown()
        self._keep_draft()
        if self._session is not None:
            if save_error := self._session.save_error:
                self.exit_notices.append(f"The last turns are not saved. {save_error}")
            await self._session.close()

    def action_help_quit(self) -> None:
        """Ctrl+C with nothing to copy and nothing to stop: say how to leave, and what becomes of the draft."""
        is_kept = self._folder is not None and bool(self._chat.unsent_text)
        self.notify("Ctrl+Q quits." + (" What you have typed is kept for the next time." if is_kept else ""))

    async def action_quit(self, return_code: int = 0) -> None:
        """Save a running reply as far as it got, then leave."""
        self._shutting_down.set()
        await self._voice.stop()
        await self._chat.flush()
        if await self._chat.shutdown() and self._folder is not None:
            self.exit_notices.append("The reply was stopped and is saved as far as it came: parley --continue goes on.")
        self.exit(return_code=return_code)

    def _quit_with_terminal(self) -> None:
        """Treat a closed terminal window and `kill` like Ctrl+Q, so that they save the reply too."""
        for number in (signal.SIGHUP, signal.SIGTERM):
            # nohup has HUP ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                quit_with_code = partial(self.action_quit, 128 + number)
                asyncio.get_running_loop().add_signal_handler(number, self.call_later, quit_with_code)
        # SIGHUP does not reach a process that ignores it (nohup) or that does not control the terminal. It would go on
        # reading for ever.
        if _has_terminal():
            self.set_interval(_TERMINAL_CHECK_SECS, self._quit_without_terminal)

    async def _quit_without_terminal(self) -> None:
        if not _has_terminal():
            await self.action_quit(128 + signal.SIGHUP)

    def _keep_draft(self) -> None:
        if not (text := self._chat.unsent_text):
            return
        if self._folder is not None and KeptDraft(self._folder).keep(text):
            self.exit_notices.append("What you have not sent is kept: it is in the input when you open Parley again.")
        else:
            self.unsent_text = text

    # Unexpected errors

    def _fatal_error(self) -> None:
        """Leave with one sentence in place of Textual's traceback, which is as long as the screen many times over."""
        # Textual has no public hook for this. `_handle_exception` has set the exit code and the exception.
        if self._exception is not None and not self.exit_notices:
            self.exit_notices.append(report_crash(self._exception, self._folder))
        self._close_messages_no_wait()

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """End the app if a callback fails. asyncio would log it where nobody sees it."""
        error = context.get("exception")
        if isinstance(error, Exception) and "handle" in context:
            self._handle_exception(error)
        else:
            loop.default_exception_handler(context)

    # What leaves the app without being drawn

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), _TEXT_FILTER]

    def copy_to_clipboard(self, text: str) -> None:
        """Copy `text` without control characters, which a shell would obey when it is pasted there."""
        super().copy_to_clipboard(clean_text(text))

    def open_url(self, url: str, *, new_tab: bool = True) -> None:
        """Open a link of a reply in the browser, if it is one to the web."""
        if url.lower().startswith(("http://", "https://")) and url.isprintable():
            super().open_url(url, new_tab=new_tab)
        else:
            self._chat.show_notice(f"{clean_line(url, 80)} is no link to the web and was not opened.")

    # Loading

    @on(ChatScreen.RetryRequested)
    @work(exclusive=True, group="load")
    async def _load(self) -> None:
        self._chat.show_progress("loading", 0, 0)
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
        # Turned off meanwhile, the thread that builds voice reports until it is done.
        if not event.for_voice or self._voice.is_on:
            self._chat.show_progress(event.label, event.done_bytes, event.total_bytes, for_voice=event.for_voice)

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

    def action_command_palette(self) -> None:
        """Ctrl+P: open the command palette."""
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

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


def _driver_class() -> "type[Driver] | None":
    """Return the driver for this system, None for Textual's own."""
    if sys.platform == "win32":
        return None
    from tui.terminal_driver import TerminalDriver

    return TerminalDriver


def _has_terminal() -> bool:
    return sys.__stdin__ is not None and sys.__stdin__.isatty()
