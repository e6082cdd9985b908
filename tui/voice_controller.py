"""Start and stop the spoken conversation of the app, beside the typed one.

F2 -> build speech engines and devices on a thread -> VoiceSession.run -> the chat screen shows its events
"""

import asyncio
from collections.abc import Awaitable, Callable

from assistant.conversation.session import Session
from assistant.errors import ParleyError
from tui.screens.chat import ChatScreen
from voice.conversation import SpokenConversation
from voice.options import FrontEnd
from voice.voice_session import VoiceSession


class VoiceController:
    """Runs at most one spoken conversation at a time and shows it on the chat screen."""

    def __init__(
        self,
        screen: ChatScreen,
        build_voice_session: Callable[[], Awaitable[VoiceSession]],
        wait_for_session: Callable[[], Awaitable[Session]],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Create a controller.

        Args:
            screen: Shows the conversation.
            build_voice_session: Return the speech engines and devices. Called when voice is first turned on.
            wait_for_session: Return the session once it is built.
            on_error: Receives unexpected exceptions.
        """
        self._screen = screen
        self._build_voice_session = build_voice_session
        self._wait_for_session = wait_for_session
        self._on_error = on_error
        self._voice_session: VoiceSession | None = None
        self._building: asyncio.Future[VoiceSession] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_on(self) -> bool:
        """True from the time that voice is turned on, also while it loads."""
        return self._task is not None

    async def toggle(self, *, muted: bool = False) -> None:
        """Turn voice on or off. If `muted`, only push to talk is listened to."""
        if self._task is not None:
            await self.stop()
            # The call has left the model a core fewer, and replies that are kept only as far as they were heard.
            self._screen.prepare()
        else:
            self._task = asyncio.create_task(self._run(muted=muted))
            self._task.add_done_callback(self._on_done)

    async def push_to_talk(self) -> None:
        """Listen from here on; called again, answer what was said. Turns voice on if it is off."""
        if self._task is None:
            await self.toggle(muted=True)
        elif self._screen.voice is not None:
            self._screen.voice.press_push_to_talk()
            self._screen.show_voice_state()

    def toggle_mute(self) -> None:
        """Mute or unmute the microphone. Push to talk works all the same."""
        if self._screen.voice is not None:
            self._screen.voice.muted = not self._screen.voice.muted
            self._screen.show_voice_state()
        elif self._task is None:
            self._screen.show_notice("Voice is off, so there is nothing to mute: F2 turns it on.")
        else:
            self._screen.show_notice("Voice is still loading: F4 mutes once it listens.")

    async def stop(self) -> None:
        """Turn voice off, and return when the last reply is saved as far as it was heard."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Turn voice off and free the speech engines."""
        await self.stop()
        if self._building is not None:
            self._building.cancel()
        if self._voice_session is not None:
            self._voice_session.close()

    async def _run(self, *, muted: bool) -> None:
        screen = self._screen

        def on_ready(conversation: SpokenConversation) -> None:
            screen.voice = conversation
            conversation.muted = muted

        try:
            screen.show_progress("loading", 0, 0, for_voice=True)
            voice_session = await self._built_voice_session()
            await voice_session.run(
                await self._wait_for_session(),
                FrontEnd(
                    screen.show_event, lambda _: screen.show_voice_state(), screen.take_images, screen.pending_images
                ),
                on_ready=on_ready,
            )
        except ParleyError as error:
            screen.show_notice(f"{error} Typing goes on as before.", failure=True)
            screen.prepare()
        finally:
            screen.voice = None
            screen.show_voice_state()

    async def _built_voice_session(self) -> VoiceSession:
        """Return the engines and devices. If voice is turned off while they load, they load on for the next time."""
        if self._voice_session is not None:
            return self._voice_session
        if self._building is None:
            self._building = asyncio.ensure_future(self._build_voice_session())
            self._building.add_done_callback(self._on_built)
        building = self._building
        await asyncio.wait([building])
        return building.result()

    def _on_built(self, building: "asyncio.Future[VoiceSession]") -> None:
        self._building = None
        if not building.cancelled() and building.exception() is None:
            self._voice_session = building.result()

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)
