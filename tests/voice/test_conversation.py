"""Turns of a spoken conversation: questions, answers, and what may fail.

Audio, engines and output are fakes; `tests/parley/cli/test_voice.py` tries the real ones.
"""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator

import pytest

from assistant.errors import ModelError, VoiceError
from assistant.events import Notice, SpeechFinished, TextDelta, TurnFinished, UserTranscript
from assistant.messages import Image
from tests.fakes.audio import Floats
from tests.fakes.speech import silence, speech
from tests.fakes.spoken_conversation import ConversationHarness
from voice.events import UtteranceClassified
from voice.turns.utterance import Utterance


async def test_question_is_answered_aloud() -> None:
    harness = ConversationHarness("It is **grey**. It sleeps.", transcripts=("What colour is the cat?",))
    harness.say(0)
    harness.end_audio()
    await harness.run()
    assert harness.messages == [("What colour is the cat?", False), ("It is **grey**. It sleeps.", False)]
    assert harness.tts.sentences == ["It is grey.", "It sleeps."]
    assert harness.events[0] == UserTranscript("What colour is the cat?")
    assert isinstance(harness.events[-2], TurnFinished)
    assert harness.events[-1] == SpeechFinished("It is **grey**. It sleeps.", interrupted=False)
    assert harness.stt.requested_languages == [None], "the transcript of the pause is that of the turn"


async def test_states_of_a_turn() -> None:
    harness = ConversationHarness("One two three.", transcripts=("Count.",))
    harness.output.play_limit = 0.1
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        assert harness.conversation.replying
        harness.output.play_limit = float("inf")
        await harness.answer()
        await harness.until(lambda: not harness.conversation.replying)
    assert harness.states == ["listening", "hearing", "thinking", "speaking", "listening"]


@pytest.mark.parametrize(("probability", "kept"), [(0.8, "en"), (0.79, None)])
async def test_language_of_the_first_turn_is_kept_if_detected_with_confidence(
    probability: float, kept: str | None
) -> None:
    harness = ConversationHarness("One.", "Two.", transcripts=("Hello you.", "Hello again."))
    harness.stt.language_probability = probability
    async with harness.running():
        harness.say(0)
        await harness.answer()
        harness.say(1)
        await harness.answer(2)
    assert harness.stt.requested_languages == [None, kept]


async def test_utterances_close_together_are_turns_of_their_own() -> None:
    transcripts = ("First.", "Second.", "Third.", "Fourth.")
    harness = ConversationHarness("One.", "Two.", "Three.", "Four.", transcripts=transcripts)
    async with harness.running():
        for number in range(3):
            harness.say(number)
        await harness.question(3)
        await harness.answer()
        harness.say(3)
        await harness.question(4)
        await harness.answer(2)
    assert harness.questions == ["First.", "Second.", "Third.", "Fourth."]
    assert harness.messages[-2][0] == "Fourth."


async def test_utterances_that_are_answered_are_forgotten() -> None:
    harness = ConversationHarness(*["One two."] * 6, transcripts=("Count.", "Once more, please."))
    utterances: list[weakref.ref[Utterance]] = []

    def remember(event: object) -> None:
        if isinstance(event, UtteranceClassified):
            utterances.append(weakref.ref(event.utterance))

    harness.conversation.add_observer(remember)
    async with harness.running():
        for number in range(6):
            # Each follows the reply before it so closely that it may be its echo.
            harness.say(number % 2)
            await harness.answer(number + 1)
        gc.collect()
        assert len([each for each in utterances if each() is not None]) <= 2, "the latest, and what it answers"


async def test_failed_turn_is_a_notice_and_the_next_one_works() -> None:
    harness = ConversationHarness(ModelError("The model broke."), "Fine.", transcripts=("Hello you.", "How are you?"))
    async with harness.running():
        harness.say(0)
        await harness.event(Notice)
        harness.say(1)
        await harness.answer()
    assert harness.notices == ["The model broke."]
    assert harness.messages == [("How are you?", False), ("Fine.", False)]


async def test_image_of_a_failed_turn_goes_with_the_next_one() -> None:
    cat = Image(b"never decoded", "image/png", 2, 2, "cat.png")
    harness = ConversationHarness(ModelError("Not now."), "A cat.", transcripts=("What is it?", "And now?"))
    harness.images = [cat]
    async with harness.running():
        harness.say(0)
        await harness.event(Notice)
        harness.say(1)
        await harness.answer()
    assert harness.session.messages[0].images == (cat,)


async def test_failing_transcription_is_a_notice_and_the_next_one_works() -> None:
    harness = ConversationHarness("One two three four five. Six.", transcripts=("Count.", "Stop it now."))
    harness.output.play_limit = 0.3
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        harness.stt.failures = 1
        harness.say(1)
        await harness.event(Notice)
        await harness.until(lambda: not harness.output.paused)
        harness.output.play_limit = float("inf")
        await harness.answer()
    assert harness.notices == ["Whisper failed. What you said is lost: say it again."]
    assert harness.messages == [("Count.", False), ("One two three four five. Six.", False)], "the reply goes on"


async def test_failing_microphone_ends_the_conversation() -> None:
    async def microphone() -> AsyncIterator[Floats]:
        yield speech(0)
        raise VoiceError("The microphone broke.")

    harness = ConversationHarness(transcripts=())
    with pytest.raises(VoiceError, match="The microphone broke"):
        await harness.conversation.run(microphone())


