"""Speak a reply while it is written, sentence by sentence.

write(text) ─▶ SentenceSplitter ─▶ spoken_text ─▶ SpeechSynthesizer ─▶ ReplyPlayback ─▶ delivered_text()
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from assistant.errors import ParleyError
from voice.reply_playback import PausableAudioSink, ReplyPlayback
from voice.speech_synthesizer import SpeechSynthesizer
from voice.tts.readable import UnreadableTextError
from voice.tts.sentence_splitter import SentenceSplitter
from voice.tts.text_cleanup import spoken_text

# Reverberation and audio buffers keep a voice in the microphone for this long after its end.
_ECHO_TAIL_SECONDS = 1.5


class SpokenReply:
    """One reply, spoken inside `async with` and silent at its end. Implements `ResponseSink`.

    A voice or an output that fails does not end the reply: it goes on in writing. A sentence that the voice cannot read
    is left out, which is reported once.
    """

    def __init__(
        self,
        synthesizer: SpeechSynthesizer,
        output: PausableAudioSink,
        language: str = "en",
        *,
        on_start: Callable[[], None] = lambda: None,
        on_error: Callable[[ParleyError], None] = lambda _: None,
    ) -> None:
        """Create a reply.

        Args:
            synthesizer: Speaks its sentences.
            output: Plays this reply alone.
            language: Code of the language of the reply.
            on_start: Called when its first audio has been given to the output.
            on_error: Called with the first failure of voice or output.
        """
        self._synthesizer = synthesizer
        self._language = synthesizer.language_of(language)
        self._playback = ReplyPlayback(output, synthesizer.sample_rate, on_start=on_start, on_error=on_error)
        self._splitter = SentenceSplitter(self._language)
        self._sentences: asyncio.Queue[str | None] = asyncio.Queue()
        self._speaking: asyncio.Task[None] | None = None
        self.text = ""
        """The reply as written so far."""
        self.spoken_text = ""
        """Everything given to the voice so far, as plain words."""
        self.first_text_at: float | None = None
        """Event-loop time of the first text."""
        self.ended_at: float | None = None
        """Event-loop time at which it fell silent; None while it is spoken."""

    @property
    def is_audible(self) -> bool:
        """True once some of it was given to the output, unless something has failed since."""
        return self._playback.is_audible

    @property
    def first_audio_at(self) -> float | None:
        """Event-loop time of the first audio."""
        return self._playback.first_audio_at

    @property
    def may_echo(self) -> bool:
        """True while a microphone may pick it up: until a moment after its end."""
        return self.ended_at is None or asyncio.get_running_loop().time() - self.ended_at < _ECHO_TAIL_SECONDS

    async def __aenter__(self) -> Self:
        self._speaking = asyncio.create_task(self._speak())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._speaking is not None
        self._speaking.cancel()
        # `finish` has raised its error, or the reply was stopped and nobody waits for it.
        with suppress(asyncio.CancelledError, Exception):
            await self._speaking
        self._playback.clear()
        self.ended_at = asyncio.get_running_loop().time()

    def pause(self, *, paused: bool) -> None:
        """Pause the reply, or resume it. Nothing happens before it starts and after it has ended."""
        if self._speaking is not None and self.ended_at is None:
            self._playback.pause(paused=paused)

    def write(self, text: str) -> None:
        """Append text."""
        if self.first_text_at is None:
            self.first_text_at = asyncio.get_running_loop().time()
        self.text += text
        self._playback.poll()
        for sentence in self._splitter.feed(text):
            self._sentences.put_nowait(sentence)

    def discard(self) -> None:
        """Be silent about all that was written so far, which was no reply. What is written from here on is spoken."""
        assert self._speaking is not None
        self._speaking.cancel()
        self._splitter = SentenceSplitter(self._language)
        self._sentences = asyncio.Queue()
        self.text = ""
        self._playback.discard()
        self._speaking = asyncio.create_task(self._speak())

    async def finish(self) -> None:
        """Wait until the complete reply has been heard, or what is left of it has failed."""
        for sentence in self._splitter.finish():
            self._sentences.put_nowait(sentence)
        self._sentences.put_nowait(None)
        assert self._speaking is not None
        await self._speaking
        await self._playback.wait_until_heard()

    def delivered_text(self) -> str:
        """Return what has been heard, to the word; everything written once voice or output have failed.

        Before its first word is heard, a reply has been delivered in writing alone: everything shown counts then. An
        empty message would teach the model to give empty replies, and some servers refuse it.
        """
        return self._playback.delivered(self.text) or self.text

    async def _speak(self) -> None:
        position = 0
        while (sentence := await self._sentences.get()) is not None and not self._playback.failed:
            # Sentences are the text without white space between them: each is found after the one before.
            start = self.text.index(sentence, position)
            position = start + len(sentence)
            try:
                await self._speak_sentence(sentence, start)
            except UnreadableTextError as error:
                self._playback.leave_out(start, position, error)
            except ParleyError as error:
                self._playback.fail(error)

    async def _speak_sentence(self, sentence: str, start: int) -> None:
        end = start + len(sentence)
        words = spoken_text(sentence, self._language)
        if not words:
            self._playback.skip(start, end)
            return
        self.spoken_text = f"{self.spoken_text} {words}".strip()
        async with self._synthesizer.stream(words, after_another=self._playback.has_audio) as audio:
            async for samples in audio:
                self._playback.add(start, end, samples)
