"""Everything a spoken conversation needs beside the chat session: engines, devices, options."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from assistant.conversation.session import Session
from assistant.events import Notice
from voice.audio.duplex import AudioDuplex, DeviceChange
from voice.audio.streams import AudioOutput, Microphone
from voice.call_log import CallLog
from voice.conversation import SpokenConversation
from voice.options import FrontEnd, SpeechEngines, VoiceOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voice.audio.types import Samples


class VoiceSession:
    """Run spoken conversations, one at a time. `parley.factory.voice.build_voice_session` builds it."""

    def __init__(
        self,
        engines: SpeechEngines,
        microphone: Microphone,
        speaker: AudioOutput,
        options: VoiceOptions | None = None,
        *,
        notices: Sequence[str] = (),
    ) -> None:
        """Create a session.

        Args:
            engines: Loaded engines; `close` frees them.
            microphone: Opened for each conversation.
            speaker: Opened for each conversation.
            options: Language, headphones, and what is written down.
            notices: What a person should know about the parts. Shown when the first conversation starts.
        """
        self.microphone = microphone
        self._engines = engines
        self._speaker = speaker
        self._options = options or VoiceOptions()
        self._notices = list(notices)

    async def run(
        self, session: Session, front_end: FrontEnd, *, on_ready: Callable[[SpokenConversation], None]
    ) -> None:
        """Converse until this is cancelled.

        Args:
            session: Writes the replies.
            front_end: User interface.
            on_ready: Receives the conversation when the microphone is open.

        Raises:
            VoiceError: A device cannot be opened.
            Exception: As `SpokenConversation.run`.
        """
        from voice.turns.vad import SileroVad, UserTurnDetector

        def notify(text: str) -> None:
            front_end.on_event(Notice(text))

        def on_device_change(change: DeviceChange) -> None:
            log.write("device", device=change.kind, name=change.name, back=change.back)
            # The loss of the speaker is reported by the first reply that cannot be spoken.
            if change.back or change.kind == "microphone":
                notify(str(change))

        detector = await asyncio.to_thread(lambda: UserTurnDetector(SileroVad()))
        log = CallLog(self._options.call_log, self._options.audio_dir, notify)
        try:
            async with AudioDuplex(self.microphone, self._speaker, on_device_change) as duplex:
                conversation = SpokenConversation(
                    session, self._engines, detector, self._speaker, front_end, self._options
                )
                conversation.add_observer(log.on_event)
                log.write(
                    "begin",
                    model=session.model.info.name,
                    microphone=self.microphone.name,
                    speaker=self._speaker.name,
                )
                on_ready(conversation)
                while self._notices:
                    notify(self._notices.pop(0))
                await conversation.run(self._microphone_audio(duplex))
        finally:
            log.write("end")
            log.close()

    async def _microphone_audio(self, duplex: AudioDuplex) -> "AsyncIterator[Samples]":
        """Yield 16 kHz samples without the echo of the speaker."""
        from voice.audio.echo_canceller import EchoCanceller
        from voice.audio.types import SAMPLE_RATE

        if self._options.headphones:
            async for captured, _ in duplex.pairs():
                yield captured
        else:
            async for cleaned in EchoCanceller(SAMPLE_RATE).process_stream(duplex.pairs()):
                yield cleaned

    def close(self) -> None:
        """Free the memory of the engines."""
        self._engines.close()
