"""The terminal app: paints first, builds the session behind the first paint, and closes it on the way out."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import App
from textual.message import Message

from assistant.errors import AssistantError
from assistant.session import Session
from tui.screens.conversation import ConversationScreen
from tui.skill_commands import SkillCommands

if TYPE_CHECKING:
    # Fetching needs modules that the first paint can do without.
    from assistant.parcels import Progress


class ParleyApp(App[None]):
    """A conversation in the terminal.

    `build` makes the session; it may block for as long as a download takes, and it reports how far it is. It runs on
    a thread of its own, after the screen was painted once. `allow_urls` and `max_megapixels` say which pictures a
    person may attach.
    """

    TITLE = "Parley"
    CSS_PATH = "styles.tcss"
    COMMANDS = App.COMMANDS | {SkillCommands}
    # Textual declares these two as belonging to the instance.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (18, "-tall")]  # noqa: RUF012

    class Progressed(Message):
        """The session being built has come a step further."""

        def __init__(self, what: str, done: int, total: int) -> None:
            super().__init__()
            self.what = what
            """What is being done, like "fetching the decoder"."""
            self.done = done
            """Bytes so far."""
            self.total = total
            """Bytes in all, 0 if there is nothing to count."""

    def __init__(
        self, build: "Callable[[Progress], Session]", *, allow_urls: bool = False, max_megapixels: float = 50.0
    ) -> None:
        super().__init__()
        self._build = build
        self._session: Session | None = None
        self._leaving = threading.Event()
        self._conversation = ConversationScreen(allow_urls=allow_urls, max_megapixels=max_megapixels)

    def get_default_screen(self) -> ConversationScreen:
        return self._conversation

    def on_mount(self) -> None:
        # Building imports torch, which takes seconds and most of the interpreter: the first paint goes before it.
        self.call_after_refresh(self._load)
        if sys.platform != "win32":
            # A closed terminal window or a `kill` keeps the reply just as Ctrl+Q does.
            for ending in (signal.SIGHUP, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(ending, self.call_later, self.action_quit)

    async def on_unmount(self) -> None:
        self._leaving.set()
        await self._conversation.end_turn()
        if self._session is not None:
            await self._session.close()

    async def action_quit(self) -> None:
        """Keep what was said of a running reply, then leave."""
        self._leaving.set()
        await self._conversation.end_turn()
        unsaved = self._session.unsaved if self._session is not None else None
        self.exit(message=f"The last turns are not saved. {unsaved}" if unsaved else None)

    @on(ConversationScreen.SessionWanted)
    @work(exclusive=True, group="load")
    async def _load(self) -> None:
        self._conversation.show_loading("loading …")
        try:
            self._session = await self._built()
        except AssistantError as error:
            await self._conversation.show_failure(str(error))
        else:
            await self._conversation.begin(self._session)

    async def _built(self) -> Session:
        """The session, built on a thread that the interpreter does not wait for when the app is left meanwhile.

        Assembling a model has long steps that cannot be interrupted, and whatever they leave half done is made anew.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Session] = loop.create_future()

        def settle(settle_with: Callable[[], None]) -> None:
            # The loop is closed, and the future cancelled, once nobody waits any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: None if done.done() else settle_with())

        def work() -> None:
            try:
                session = self._build(self._report)
            except BaseException as error:  # noqa: BLE001 - raised where the session is awaited
                reason = error
                settle(lambda: done.set_exception(reason))
            else:
                settle(lambda: done.set_result(session))

        threading.Thread(target=work, name="build", daemon=True).start()
        return await done

    @on(Progressed)
    def _show_progress(self, event: Progressed) -> None:
        percent = f"{100 * event.done // event.total} %" if event.total else "…"
        self._conversation.show_loading(f"{event.what} {percent}")

    def _report(self, what: str, done: int, total: int) -> None:
        """Pass progress on from the thread that builds. Ends that thread's work once the app is being left."""
        if self._leaving.is_set():
            raise _AbandonedError
        self.post_message(self.Progressed(what, done, total))


class _AbandonedError(Exception):
    """Nobody waits for the session any more. Raised into `build`, and seen by no one: its task is cancelled."""
