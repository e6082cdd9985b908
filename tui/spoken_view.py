"""Show a spoken conversation: its state in the status bar, its turns in the transcript."""

from assistant.events import Event
from tui.turn_view import TurnView
from tui.widgets.status_bar import StatusBar
from tui.widgets.transcript import Transcript
from voice.conversation import SpokenConversation

_STATES = {
    "listening": "listening",
    "hearing": "hearing you …",
    "thinking": "thinking … (Esc stops)",
    "speaking": "speaking … (Esc stops)",
    "muted": "muted (F3 to talk)",
}


class SpokenView:
    """The state of the spoken conversation, and its current turn."""

    def __init__(self, transcript: Transcript, status: StatusBar) -> None:
        self._transcript = transcript
        self._status = status
        self._turn = TurnView(transcript, status, typed=False)

    def show_state(self, conversation: SpokenConversation | None) -> None:
        """Show the state of `conversation`, or nothing if there is none."""
        if conversation is None:
            self.show_status("")
        elif conversation.push_to_talk_active:
            self.show_status("hearing you … (F3 sends)")
        else:
            self.show_status(_STATES[conversation.state])

    def show_status(self, status: str) -> None:
        """Show `status` as the state of the conversation."""
        self._status.voice = status

    def show_stopping(self) -> None:
        """Show at once that the spoken reply is being stopped."""
        self.show_status("stopping …")
        self._turn.show_stopping()

    def begin_turn(self) -> None:
        """Show what follows as another turn."""
        self._turn = TurnView(self._transcript, self._status, typed=False)

    async def show(self, event: Event) -> None:
        """Show an event of the current turn."""
        await self._turn.show(event)
