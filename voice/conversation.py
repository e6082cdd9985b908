"""A spoken conversation: listen, answer aloud, and let the user interrupt.

One spoken turn:

    microphone ─▶ PushToTalk ─▶ UserTurnListener ─▶ on_start: a reply in progress pauses
                                                 └▶ on_end ─▶ transcript ─▶ InterruptionClassifier
                                                                             ├─ nothing, echo, backchannel: it resumes
                                                                             └─ turn: it is stopped, kept as heard
                                                                                └▶ ReplyRunner: Session.turn, spoken

All tasks belong to one task group: the first unexpected failure ends the conversation. Observers, such as the call log,
get every event of the front end and those of `voice.events`.
"""

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import TYPE_CHECKING

from assistant.conversation.session import Session
from assistant.errors import VoiceError
from assistant.events import Event, Notice
from voice.empathy import EmpathyMode
from voice.events import ReplyPaused, UtteranceClassified, VoiceEvent
from voice.options import FrontEnd, SpeechEngines, State, VoiceOptions
from voice.push_to_talk import MAX_SECONDS, PushToTalk
from voice.reply_playback import PausableAudioSink
from voice.reply_runner import ReplyRunner
from voice.speech_synthesizer import SpeechSynthesizer
from voice.stt.base import Transcript
from voice.turns.endpointing import Endpointer
from voice.turns.interruption import InterruptionClassifier
from voice.turns.listener import UserTurnListener
from voice.turns.transcriber import Transcriber
from voice.turns.utterance import Utterance
from voice.turns.vad import UserTurnDetector

if TYPE_CHECKING:
    from voice.audio.types import Samples

Observer = Callable[[Event | VoiceEvent], None]


