"""Everything a spoken conversation needs beside the chat session: engines, devices, options."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.conversation.session import Session
from assistant.errors import first_line
from assistant.events import Notice
from assistant.progress import OnNotice
from voice.audio.duplex import AudioDuplex, DeviceChange
from voice.audio.streams import AudioOutput, Microphone
from voice.audio_folder import AudioFolder
from voice.call_log import CallLog, new_call_id
from voice.conversation import SpokenConversation
from voice.options import FrontEnd, SpeechEngines, VoiceOptions
from voice.recordings import CallRecording, RecordingOutput

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
        about: Mapping[str, object] | None = None,
    ) -> None:
        """Create a session.

        Args:
            engines: Loaded engines; `close` frees them.
            microphone: Opened for each conversation.
            speaker: Opened for each conversation.
            options: Language, headphones, and what is written down.
            notices: What a person should know about the parts. Shown when the first conversation starts.
            about: What the call log says about the parts when a call begins.
        """
        self.microphone = microphone
        self._engines = engines
        self._speaker = speaker
        self._options = options or VoiceOptions()
        self._notices = list(notices)
        self._about = dict(about or {})

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

        detector = await asyncio.to_thread(lambda: UserTurnDetector(SileroVad()))
        files = _CallFiles(self._options, self._speaker, notify)
        with files.logged(self._description(session)):

            def on_device_change(change: DeviceChange) -> None:
                files.log.write("device", device=change.kind, name=change.name, back=change.back)
                # The loss of the speaker is reported by the first reply that cannot be spoken.
                if change.back or change.kind == "microphone":
                    notify(str(change))

            async with AudioDuplex(self.microphone, self._speaker, on_device_change) as duplex:
                conversation = SpokenConversation(
                    session, self._engines, detector, files.output, front_end, self._options
                )
                conversation.add_observer(files.log.on_event)
                on_ready(conversation)
                while self._notices:
                    notify(self._notices.pop(0))
                session.share_cores(shared=True)
                session.prepare()
                try:
                    await conversation.run(self._microphone_audio(duplex, files))
                finally:
                    session.share_cores(shared=False)

    async def _microphone_audio(self, duplex: AudioDuplex, files: "_CallFiles") -> "AsyncIterator[Samples]":
        """Yield 16 kHz samples without the echo of the speaker."""
        from voice.audio.echo_canceller import EchoCanceller
        from voice.audio.types import SAMPLE_RATE

        canceller = None if self._options.headphones else EchoCanceller(SAMPLE_RATE)
        async for captured, played in duplex.pairs():
            heard = captured if canceller is None else canceller.process(captured, played)
            files.record(heard, played)
            yield heard

    def _description(self, session: Session) -> dict[str, object]:
        """Return what the call log says about this session and its parts when a call begins."""
        info, options = session.model.info, session.options
        return {
            "model": info.name,
            "model_device": info.device,
            "quantization": info.quantization,
            "context_tokens": info.context_tokens,
            "system": None if session.system is None else session.system.text,
            "max_tokens": options.max_tokens,
            "temperature": options.temperature,
            "seed": options.seed,
            "earlier_messages": len(session.messages),
            "microphone": self.microphone.name,
            "speaker": self._speaker.name,
            "language": self._options.language,
            "headphones": self._options.headphones,
            "empathy": self._engines.emotion is not None,
            "end_of_turn": self._engines.end_of_turn is not None,
            **self._about,
        }

    def close(self) -> None:
        """Free the memory of the engines."""
        self._engines.close()


class _CallFiles:
    """The files of one call: the log, and audio. One that cannot be written does not end the call."""

    def __init__(self, options: VoiceOptions, speaker: AudioOutput, on_notice: OnNotice) -> None:
        call = new_call_id()
        self._on_notice = on_notice
        self.output = RecordingOutput(speaker, speaker.sample_rate)
        audio = None
        if options.audio_dir is not None:
            audio = AudioFolder(options.audio_dir, call, self.output, speaker.sample_rate, on_notice)
        self.log = CallLog(options.call_log, on_notice, call=call, audio=audio)
        self._recording: CallRecording | None = None
        if options.record is not None:
            try:
                self._recording = CallRecording(options.record, call)
            except (OSError, ValueError) as error:
                self._give_up(options.record, error)

    @contextmanager
    def logged(self, description: Mapping[str, object]) -> Iterator[None]:
        """Log the beginning of the call, and at the end of the block its end with the reason. Then close the files."""
        recording = None if self._recording is None else self._recording.path.name
        self.log.write("begin", **description, recording=recording)
        reason, failure = "ended", None
        try:
            yield
        except asyncio.CancelledError as cancelled:
            # A signal is named by whoever cancels; Ctrl-C and F2 are not.
            reason = str(cancelled.args[0]) if cancelled.args else "stopped"
            raise
        except GeneratorExit:
            reason = "stopped"
            raise
        except BaseException as error:
            reason, failure = "failed", str(error) or type(error).__name__
            raise
        finally:
            self.log.write("end", reason=reason, failure=failure)
            self.log.close()
            self._close_recording()

    def record(self, heard: "Samples", played: "Samples") -> None:
        """Append to the recording of the call, if there is one."""
        if self._recording is not None:
            try:
                self._recording.add(heard, played)
            except OSError as error:
                self._give_up(self._recording.path, error)
                self._close_recording()

    def _close_recording(self) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            try:
                recording.close()
            except OSError as error:
                self._give_up(recording.path, error)

    def _give_up(self, path: Path, error: OSError | ValueError) -> None:
        self._on_notice(
            f"The recording {path} cannot be written ({first_line(error)}): the conversation goes on without it."
        )
