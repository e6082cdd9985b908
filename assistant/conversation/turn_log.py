"""Record the turns of a conversation: in memory always, and in a store where there is one."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from assistant.async_bridge import wait_uncancelled
from assistant.errors import HistoryError, first_line
from assistant.events import Usage
from assistant.messages import Message
from assistant.progress import OnNotice, no_notice

_Turn = tuple[Message, Message, Usage]


class TurnStore(Protocol):
    """Store for finished and interrupted turns. `append` blocks, and the turn is durable when it returns."""

    def append(self, user: Message, reply: Message, usage: Usage) -> None:
        """Add one turn. Raises `HistoryError` if it cannot be written."""
        ...


class TurnLog:
    """All turns of a conversation. A turn that the store refused is written again with the next one.

    No turn keeps another from being written.
    """

    def __init__(
        self, messages: Sequence[Message] = (), store: TurnStore | None = None, on_notice: OnNotice = no_notice
    ) -> None:
        """Create a log.

        Args:
            messages: Earlier turns, oldest first; the store has them already.
            store: Store for new turns; None keeps them in memory only.
            on_notice: Receives one notice when saving starts to fail.
        """
        self.messages = list(messages)
        """Every turn so far, oldest first, without the system message."""
        self.save_error: HistoryError | None = None
        """Reason why the latest turns are in memory only, or None if all are saved."""
        self._store = store
        self._unwritten: list[_Turn] = []
        self._on_notice = on_notice

    async def append(self, user: Message, reply: Message, usage: Usage) -> None:
        """Add one turn and save it. Cancelling waits until it is written."""
        self.messages += [user, reply]
        if self._store is not None:
            self._unwritten.append((user, reply, usage))
            await wait_uncancelled(asyncio.get_running_loop().run_in_executor(None, self._write, self._store))

    def _write(self, store: TurnStore) -> None:
        failed: list[_Turn] = []
        save_error: HistoryError | None = None
        for turn in self._unwritten:
            try:
                store.append(*turn)
            except HistoryError as error:
                # The next is tried nevertheless: the reason may be in this turn alone.
                failed.append(turn)
                save_error = save_error or error
            except Exception as error:  # noqa: BLE001 - a turn that can never be written must not stop the others
                save_error = HistoryError(f"One turn cannot be saved ({first_line(error)}); the others are.")
        self._unwritten = failed
        if save_error is not None and self.save_error is None:
            goes_on = " The conversation goes on, but until that is put right it is not saved." if failed else ""
            self._on_notice(f"{save_error}{goes_on}")
        self.save_error = save_error
