"""All that a spoken conversation needs beside the session it belongs to, ready to begin: `parley.factory` builds it."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.conversation.session import Session
from assistant.events import Event, Notice
from assistant.messages import Image
from voice.audio.duplex import AudioDuplex, DeviceChange
from voice.audio.streams import AudioOutput, Microphone
from voice.call_log import CallLog
from voice.conversation import SpokenConversation, State
from voice.empathy import EmotionDetector
from voice.stt.base import SpeechToText
from voice.tts.base import TextToSpeech
from voice.turns.endpointing import EndOfTurnModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voice.audio.types import Samples


class VoiceSession:
    """Ears, a voice, and two devices. `run` may be called again after it has ended, but not twice at once."""

    def __init__(
        self,
        ears: SpeechToText,
        mouth: TextToSpeech,
        microphone: Microphone,
        speaker: AudioOutput,
        *,
        judge: EndOfTurnModel | None = None,
        feel: EmotionDetector | None = None,
        notices: Sequence[str] = (),
        language: str | None = None,
        headphones: bool = False,
        log: Path | None = None,
        keep_audio: Path | None = None,
    ) -> None:
        """`judge`, `feel`, `language` and `headphones` are as for `SpokenConversation`.

        `notices` are what a person should know about its parts: the first conversation tells them. `log` is a file of
        JSON lines, `keep_audio` a folder for what is heard; without them nothing is kept.
        """
        self.microphone = microphone
        self._ears = ears
        self._mouth = mouth
        self._speaker = speaker
        self._judge = judge
        self._feel = feel
        self._notices = list(notices)
        self._language = language
        self._headphones = headphones
        self._log = log
        self._keep_audio = keep_audio

    async def run(
        self,
        session: Session,
        show: Callable[[Event], None],
        *,
        ready: Callable[[SpokenConversation], None],
        pictures: Callable[[], Sequence[Image]] = tuple,
        changed: Callable[[State], None] | None = None,
    ) -> None:
        """Talk until this is cancelled; `ready` is called with the conversation when it listens.

        The others are as for `SpokenConversation`. Raises `VoiceError` if a device cannot be opened, and what
        `SpokenConversation.run` raises.
        """
        from voice.turns.vad import SileroVad, UserTurnDetector

        def tell(sentence: str) -> None:
            show(Notice(sentence))

        def device_changed(change: DeviceChange) -> None:
            log("device", device=change.kind, name=change.name, back=change.back)
            # The first reply that cannot be spoken tells of the speaker.
            if change.back or change.kind == "microphone":
                tell(str(change))

        taking = await asyncio.to_thread(lambda: UserTurnDetector(SileroVad()))
        log = CallLog(self._log, self._keep_audio, tell)
        try:
            async with AudioDuplex(self.microphone, self._speaker, device_changed) as duplex:
                conversation = SpokenConversation(
                    session,
                    self._ears,
                    self._mouth,
                    self._speaker,
                    taking,
                    show,
                    language=self._language,
                    headphones=self._headphones,
                    pictures=pictures,
                    changed=changed,
                    log=log,
                    judge=self._judge,
                    feel=self._feel,
                )
                log("begin", model=session.model.info.name, microphone=self.microphone.name, speaker=self._speaker.name)
                ready(conversation)
                while self._notices:
                    tell(self._notices.pop(0))
                await conversation.run(self._heard(duplex))
        finally:
            log("end")
            log.close()

    async def _heard(self, duplex: AudioDuplex) -> "AsyncIterator[Samples]":
        from voice.audio.echo_canceller import EchoCanceller
        from voice.audio.types import SAMPLE_RATE

        if self._headphones:
            async for heard, _ in duplex.pairs():
                yield heard
        else:
            async for cleaned in EchoCanceller(SAMPLE_RATE).process_stream(duplex.pairs()):
                yield cleaned

    def close(self) -> None:
        """Free the memory of its engines."""
        self._ears.close()
        self._mouth.close()
