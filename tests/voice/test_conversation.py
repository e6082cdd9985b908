"""A spoken conversation, its parts joined: turns, interruptions, coughs, echoes and failures.

The microphone, the speaker and both engines are stand-ins that say in samples what they mean; the sound of real ones is
tried in `test_voice_command`.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Generator, Sequence
from typing import Any

import numpy as np
import pytest

from assistant.conversation.session import Session
from assistant.errors import ModelError, VoiceError
from assistant.events import Event, Notice, SpeechFinished, TextDelta, TurnFinished, Usage, UserTranscript
from assistant.messages import Image, Message
from assistant.models.base import ChatModel, GenerationOptions
from assistant.models.scripted import ScriptedModel
from tests.fakes.audio import Floats
from tests.fakes.speech import FakeAudioOutput, FakeSpeechToText, FakeTextToSpeech
from voice.audio.types import SAMPLE_RATE
from voice.conversation import SpokenConversation, State
from voice.empathy import LONGEST_SECONDS, DetectedEmotion
from voice.turns.endpointing import EndOfTurnModel
from voice.turns.vad import FRAME_SAMPLES, UserTurnDetector


class Log:
    """Remembers what was written to it."""

    keeps_sound = True

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.kept_seconds: list[float] = []

    def __call__(self, event: str, **facts: Any) -> None:
        self.lines.append((event, facts))

    def keep(self, number: int, samples: Floats) -> str:
        self.kept_seconds.append(samples.size / SAMPLE_RATE)
        return f"{number}.wav"

    def of(self, event: str) -> list[dict[str, Any]]:
        return [facts for name, facts in self.lines if name == event]


class Listening(ScriptedModel):
    """Remembers what it was told to do in each turn."""

    def __init__(self) -> None:
        super().__init__()
        self.instructions: list[str] = []

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        self.instructions.append("".join(each.text for each in messages if each.role == "system"))
        return (yield from super().stream(messages, options, stop))


class Heart:
    """Feels what it is told to feel, one thing after the other; an error is raised."""

    def __init__(self, *moods: DetectedEmotion | VoiceError | None, broken: bool = False) -> None:
        self.moods = list(moods)
        self.broken = broken
        self.judged: list[tuple[str, float]] = []

    def prepare(self, model: ChatModel) -> None:
        if self.broken:
            raise ModelError("The bundled model cannot be fetched.")

    def __call__(self, model: ChatModel, words: str, samples: Floats) -> DetectedEmotion | None:
        self.judged.append((words, samples.size / SAMPLE_RATE))
        mood = self.moods.pop(0)
        if isinstance(mood, VoiceError):
            raise mood
        return mood


class Room:
    """A conversation with everything around it; a script of what the person does is run beside it."""

    def __init__(
        self,
        *replies: str | Exception,
        heard: tuple[str, ...],
        headphones: bool = False,
        judge: EndOfTurnModel | None = None,
        feel: Heart | None = None,
    ) -> None:
        self.model = Listening()
        self.model.enqueue(*replies)
        self.session = Session(self.model)
        self.ears, self.voice, self.speaker = FakeSpeechToText(*heard), FakeTextToSpeech(), FakeAudioOutput()
        self.events: list[Event] = []
        self.pictures: list[Image] = []
        self.states: list[State] = []
        self.log = Log()
        self._sound: asyncio.Queue[Floats | None] = asyncio.Queue()
        self.conversation = SpokenConversation(
            self.session,
            self.ears,
            self.voice,
            self.speaker,
            UserTurnDetector(lambda frame: float(np.abs(frame).max())),
            self.events.append,
            headphones=headphones,
            pictures=self._take_pictures,
            changed=self.states.append,
            log=self.log,
            judge=judge,
            feel=feel,
        )

    def _take_pictures(self) -> list[Image]:
        taken, self.pictures = self.pictures, []
        return taken

    def speaks(self, sentence: int) -> None:
        """Say the sentence with that number, and be silent for longer than anyone is waited for."""
        self.begins(sentence)
        self.is_silent(70)

    def is_silent(self, frames: int) -> None:
        self._sound.put_nowait(np.zeros(frames * FRAME_SAMPLES, np.float32))

    def begins(self, sentence: int) -> None:
        self._sound.put_nowait(np.full(20 * FRAME_SAMPLES, 0.6 + sentence / 100, np.float32))

    def clicks(self, silence: int = 5) -> None:
        self._sound.put_nowait(np.full(FRAME_SAMPLES, 0.9, np.float32))
        self._sound.put_nowait(np.zeros(silence * FRAME_SAMPLES, np.float32))

    async def heard_all(self) -> None:
        """Until the microphone has given all that was put into it."""
        async with asyncio.timeout(20):
            while not self._sound.empty():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

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
    assert room.events[0] == UserTranscript("What colour is the cat?")
    assert isinstance(room.events[-2], TurnFinished)
    assert room.events[-1] == SpeechFinished("It is **grey**. It sleeps.", interrupted=False)
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
    room._sound.put_nowait(np.full(70 * SAMPLE_RATE, 0.6, np.float32))
    room.is_silent(70)
    room.leaves()
    await room.conversation.run(room.microphone())
    assert room.said() == [("On and on. On and on. On and on.", False), ("That is a lot.", False)]
    assert max(room.ears.heard_seconds) <= 31
    assert room.log.kept_seconds == [pytest.approx(72, abs=0.5)], "the sound of all parts is kept as one"


async def test_what_is_said_at_length_over_a_reply_is_judged_as_a_whole() -> None:
    room = Room(
        "One two three four five. Six.", heard=("Count.", "Stop it now please.", "Mm-hm."), judge=lambda _: 0.01
    )
    room.model.enqueue("Good.")
    room.speaker.limit = 0.3
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.settled(1)
    room._sound.put_nowait(np.full(30 * SAMPLE_RATE, 0.61, np.float32))
    room.begins(2)
    room.is_silent(10)
    await room.settled(3)
    room.is_silent(60)
    await room.until(UserTranscript, 2)
    room.speaker.limit = 1e9
    room.leaves()
    await run
    assert room.said()[2] == ("Stop it now please. Mm-hm.", False)
    assert room.log.of("heard")[1]["patience_seconds"] == 2.0, "who only nods is not waited for"


@pytest.mark.parametrize("silent", [0, 10])
async def test_muting_forgets_all_parts_of_what_was_being_said(silent: int) -> None:
    room = Room("Fine.", heard=("On and on.", "How are you?"), judge=lambda _: 0.01)
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room._sound.put_nowait(np.full(35 * SAMPLE_RATE, 0.6, np.float32))
    room.is_silent(silent)
    await room.heard_all()
    room.conversation.muted = True
    room.is_silent(70)
    await room.heard_all()
    await asyncio.sleep(0.05)
    assert room.events == []
    room.conversation.muted = False
    room.speaks(1)
    await room.until(TurnFinished)
    room.leaves()
    await run
    assert room.said()[0] == ("How are you?", False)
    assert room.log.kept_seconds == [pytest.approx(3, abs=0.5)]


async def test_a_recording_that_ends_in_the_middle_of_a_word_loses_no_turn() -> None:
    room = Room("It is.", heard=("What time is it?",))
    room.begins(0)
    room.leaves()
    await room.conversation.run(room.microphone())
    assert room.said() == [("What time is it?", False), ("It is.", False)]


async def test_a_recording_that_ends_while_somebody_pushes_loses_no_turn() -> None:
    room = Room("It is.", heard=("What time is it?",))
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    await asyncio.sleep(0)
    room.conversation.push()
    room.begins(0)
    room.leaves()
    await run
    assert room.said() == [("What time is it?", False), ("It is.", False)]


async def test_a_recording_that_ends_in_a_click_lets_the_reply_go_on() -> None:
    room = Room("One two three four five.", heard=("Count.",))
    room.speaker.limit = 0.3
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.settled(1)
    room.clicks(silence=0)
    await room.heard_all()
    await asyncio.sleep(0.05)
    assert room.speaker.log[-1] == "pause"
    room.leaves()
    await asyncio.sleep(0.05)
    assert room.speaker.log[-1] == "resume"
    room.speaker.limit = 1e9
    async with asyncio.timeout(20):
        await run


async def test_an_interrupted_reply_is_kept_as_far_as_it_was_heard() -> None:
    room = Room("One two three four five. Six seven eight nine ten.", "Good.", heard=("Count.", "Stop it now."))
    # Five words of a tenth of a second, a breath of two, and two more words.
    room.speaker.limit = 0.92
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.settled(1)
    room.begins(1)
    await asyncio.sleep(0.05)
    assert room.speaker.log[-1] == "pause", "it is silent as soon as somebody speaks"
    room.speaks(1)
    await room.until(UserTranscript, 2)
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


async def test_a_turn_that_fails_is_told_and_the_next_one_works() -> None:
    room = Room(ModelError("The model broke."), "Fine.", heard=("Hello you.", "How are you?"))
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
    await room.until(UserTranscript, 3)
    await room.until(TurnFinished)
    room.speaks(3)
    await room.until(UserTranscript, 4)
    await room.until(TurnFinished, 2)
    room.leaves()
    async with asyncio.timeout(20):
        await run
    assert [event.text for event in room.events if isinstance(event, UserTranscript)] == [
        "First.", "Second.", "Third.", "Fourth.",
    ]  # fmt: skip
    assert room.said()[-2][0] == "Fourth."


async def test_it_does_not_begin_to_speak_over_somebody_who_goes_on() -> None:
    room = Room("One two three.", "Good.", heard=("Count.", "And slowly."))
    room.speaker.limit = 0.0
    room.speaks(0)
    room.begins(1)
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    await room.until(UserTranscript)
    await asyncio.sleep(0.1)
    assert room.speaker.paused
    room.speaks(1)
    await room.until(UserTranscript, 2)
    room.speaker.limit = 1e9
    await room.until(TurnFinished)
    room.leaves()
    await run
    assert not room.speaker.paused


async def test_what_is_no_sentence_for_people_ends_the_conversation() -> None:
    room = Room(RuntimeError("out of luck"), heard=("Hello.",))
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.until(UserTranscript)
    await asyncio.sleep(0.1)
    room.begins(0)
    with pytest.raises(RuntimeError, match="out of luck"):
        async with asyncio.timeout(20):
            await run


async def test_a_judge_that_fails_ends_the_conversation() -> None:
    def judge(_: Floats) -> float:
        raise RuntimeError("no verdict")

    room = Room(heard=("Hello.",), judge=judge)
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.begins(0)
    room.is_silent(10)
    await room.settled(1)
    room.is_silent(1)
    with pytest.raises(RuntimeError, match="no verdict"):
        async with asyncio.timeout(20):
            await run


async def test_the_picture_of_a_turn_that_failed_goes_with_the_next(cat: Image) -> None:
    room = Room(ModelError("Not now."), "A cat.", heard=("What is it?", "And now?"))
    room.pictures = [cat]
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


async def test_a_voice_that_breaks_is_told_once_and_replies_go_on_in_writing() -> None:
    replies = ("One two. Now I break. Three.", "I break again.", "It is mended.", "I break once more.")
    room = Room(*replies, heard=("First.", "Second.", "Third.", "Fourth."))
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    for sentence in range(4):
        room.speaks(sentence)
        await room.until(TurnFinished, sentence + 1)
    room.leaves()
    await run
    assert [text for text, _ in room.said()[1::2]] == list(replies)
    assert not any(interrupted for _, interrupted in room.said())
    assert room.voice.said == ["One two.", "It is mended."]
    # Told again only after it has worked in between.
    notice = Notice("The voice broke. The reply goes on in writing.")
    assert [event for event in room.events if isinstance(event, Notice)] == [notice, notice]


async def test_a_speaker_that_goes_in_the_middle_holds_nothing_up() -> None:
    room = Room("One two three four five. Six.", "Fine.", "Back.", heard=("Count.", "And now?", "And now?"))
    room.speaker.limit = 0.3
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.settled(1)
    room.speaker.lost = True
    await room.until(TurnFinished)
    room.speaks(1)
    await room.until(TurnFinished, 2)
    room.speaker.lost, room.speaker.limit = False, 1e9
    room.speaks(2)
    await room.until(TurnFinished, 3)
    room.leaves()
    await run
    assert room.said()[1] == ("One two three four five. Six.", False)
    assert sum(isinstance(event, Notice) for event in room.events) == 1
    assert room.voice.said[-1] == "Back."
    assert [reply["spoken"] for reply in room.log.of("reply")] == [False, False, True]


async def test_a_reply_in_writing_that_is_interrupted_is_kept_as_far_as_it_was_written() -> None:
    room = Room(
        "break one two three four five six seven eight nine ten eleven. And on.", heard=("Count.", "Stop it now.")
    )
    room.model.enqueue("Good.")
    room.model._token_seconds = 0.1
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaker.lost = True
    room.speaks(0)
    await room.until(TextDelta, 4)
    room.speaks(1)
    await room.until(SpeechFinished)
    room.leaves()
    await run
    written = "".join(
        event.text
        for event in room.events[: room.events.index(UserTranscript("Stop it now."))]
        if isinstance(event, TextDelta)
    )
    assert written
    assert room.said()[1] == (written, True)


async def test_a_key_says_who_speaks_even_when_nobody_is_listened_to() -> None:
    room = Room("Hello.", "Right.", heard=("Hello you.", "Mm-hm."))
    room.conversation.muted = True
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.heard_all()
    assert room.ears.asked == []
    assert room.states[-1:] == ["muted"]
    for sentence in range(2):
        room.conversation.push()
        assert room.states[-1:] == ["hearing"]
        room.speaks(sentence)
        await room.heard_all()
        assert len(room.ears.asked) == sentence, "it waits, however long they are silent"
        room.conversation.push()
        await room.until(TurnFinished, sentence + 1)
    room.leaves()
    await run
    assert room.said()[2] == ("Mm-hm.", False), "whoever pushes means it"


async def test_who_pushes_is_answered_at_once_whatever_it_sounds_like() -> None:
    room = Room("Well.", heard=("I would like, um,",), judge=lambda _: 0.01)
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    await asyncio.sleep(0)
    room.conversation.push()
    room.begins(0)
    await room.heard_all()
    await asyncio.sleep(0.05)
    room.conversation.push()
    await room.until(TurnFinished)
    room.leaves()
    await run
    (heard,) = room.log.of("heard")
    assert (heard["done"], heard["patience_seconds"], heard["waited_seconds"]) == (None, None, 0)


async def test_a_push_that_is_forgotten_ends_by_itself_and_says_so() -> None:
    room = Room("It is.", heard=("What time is it?",))
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    await asyncio.sleep(0)
    room.conversation.push()
    room.begins(0)
    room.is_silent(121 * SAMPLE_RATE // FRAME_SAMPLES)
    await room.until(TurnFinished)
    assert not room.conversation.pushed
    room.leaves()
    await run
    assert room.events[0] == Notice("Push-to-talk ended by itself after 120 s: push to go on.")
    assert room.said() == [("What time is it?", False), ("It is.", False)]


async def test_the_log_tells_how_long_somebody_was_waited_for_and_why() -> None:
    room = Room("One.", "Two.", heard=("I would like a table.", "Do you have a table?"), judge=lambda _: 0.3)
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    for sentence in range(2):
        room.begins(sentence)
        room.is_silent(10)
        await room.settled(sentence + 1)
        room.is_silent(60)
        await room.until(TurnFinished, sentence + 1)
    room.begins(0)
    room.is_silent(10)
    await room.settled(3)
    room.begins(0)
    room.leaves()
    await run
    heard = room.log.of("heard")
    assert [line["done"] for line in heard] == [0.3, 0.3, None]
    assert [line["patience_seconds"] for line in heard] == [0.8, 0.35, None]
    assert all(line["waited_seconds"] <= line["words_seconds"] for line in heard)


async def test_pushing_over_a_reply_pauses_it_and_nothing_said_lets_it_go_on() -> None:
    room = Room("One two three four five. Six.", heard=("Count.", ""))
    room.speaker.limit = 0.3
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.settled(1)
    room.conversation.push()
    assert room.speaker.log[-1] == "pause"
    room.speaks(1)
    await room.heard_all()
    room.conversation.push()
    await room.until(Notice)
    assert room.speaker.log[-1] == "resume"
    room.conversation.push()
    room.conversation.push()
    assert room.speaker.log[-2:] == ["pause", "resume"]
    room.speaker.limit = 1e9
    await room.until(TurnFinished)
    room.leaves()
    await run
    assert len(room.said()) == 2


async def test_a_click_is_a_gap_and_no_pause() -> None:
    room = Room("One two three four five.", heard=("Count.",))
    room.speaker.limit = 0.3
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.settled(1)
    room.clicks()
    await room.heard_all()
    assert room.speaker.log[-2:] == ["pause", "resume"]
    assert room.log.of("paused") == []
    room.clicks(silence=0)
    await room.heard_all()
    await asyncio.sleep(0.05)
    assert room.speaker.paused
    room.conversation.muted = True
    assert room.speaker.log[-2:] == ["pause", "resume"], "nobody is listened to who could end it"
    room.speaker.limit = 1e9
    await room.until(TurnFinished)
    room.leaves()
    await run


async def test_the_log_tells_what_was_decided_and_how_long_things_took() -> None:
    room = Room("One two three four five. Six.", heard=("Count.", "Mm-hm.", "", "two three four five", "Stop it now."))
    room.model.enqueue("Good.")
    room.speaker.limit = 0.3
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    for sentence in range(5):
        room.speaks(sentence)
        await room.settled(sentence + 1)
    room.speaker.limit = 1e9
    await room.until(TurnFinished)
    room.leaves()
    await run
    heard = room.log.of("heard")
    assert [line["decision"] for line in heard] == ["turn", "backchannel", "nothing", "echo", "turn"]
    assert [line["text"] for line in heard][-1] == "Stop it now."
    assert [line["audio"] for line in heard] == [f"{number}.wav" for number in range(1, 6)]
    assert len(room.log.of("paused")) == 4
    first, last = room.log.of("reply")
    assert (first["text"], first["kept"], first["interrupted"]) == (
        "One two three four five. Six.", "One two three", True,
    )  # fmt: skip
    assert not last["interrupted"]
    assert heard[0]["words_seconds"] <= first["first_token_seconds"] <= first["first_audio_seconds"]
    # Samples here come faster than time goes by.
    assert room.states[-1] == "listening"
    assert {"hearing", "thinking", "speaking"} <= set(room.states)


async def test_esc_hushes_a_reply_which_is_kept_as_far_as_it_was_heard() -> None:
    room = Room("One two three four five. Six.", heard=("Count.",))
    room.speaker.limit = 0.2
    run = asyncio.create_task(room.conversation.run(room.microphone()))
    room.speaks(0)
    await room.settled(1)
    await room.conversation.interrupt()
    room.leaves()
    await run
    assert room.said() == [("Count.", False), ("One two", True)]
    assert room.events[-1] == SpeechFinished("One two", interrupted=True)


ANGRY = DetectedEmotion("anger", 0.9, {"text": ("neutral", 0.5), "voice": ("anger", 0.95)})


async def test_of_somebody_upset_the_model_is_told_for_that_turn_alone() -> None:
    heart = Heart(ANGRY, DetectedEmotion("joy", 0.9))
    room = Room("I am sorry.", "Good.", heard=("Where is my parcel?", "I have got it now."), feel=heart)
    async with asyncio.TaskGroup() as group:
        group.create_task(room.conversation.run(room.microphone()))
        room.speaks(0)
        await room.until(TurnFinished)
        room.speaks(1)
        await room.until(TurnFinished, 2)
        room.leaves()
    assert room.model.instructions == [ANGRY.instructions, ""]
    assert [words for words, _ in heart.judged] == ["Where is my parcel?", "I have got it now."]
    # It is nothing that anybody said.
    assert room.said()[0] == ("Where is my parcel?", False)
    assert [event.text for event in room.events if isinstance(event, Notice)] == ["You sound angry: the model is told."]
    first, second = room.log.of("mood")
    assert first["utterance"] == 1
    assert first["label"] == "anger"
    assert first["parts"]["voice"] == {"label": "anger", "confidence": 0.95}
    assert first["instructions"] == ANGRY.instructions
    assert second["label"] == "joy"
    assert second["instructions"] is None


async def test_words_in_another_language_are_not_judged() -> None:
    heart = Heart(None)
    room = Room("Gut.", heard=("Wo ist mein Paket?",), feel=heart)
    room.ears.language = "de"
    room.speaks(0)
    room.leaves()
    await room.conversation.run(room.microphone())
    assert [words for words, _ in heart.judged] == [""]
    assert room.model.instructions == [""]
    assert not room.log.of("mood")


async def test_of_somebody_who_speaks_for_long_the_end_is_judged() -> None:
    heart = Heart(None)
    room = Room("Well.", heard=("A long story.",) * 40, feel=heart)
    for _ in range(60):
        room.begins(0)
    room.is_silent(70)
    room.leaves()
    await room.conversation.run(room.microphone())
    assert [seconds for _, seconds in heart.judged] == [LONGEST_SECONDS]


async def test_where_a_mood_cannot_be_told_that_is_said_once_and_answers_come() -> None:
    heart = Heart(VoiceError("Whisper failed."))
    room = Room("One.", "Two.", heard=("Count.", "Go on."), feel=heart)
    async with asyncio.TaskGroup() as group:
        group.create_task(room.conversation.run(room.microphone()))
        room.speaks(0)
        await room.until(TurnFinished)
        room.speaks(1)
        await room.until(TurnFinished, 2)
        room.leaves()
    assert [event.text for event in room.events if isinstance(event, Notice)] == [
        "Whisper failed. The conversation goes on without knowing how you feel."
    ]
    assert len(heart.judged) == 1


async def test_where_it_cannot_be_loaded_the_conversation_is_held_without() -> None:
    heart = Heart(ANGRY, broken=True)
    room = Room("One.", heard=("Count.",), feel=heart)
    room.speaks(0)
    room.leaves()
    await room.conversation.run(room.microphone())
    assert room.said() == [("Count.", False), ("One.", False)]
    assert not heart.judged
