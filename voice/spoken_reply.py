"""A reply on its way to the ear: written by a model, spoken sentence by sentence, and known how far it was heard.

write(piece) ─▶ SentenceSplitter ─▶ spoken_text ─▶ TextToSpeech on its thread ─▶ AudioOutput ─▶ delivered_text()
"""

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self

from assistant.async_bridge import stream_in_thread
from assistant.errors import ParleyError, VoiceError
from voice.tts.base import SENTENCE_GAP_SECONDS, TextToSpeech, language_of, speak_sentence
from voice.tts.sentence_splitter import SentenceSplitter
from voice.tts.text_cleanup import spoken_text

if TYPE_CHECKING:
    from voice.audio.types import Samples

# How often it is looked at, while it is heard to the end: it may go.
_LOOK_SECONDS = 0.25
# Converting rates may hold back a few milliseconds, so that a little less than all counts as all.
_CLOSE_ENOUGH_SECONDS = 0.05


class AudioSink(Protocol):
    """Where sound is played: `voice.audio.streams.AudioOutput`."""

    @property
    def played_seconds(self) -> float:
        """Seconds heard of all that was added since it was last emptied. Raises `VoiceError` while it cannot play."""
        ...

    def add(self, samples: "Samples") -> None:
        """Play these after all that was added before. Raises `VoiceError` while it cannot play."""
        ...

    def clear(self) -> None:
        """Forget all that has not been played."""
        ...


@dataclass
class _Sentence:
    """Where a sentence is in the written reply (as offsets) and in the sound (in seconds)."""

    begin: int
    end: int
    starts: float
    ends: float


class Speech:
    """One reply. Keeps the promises of `ResponseSink`; inside `async with` it speaks, and at its end it is silent.

    A voice or a speaker that fails ends no reply: it is one call of `failed`, and the reply counts as delivered in
    writing from there on.
    """

    def __init__(
        self,
        voice: TextToSpeech,
        executor: Executor,
        output: AudioSink,
        language: str = "en",
        *,
        began: Callable[[], None] | None = None,
        failed: Callable[[ParleyError], None] | None = None,
    ) -> None:
        """`began` is called when its first sound is handed to the `output`."""
        self._voice = voice
        self._executor = executor
        self._output = output
        self._language = language_of(voice, language)
        self._began = began or (lambda: None)
        self._failed = failed or (lambda _: None)
        self._splitter = SentenceSplitter()
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self.written = ""
        """The reply as far as it has come."""
        self._sentences: list[_Sentence] = []
        self._added = 0.0
        self._silent = False
        self.said = ""
        """All that was given to the voice so far, in the words it was given."""

    @property
    def spoke(self) -> bool:
        """Whether some of it was given to the output, and nothing has failed since."""
        return self._added > 0 and not self._silent

    async def __aenter__(self) -> Self:
        self._speaking = asyncio.create_task(self._speak())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._speaking.cancel()
        # What it raised came out of `finish`, or nobody waits for this reply any more.
        with suppress(asyncio.CancelledError, Exception):
            await self._speaking
        self._output.clear()

    def write(self, text: str) -> None:
        """The next piece of the reply."""
        self.written += text
        self._heard()
        for piece in self._splitter.feed(text):
            self._pieces.put_nowait(piece)

    async def finish(self) -> None:
        """Wait until the whole reply has been heard, or what is left of it has failed."""
        for piece in self._splitter.finish():
            self._pieces.put_nowait(piece)
        self._pieces.put_nowait(None)
        await self._speaking
        # As often as it was paused, and no more: what is left to play is how long to wait.
        while (left := self._added - self._heard()) > _CLOSE_ENOUGH_SECONDS:  # noqa: ASYNC110 - a sound card has no event
            await asyncio.sleep(min(left, _LOOK_SECONDS))

    def delivered_text(self) -> str:
        """What of the reply has been heard, to the word: within a sentence, as much of it as of its sound."""
        played = self._heard()
        if self._silent:
            return self.written
        heard = 0
        for sentence in self._sentences:
            if played < sentence.ends:
                words = self.written[sentence.begin : sentence.end].split(" ")
                share = (played - sentence.starts) / (sentence.ends - sentence.starts)
                if count := int(max(share, 0.0) * len(words)):
                    heard = sentence.begin + len(" ".join(words[:count]))
                break
            heard = sentence.end
        return self.written[:heard]

    def _heard(self) -> float:
        """Seconds of it that have been heard."""
        try:
            return self._output.played_seconds
        except VoiceError as error:
            self._fall_silent(error)
            # There is nothing left to wait for.
            return self._added

    def _fall_silent(self, error: ParleyError) -> None:
        if not self._silent:
            self._silent = True
            self._failed(error)

    async def _speak(self) -> None:
        written = 0
        while (piece := await self._pieces.get()) is not None and not self._silent:
            # Pieces are the reply but for white space, so that each is found after the one before.
            begin = self.written.index(piece, written)
            written = begin + len(piece)
            try:
                await self._say(piece, begin)
            except ParleyError as error:
                self._fall_silent(error)

    async def _say(self, piece: str, begin: int) -> None:
        sentence = _Sentence(begin, begin + len(piece), self._added, self._added)
        if words := spoken_text(piece, self._language):
            self.said = f"{self.said} {words}".strip()
            if self._added:
                sentence.starts += SENTENCE_GAP_SECONDS
            produce = partial(_synthesize, self._voice, words, self._added > 0)
            async with stream_in_thread(self._executor, produce) as sound:
                async for samples in sound:
                    self._output.add(samples)
                    first = not self._added
                    self._added += samples.size / self._voice.sample_rate
                    sentence.ends = self._added
                    if first:
                        self._began()
                    if not self._sentences or self._sentences[-1] is not sentence:
                        self._sentences.append(sentence)
        else:
            self._sentences.append(sentence)


def _synthesize(
    voice: TextToSpeech,
    words: str,
    after_another: bool,  # noqa: FBT001
    stop: threading.Event,
) -> "Generator[Samples, None, None]":
    for samples in speak_sentence(words, voice, after_another=after_another):
        if stop.is_set():
            return
        yield samples
