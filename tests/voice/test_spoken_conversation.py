"""A spoken conversation, its parts joined: turns, interruptions, coughs, echoes and failures.

The microphone, the speaker and both engines are stand-ins that say in samples what they mean; the sound of real ones is
tried in `test_voice_command`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from assistant.errors import ModelError, VoiceError
from assistant.events import Event, Heard, Notice, TurnFinished
from assistant.messages import Image
from assistant.models.scripted import ScriptedModel
from assistant.session import Session
from tests.voice.conftest import Floats
from voice.conversation import SpokenConversation
from voice.end_of_turn import Judge
from voice.samples import HEARING_RATE
from voice.speech_to_text import Segment, Transcript
from voice.turn_taking import FRAME, TurnTaking

RATE = 1000


class Ears:
    """Understands utterances by their loudness: the number of the sentence in `sentences`."""

    languages = ("en", "de")

    def __init__(self, *sentences: str) -> None:
        self.sentences = sentences
        self.asked: list[str | None] = []
        self.heard_seconds: list[float] = []
        self.language_probability = 1.0

    def transcribe(self, samples: Floats, language: str | None = None) -> Transcript:
        self.asked.append(language)
        self.heard_seconds.append(samples.size / HEARING_RATE)
        if not self.sentences:
            raise VoiceError("Whisper failed.")
        text = self.sentences[round(float(samples.max()) * 100) - 60]
        probability = self.language_probability if language is None else 1.0
        return Transcript((Segment(text, 0, 1),) if text else (), language or "en", probability)

    def close(self) -> None:
        pass


class Voice:
    """Speaks a tenth of a second for each word."""

    sample_rate = RATE

    def __init__(self) -> None:
        self.said: list[str] = []

    def synthesize(self, sentence: str) -> Iterator[Floats]:
        if "break" in sentence:
            raise VoiceError("The voice broke.")
        self.said.append(sentence)
        yield np.zeros(len(sentence.split()) * RATE // 10, np.float32)

    def close(self) -> None:
        pass


@dataclass
class Speaker:
    """Plays in no time at all what it is let play, in seconds."""

    limit: float = 1e9
    added: float = 0.0
    paused: bool = False
    log: list[str] = field(default_factory=list)

    @property
    def played(self) -> float:
        return min(self.added, self.limit)

    def add(self, samples: Floats) -> None:
        self.added += samples.size / RATE

    def pause(self) -> None:
        self.paused = True
        self.log.append("pause")

    def resume(self) -> None:
        self.paused = False
        self.log.append("resume")

    def empty(self) -> None:
        self.added = 0.0
        self.paused = False
        self.log.append("empty")


class Room:
    """A conversation with everything around it; a script of what the person does is run beside it."""

    def __init__(
        self,
        *replies: str | Exception,
        heard: tuple[str, ...],
        headphones: bool = False,
        judge: Judge | None = None,
    ) -> None:
        self.model = ScriptedModel()
        self.model.enqueue(*replies)
        self.session = Session(self.model)
        self.ears, self.voice, self.speaker = Ears(*heard), Voice(), Speaker()
        self.events: list[Event] = []
        self._sound: asyncio.Queue[Floats | None] = asyncio.Queue()
        self.conversation = SpokenConversation(
            self.session,
            self.ears,
            self.voice,
            self.speaker,
            TurnTaking(lambda frame: float(np.abs(frame).max())),
            self.events.append,
            headphones=headphones,
            judge=judge,
        )

    def speaks(self, sentence: int) -> None:
        """Say the sentence with that number, and be silent for longer than anyone is waited for."""
        self.begins(sentence)
        self.is_silent(70)

    def is_silent(self, frames: int) -> None:
        self._sound.put_nowait(np.zeros(frames * FRAME, np.float32))

    def begins(self, sentence: int) -> None:
        self._sound.put_nowait(np.full(20 * FRAME, 0.6 + sentence / 100, np.float32))

    def leaves(self) -> None:
        self._sound.put_nowait(None)

    async def microphone(self) -> AsyncIterator[Floats]:
        while (samples := await self._sound.get()) is not None:
            yield samples

    async def until(self, kind: type[Event], count: int = 1) -> None:
        async with asyncio.timeout(20):
            while sum(isinstance(event, kind) for event in self.events) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def settled(self, times: int) -> None:
        """Until that many utterances have been listened to, and what comes of them was decided."""
        async with asyncio.timeout(20):
            while len(self.ears.asked) < times:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)

    def said(self) -> list[tuple[str, bool]]:
        return [(message.text, message.interrupted) for message in self.session.messages]


async def test_a_question_is_answered_aloud() -> None:
    room = Room("It is **grey**. It sleeps.", heard=("What colour is the cat?",))
    room.speaks(0)
    room.leaves()
    await room.conversation.run(room.microphone())
    assert room.said() == [("What colour is the cat?", False), ("It is **grey**. It sleeps.", False)]
    assert room.voice.said == ["It is grey.", "It sleeps."]
    assert room.events[0] == Heard("What colour is the cat?")
    assert isinstance(room.events[-1], TurnFinished)
    assert room.ears.asked == [None], "the words that were looked for in the pause are those of the turn"


@pytest.mark.parametrize(("probability", "kept"), [(0.8, "en"), (0.79, None)])
async def test_the_language_of_the_first_turn_is_kept_where_it_is_sure(probability: float, kept: str | None) -> None:
    room = Room("One.", "Two.", heard=("Hello you.", "Hello again."))
    room.ears.language_probability = probability
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.until(TurnFinished)
    room.speaks(1)
    await room.until(TurnFinished, 2)
    room.leaves()
    await run
    assert room.ears.asked == [None, kept]


@pytest.mark.parametrize(
    ("words", "done", "frames"),
    [
        ("What time is it?", 0.9, 11),
        ("I would like a table for.", 0.3, 25),
        ("I would like a table for two and", 0.9, 62),
        ("I would like a table.", 0.01, 62),
        ("I would like a table.", None, 25),
    ],
)
async def test_who_sounds_done_is_answered_soon_and_who_thinks_is_waited_for(
    words: str, done: float | None, frames: int
) -> None:
    room = Room("Well.", heard=(words,), judge=None if done is None else lambda _: done)
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.begins(0)
    room.is_silent(10)
    await room.settled(1)
    room.is_silent(frames - 11)
    await asyncio.sleep(0.05)
    assert room.events == [], "they may go on"
    room.is_silent(2)
    await room.until(TurnFinished)
    room.leaves()
    await run
    assert room.said()[0] == (words, False)
    assert len(room.ears.asked) == 1, "the words that were looked for in the pause are those of the turn"


async def test_who_speaks_on_is_asked_for_all_of_it_once_more() -> None:
    room = Room("Well.", heard=("I would like, um,", "I would like a table."), judge=lambda _: 0.9)
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.begins(0)
    room.is_silent(30)
    await room.settled(1)
    room.begins(1)
    room.is_silent(10)
    await room.settled(2)
    room.is_silent(4)
    await room.until(TurnFinished)
    room.leaves()
    await run
    assert room.said()[0] == ("I would like a table.", False)
    assert room.ears.heard_seconds[1] > room.ears.heard_seconds[0] + 1


async def test_a_nod_over_the_reply_does_not_hold_it_up_as_a_thinker_would() -> None:
    room = Room("One two three four five. Six.", heard=("Count.", "Um."), judge=lambda _: 0.01)
    room.speaker.limit = 0.3
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.settled(1)
    room.begins(1)
    room.is_silent(10)
    await room.settled(2)
    room.is_silent(5)
    async with asyncio.timeout(20):
        while room.speaker.paused:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    room.speaker.limit = 1e9
    await room.until(TurnFinished)
    room.leaves()
    await run


async def test_speech_longer_than_can_be_understood_at_once_is_one_turn() -> None:
    room = Room("That is a lot.", heard=("On and on.",))
    room._sound.put_nowait(np.full(70 * HEARING_RATE, 0.6, np.float32))
    room.is_silent(70)
    room.leaves()
    await room.conversation.run(room.microphone())
    assert room.said() == [("On and on. On and on. On and on.", False), ("That is a lot.", False)]
    assert max(room.ears.heard_seconds) <= 31


async def test_a_recording_that_ends_in_the_middle_of_a_word_loses_no_turn() -> None:
    room = Room("It is.", heard=("What time is it?",))
    room.begins(0)
    room.leaves()
    await room.conversation.run(room.microphone())
    assert room.said() == [("What time is it?", False), ("It is.", False)]


async def test_an_interrupted_reply_is_kept_as_far_as_it_was_heard() -> None:
    room = Room("One two three four five. Six seven eight nine ten.", "Good.", heard=("Count.", "Stop it now."))
    room.speaker.limit = 0.72
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.settled(1)
    room.begins(1)
    await asyncio.sleep(0.05)
    assert room.speaker.log[-1] == "pause", "it is silent as soon as somebody speaks"
    room.speaks(1)
    await room.until(Heard, 2)
    room.speaker.limit = 1e9
    await room.until(TurnFinished)
    room.leaves()
    await run
    assert room.said()[1] == ("One two three four five. Six seven", True)
    assert room.said()[2:] == [("Stop it now.", False), ("Good.", False)]
    assert not room.speaker.paused


@pytest.mark.parametrize("noise", ["", "Mm-hm.", "two three four five"])
async def test_coughs_nods_and_its_own_voice_do_not_interrupt(noise: str) -> None:
    room = Room("One two three four five. Six.", heard=("Count.", noise))
    room.speaker.limit = 0.3
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.settled(1)
    room.speaks(1)
    await room.settled(2)
    assert room.speaker.log[-2:] == ["pause", "resume"]
    room.speaker.limit = 1e9
    await room.until(TurnFinished)
    room.leaves()
    await run
    assert room.said() == [("Count.", False), ("One two three four five. Six.", False)]


async def test_its_own_last_words_start_no_turn() -> None:
    room = Room("One two three four five.", heard=("Count.", "three four five"))
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.until(TurnFinished)
    room.speaks(1)
    await room.settled(2)
    room.leaves()
    await run
    assert len(room.session.messages) == 2


async def test_with_headphones_nothing_is_an_echo() -> None:
    room = Room("One two three four five.", "Right.", heard=("Count.", "three four five"), headphones=True)
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.until(TurnFinished)
    room.speaks(1)
    await room.until(TurnFinished, 2)
    room.leaves()
    await run
    assert room.said()[2] == ("three four five", False)


@pytest.mark.parametrize("failure", [ModelError("The model broke."), "Now I break."])
async def test_a_turn_that_fails_is_told_and_the_next_one_works(failure: str | Exception) -> None:
    room = Room(failure, "Fine.", heard=("Hello you.", "How are you?"))
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.until(Notice)
    room.speaks(1)
    await room.until(TurnFinished)
    room.leaves()
    await run
    assert room.said()[-1] == ("Fine.", False)


async def test_leaving_keeps_what_was_heard() -> None:
    room = Room("One two three four five. Six.", heard=("Count.",))
    room.speaker.limit = 0.2
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.settled(1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert room.said() == [("Count.", False), ("One two", True)]


async def test_ears_that_fail_end_the_conversation() -> None:
    room = Room(heard=())
    room.speaks(0)
    room.leaves()
    with pytest.raises(VoiceError, match="Whisper failed"):
        await room.conversation.run(room.microphone())


async def test_two_utterances_close_together_are_two_turns_and_a_third_is_answered() -> None:
    room = Room("One.", "Two.", "Three.", "Four.", heard=("First.", "Second.", "Third.", "Fourth."))
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    for sentence in range(3):
        room.speaks(sentence)
    await room.until(Heard, 3)
    await room.until(TurnFinished)
    room.speaks(3)
    await room.until(Heard, 4)
    await room.until(TurnFinished, 2)
    room.leaves()
    async with asyncio.timeout(20):
        await run
    assert [event.text for event in room.events if isinstance(event, Heard)] == [
        "First.", "Second.", "Third.", "Fourth.",
    ]  # fmt: skip
    assert room.said()[-2][0] == "Fourth."


async def test_it_does_not_begin_to_speak_over_somebody_who_goes_on() -> None:
    room = Room("One two three.", "Good.", heard=("Count.", "And slowly."))
    room.speaker.limit = 0.0
    room.speaks(0)
    room.begins(1)
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    await room.until(Heard)
    await asyncio.sleep(0.1)
    assert room.speaker.paused
    room.speaks(1)
    await room.until(Heard, 2)
    room.speaker.limit = 1e9
    await room.until(TurnFinished)
    room.leaves()
    await run
    assert not room.speaker.paused


async def test_what_is_no_sentence_for_people_ends_the_conversation() -> None:
    room = Room(RuntimeError("out of luck"), heard=("Hello.",))
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.until(Heard)
    await asyncio.sleep(0.1)
    room.begins(0)
    with pytest.raises(RuntimeError, match="out of luck"):
        async with asyncio.timeout(20):
            await run


async def test_the_picture_of_a_turn_that_failed_goes_with_the_next(cat: Image) -> None:
    room = Room(ModelError("Not now."), "A cat.", heard=("What is it?", "And now?"))
    room.conversation._pictures = [cat]
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.until(Notice)
    room.speaks(1)
    await room.until(TurnFinished)
    room.leaves()
    await run
    assert room.session.messages[0].images == (cat,)


@pytest.fixture
def cat() -> Image:
    return Image(b"not looked at", "image/png", 2, 2, "cat.png")