class SpokenConversation:
    """Listen and answer aloud while `run` runs, which may be called once.

    Eleven attributes: the parts it coordinates, and the little state that concerns several of them.
    """

    def __init__(
        self,
        session: Session,
        engines: SpeechEngines,
        detector: UserTurnDetector,
        output: PausableAudioSink,
        front_end: FrontEnd,
        options: VoiceOptions | None = None,
    ) -> None:
        """Create a conversation.

        Args:
            session: Writes the replies.
            engines: Speech engines; the caller closes them.
            detector: Finds turns in the microphone's audio.
            output: Plays the replies.
            front_end: User interface.
            options: Language and headphones.
        """
        options = options or VoiceOptions()
        self._front_end = front_end
        self._keep_audio = options.audio_dir is not None or engines.emotion is not None
        self._observers: list[Observer] = []
        self._tasks = asyncio.TaskGroup()
        self._classifier = InterruptionClassifier(headphones=options.headphones)
        self._listener = UserTurnListener(
            detector,
            Transcriber(engines.stt, options.language),
            Endpointer(engines.end_of_turn, self._classifier),
            self._tasks,
            on_start=self._on_utterance_start,
            on_words=self._on_words,
            on_end=self._on_utterance_end,
        )
        self._push_to_talk = PushToTalk(self._listener, self._on_push_to_talk_timeout)
        self._replies = ReplyRunner(
            session,
            SpeechSynthesizer(engines.tts),
            output,
            self._publish,
            front_end,
            None if engines.emotion is None else EmpathyMode(engines.emotion, session, self._publish),
        )
        # Answered in order: whether an utterance is a turn depends on what the one before has led to.
        self._utterances: asyncio.Queue[Utterance | None] = asyncio.Queue()
        self._unanswered = 0
        self._reported_state: State | None = None

    def add_observer(self, observer: Observer) -> None:
        """Call `observer` with each event from now on."""
        self._observers.append(observer)

    async def run(self, microphone: "AsyncIterable[Samples]") -> None:
        """Converse until `microphone` ends or this is cancelled; a reply in progress is then kept as far as heard.

        A turn or a transcription that fails with a `ParleyError` is a `Notice`, and so is a voice or output that fails:
        replies are written then, until one can be spoken again.

        Raises:
            VoiceError: The microphone failed.
            Exception: What ended a turn without being a `ParleyError`.
        """
        self._update()
        microphone_error: Exception | None = None
        try:
            # The microphone buffers what is said meanwhile.
            await self._replies.load()
            async with self._tasks:
                self._tasks.create_task(self._answer_utterances())
                try:
                    async for samples in microphone:
                        self._push_to_talk.process(samples)
                        self._update()
                    self._push_to_talk.flush()
                except Exception as error:
                    microphone_error = error
                    raise
                finally:
                    # Tasks may still be on their way to their end. The key must not start another one meanwhile.
                    self._push_to_talk.release()
                self._utterances.put_nowait(None)
                self._update()
        except BaseExceptionGroup as errors:
            # The first failure is the cause: it has cancelled the other tasks, which may have failed because of that.
            # The group puts that of a task first, and that of the microphone last.
            raise microphone_error or errors.exceptions[0] from None
        finally:
            self._listener.close()
            self._replies.close()

    async def _answer_utterances(self) -> None:
        while (utterance := await self._utterances.get()) is not None:
            await self._answer(utterance)
            self._unanswered -= 1
            self._update()

    async def _answer(self, utterance: Utterance) -> None:
        """Start the reply to an utterance, if it is a turn. Returns while the reply goes on."""
        try:
            transcript = await utterance.transcript()
        except VoiceError as error:
            self._publish(Notice(f"{error} What you said is lost: say it again."))
            return
        decision = self._classifier.classify(transcript.text.strip(), utterance)
        # A reply knows what it answers, and an utterance the reply that it may echo: a chain that holds the whole call.
        utterance.interrupted_reply = None
        now = asyncio.get_running_loop().time()
        self._publish(UtteranceClassified(utterance, transcript, decision, now))
        if decision != "turn":
            if utterance.push_to_talk:
                self._publish(Notice("Nothing was understood: push to talk again, and speak after that."))
            return
        transcriber = self._listener.transcriber
        transcriber.keep_language(transcript)
        await self.interrupt()
        reply = self._replies.start(utterance, transcript, transcriber.language, self._tasks)
        reply.add_done_callback(lambda _: self._update())

    async def interrupt(self) -> None:
        """Stop the reply in progress, if there is one. It is kept as far as it was heard."""
        await self._replies.stop()

    @property
    def replying(self) -> bool:
        """True while a reply is in progress."""
        return self._replies.active

    @property
    def state(self) -> State:
        """State of the conversation."""
        if self._listener.utterance is not None:
            return "hearing"
        if self._replies.active:
            return "speaking" if self._replies.is_audible else "thinking"
        if self._unanswered:
            return "thinking"
        return "muted" if self.muted else "listening"

    @property
    def muted(self) -> bool:
        """True while only push-to-talk is listened to."""
        return self._push_to_talk.muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._push_to_talk.muted = muted
        self._update()

    @property
    def push_to_talk_active(self) -> bool:
        """True from a press of the push-to-talk key to the next."""
        return self._push_to_talk.active

    def press_push_to_talk(self) -> None:
        """Start an utterance by a key, muted or not; pressed again, end and answer it."""
        self._push_to_talk.press()
        self._update()

    def _on_utterance_start(self, utterance: Utterance) -> None:
        utterance.keep_audio = self._keep_audio
        utterance.interrupted_reply = self._replies.echoing_reply
        utterance.over_reply = self._replies.active
        if utterance.over_reply:
            self._publish(ReplyPaused(utterance))
        else:
            self._replies.prepare_prompt()
        self._update()

    def _on_words(self, utterance: Utterance, transcript: Transcript) -> None:
        """Begin to process what is probably the question, while the silence behind it goes on."""
        text = transcript.text.strip()
        if not self._replies.active and self._classifier.classify(text, utterance) == "turn":
            self._replies.prepare_prompt(text)

    def _on_utterance_end(self, utterance: Utterance) -> None:
        self._unanswered += 1
        self._utterances.put_nowait(utterance)
        self._update()

    def _on_push_to_talk_timeout(self) -> None:
        self._publish(Notice(f"Push-to-talk ended by itself after {MAX_SECONDS} s: push to go on."))

    def _publish(self, event: Event | VoiceEvent) -> None:
        if isinstance(event, Event):
            self._front_end.on_event(event)
        for observer in self._observers:
            observer(event)
        self._update()

    def _update(self) -> None:
        """Pause or resume the reply, and report the state, after anything that may change them."""
        # Pause at the first frame that may be speech: if it was none, the gap lasts a few hundredths of a second.
        undecided = self._unanswered > 0
        self._replies.pause(
            silent=undecided or self._listener.is_speech_likely, idle=undecided or self._listener.utterance is not None
        )
        if self.state != self._reported_state:
            self._reported_state = self.state
            self._front_end.on_state(self.state)