async def test_failing_microphone_is_the_error_even_if_stopping_the_reply_fails_too() -> None:
    harness = ConversationHarness("One two three four.", transcripts=("Count.",))
    harness.output.play_limit = 0.1

    async def microphone() -> AsyncIterator[Floats]:
        yield speech(0)
        yield silence()
        await harness.heard_seconds(0.4)
        harness.conversation.add_observer(fail_at_the_end)
        raise VoiceError("The microphone broke.")

    def fail_at_the_end(event: object) -> None:
        match event:
            case SpeechFinished():
                raise RuntimeError("out of luck")

    with pytest.raises(VoiceError, match="The microphone broke"):
        await harness.conversation.run(microphone())


async def test_unexpected_failure_of_a_turn_ends_the_conversation() -> None:
    harness = ConversationHarness(RuntimeError("out of luck"), transcripts=("Hello.",))
    harness.say(0)
    with pytest.raises(RuntimeError, match="out of luck"):
        await harness.run()


async def test_failing_end_of_turn_model_ends_the_conversation() -> None:
    def fail(_: object) -> float:
        raise RuntimeError("no verdict")

    harness = ConversationHarness(transcripts=("Hello.",), end_of_turn=fail)
    harness.start_speaking(0)
    harness.be_silent(10)
    with pytest.raises(RuntimeError, match="no verdict"):
        await harness.run()


async def test_leaving_keeps_what_was_heard() -> None:
    harness = ConversationHarness("One two three four five. Six.", transcripts=("Count.",))
    harness.output.play_limit = 0.2
    run = asyncio.create_task(harness.run())
    harness.say(0)
    await harness.heard_seconds(0.2)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert harness.messages == [("Count.", False), ("One two", True)]


async def test_audio_that_ends_in_the_middle_of_a_word_loses_no_turn() -> None:
    harness = ConversationHarness("It is.", transcripts=("What time is it?",))
    harness.start_speaking(0)
    harness.end_audio()
    await harness.run()
    assert harness.messages == [("What time is it?", False), ("It is.", False)]


async def test_failing_voice_is_reported_once_and_replies_go_on_in_writing() -> None:
    replies = ("One two. Now I break. Three.", "I break again.", "It is mended.", "I break once more.")
    harness = ConversationHarness(*replies, transcripts=("First.", "Second.", "Third.", "Fourth."))
    async with harness.running():
        for number in range(4):
            harness.say(number)
            await harness.answer(number + 1)
    assert [text for text, _ in harness.messages[1::2]] == list(replies)
    assert not any(interrupted for _, interrupted in harness.messages)
    assert harness.tts.sentences == ["One two.", "It is mended."]
    # Reported again only after it has worked in between.
    assert harness.notices == ["The voice broke. The reply goes on in writing."] * 2


async def test_sentence_that_the_voice_cannot_read_is_told_and_the_others_are_spoken() -> None:
    harness = ConversationHarness("こんにちは、元気ですか。 It is grey.", transcripts=("What colour is it?",))
    harness.tts.language = "en"  # type: ignore[attr-defined]
    async with harness.running():
        harness.say(0)
        await harness.answer()
    assert harness.tts.sentences == ["It is grey."]
    (notice,) = harness.notices
    assert "cannot read" in notice
    assert notice.endswith("That is left in writing.")
    assert harness.messages[1] == ("こんにちは、元気ですか。 It is grey.", False)


async def test_reply_stopped_before_its_first_sound_is_kept_as_far_as_it_was_shown() -> None:
    harness = ConversationHarness("It is grey, and", transcripts=("What colour is it?",))
    harness.tts.may_start.clear()
    async with harness.running():
        harness.say(0)
        await harness.event(TextDelta, 4)
        stopping = asyncio.create_task(harness.conversation.interrupt())
        await harness.until(lambda: not harness.conversation.replying or not stopping.done())
        harness.tts.may_start.set()
        await stopping
    assert harness.messages == [("What colour is it?", False), ("It is grey, and", True)]


async def test_lost_speaker_holds_nothing_up() -> None:
    replies = ("One two three four five. Six.", "Fine.", "Back.")
    harness = ConversationHarness(*replies, transcripts=("Count.", "And now?"))
    harness.output.play_limit = 0.3
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        harness.output.lost = True
        await harness.answer()
        harness.say(1)
        await harness.answer(2)
        harness.output.lost, harness.output.play_limit = False, float("inf")
        harness.say(1)
        await harness.answer(3)
    assert harness.messages[1] == ("One two three four five. Six.", False)
    assert len(harness.notices) == 1
    assert harness.tts.sentences[-1] == "Back."
    assert [reply["spoken"] for reply in harness.log.of("reply")] == [False, False, True]


async def test_interrupted_reply_in_writing_is_kept_as_far_as_it_was_written() -> None:
    harness = ConversationHarness(
        "break " + "one two three four five six seven eight nine ten eleven. " * 20,
        "Good.",
        transcripts=("Count.", "Stop it now."),
        token_seconds=0.1,
    )
    harness.output.lost = True
    async with harness.running():
        harness.say(0)
        await harness.event(TextDelta, 4)
        harness.say(1)
        await harness.event(SpeechFinished)
    until_stop = harness.events[: harness.events.index(UserTranscript("Stop it now."))]
    written = "".join(event.text for event in until_stop if isinstance(event, TextDelta))
    assert written
    assert harness.messages[1] == (written, True)
