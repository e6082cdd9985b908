"""VoiceController in the terminal app: beginning and ending a spoken conversation beside the written one.

F2 ─▶ ears, voice and devices, built behind the screen ─▶ VoiceSession.run ─▶ the conversation's screen shows what happens
"""

import asyncio
from collections.abc import Awaitable, Callable

from assistant.conversation.session import Session
from assistant.errors import ParleyError
from tui.screens.chat import ChatScreen
from voice.conversation import SpokenConversation
from voice.voice_session import VoiceSession


class VoiceController:
    """What is spoken on `screen`. `call` builds what that needs, and `session` waits for what answers."""

    def __init__(
        self,
        screen: ChatScreen,
        call: Callable[[], Awaitable[VoiceSession]],
        session: Callable[[], Awaitable[Session]],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`failed` is told of what nobody could be told in a sentence."""
        self._screen = screen
        self._build = call
        self._session = session
        self._failed = failed
        self._call: VoiceSession | None = None
        self._task: asyncio.Task[None] | None = None

    async def toggle(self, *, muted: bool = False) -> None:
        """Begin to listen, or end that; `muted` listens only to somebody who pushes to talk."""
        if self._task is not None:
            await self.end()
        else:
            self._task = asyncio.create_task(self._talk(muted=muted))
            self._task.add_done_callback(self._ended)

    async def push(self) -> None:
        """Listen to what somebody says now, or, pushed again, answer it. Begins to be able to, if it was not."""
        if self._task is None:
            await self.toggle(muted=True)
        elif self._screen.spoken is not None:
            self._screen.spoken.push()
            self._screen.show_voice()

    def mute(self) -> None:
        """Listen to nobody who does not push to talk, or again to everybody."""
        if self._screen.spoken is not None:
            self._screen.spoken.muted = not self._screen.spoken.muted
            self._screen.show_voice()
        elif self._task is None:
            self._screen.show_notice("Nobody is listened to, so there is nothing to mute: F2 begins to listen.")
        else:
            self._screen.show_notice("Nobody is listened to yet: F4 mutes once voice is loaded.")

    async def end(self) -> None:
        """End the spoken conversation, if there is one, and return when what it said is kept."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """End it, and free its engines."""
        await self.end()
        if self._call is not None:
            self._call.close()

    async def _talk(self, *, muted: bool) -> None:
        screen = self._screen

        def ready(conversation: SpokenConversation) -> None:
            screen.spoken = conversation
            conversation.muted = muted

        try:
            screen.show_voice("voice: loading …")
            self._call = self._call or await self._build()
            session = await self._session()
            await self._call.run(
                session,
                screen.show_event,
                ready=ready,
                pictures=screen.take_images,
                changed=lambda _: screen.show_voice(),
            )
        except ParleyError as error:
            screen.show_notice(f"{error} Typing goes on as before.", failure=True)
        finally:
            screen.spoken = None
            screen.show_voice("")

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
