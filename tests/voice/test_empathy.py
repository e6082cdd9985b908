"""Empathy mode: when the model is instructed about the user's emotion, and what happens if that fails."""

import pytest

from assistant.errors import VoiceError
from tests.fakes.spoken_conversation import ConversationHarness, FakeEmotionDetector
from voice.emotion import DetectedEmotion
from voice.empathy import MAX_SECONDS

ANGRY = DetectedEmotion("anger", 0.9, {"text": ("neutral", 0.5), "voice": ("anger", 0.95)})


@pytest.mark.parametrize("label", ["anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"])
def test_model_is_instructed_about_distress_only(label: str) -> None:
    emotion = DetectedEmotion(label, 0.8)
    assert bool(emotion.instructions) == bool(emotion.distress) == (label in {"anger", "disgust", "fear", "sadness"})
    assert emotion.distress in emotion.instructions


def test_low_confidence_is_no_distress() -> None:
    assert not DetectedEmotion("anger", 0.4).instructions


@pytest.mark.parametrize(
    ("words", "voice", "mood"),
    [
        (("anger", 0.51), ("neutral", 0.95), "angry"),
        (("anger", 0.35), ("neutral", 0.99), "angry"),
        (("sadness", 0.6), ("joy", 0.9), "sad"),
        (("fear", 0.9), ("anger", 0.9), "afraid"),
        # Less than a third is a guess among seven.
        (("anger", 0.3), ("neutral", 0.9), ""),
        (("neutral", 0.9), ("neutral", 0.9), ""),
        (("joy", 0.9), ("neutral", 0.9), ""),
    ],
)
def test_upset_words_are_enough_in_a_calm_voice(words: tuple[str, float], voice: tuple[str, float], mood: str) -> None:
    # What fusion makes of them: the more confident part.
    label, confidence = max(words, voice, key=lambda part: part[1])
    emotion = DetectedEmotion.from_parts(label, confidence, {"text": words, "voice": voice})
    assert emotion.distress == mood
    if mood:
        assert (emotion.label, emotion.confidence) == words


def test_an_upset_voice_is_enough_for_neutral_words_if_both_together_say_so() -> None:
    parts = {"text": ("neutral", 0.5), "voice": ("anger", 0.9)}
    assert DetectedEmotion.from_parts("anger", 0.6, parts).distress == "angry"
    assert DetectedEmotion.from_parts("neutral", 0.6, parts).distress == ""


async def test_instructions_hold_for_one_turn() -> None:
    detector = FakeEmotionDetector(ANGRY, DetectedEmotion("joy", 0.9))
    transcripts = ("Where is my parcel?", "I have got it now.")
    harness = ConversationHarness("I am sorry.", "Good.", transcripts=transcripts, emotion=detector)
    async with harness.running():
        harness.say(0)
        await harness.answer()
        harness.say(1)
        await harness.answer(2)
    assert harness.instructions == [ANGRY.instructions, ""]
    assert [text for text, _ in detector.calls] == list(transcripts)
    assert harness.messages[0] == ("Where is my parcel?", False), "the user has not said the instructions"
    assert harness.notices == ["You sound angry: the model is told."]
    first, second = harness.log.of("mood")
    assert first["utterance"] == 1
    assert first["label"] == "anger"
    assert first["parts"]["voice"] == {"label": "anger", "confidence": 0.95}
    assert first["instructions"] == ANGRY.instructions
    assert second["label"] == "joy"
    assert second["instructions"] is None


async def test_text_in_another_language_does_not_count() -> None:
    detector = FakeEmotionDetector(None)
    harness = ConversationHarness("Gut.", transcripts=("Wo ist mein Paket?",), emotion=detector)
    harness.stt.language = "de"
    harness.say(0)
    harness.end_audio()
    await harness.run()
    assert [text for text, _ in detector.calls] == [""]
    assert harness.instructions == [""]
    assert not harness.log.of("mood")


async def test_end_of_a_long_utterance_counts() -> None:
    detector = FakeEmotionDetector(None)
    harness = ConversationHarness("Well.", transcripts=("A long story.",), emotion=detector)
    harness.start_speaking(0, frames=1200)
    harness.be_silent()
    harness.end_audio()
    await harness.run()
    assert [seconds for _, seconds in detector.calls] == [MAX_SECONDS]


async def test_failure_is_reported_once_and_replies_go_on() -> None:
    detector = FakeEmotionDetector(VoiceError("Whisper failed."))
    harness = ConversationHarness("One.", "Two.", transcripts=("Count.", "Go on."), emotion=detector)
    async with harness.running():
        harness.say(0)
        await harness.answer()
        harness.say(1)
        await harness.answer(2)
    assert harness.notices == ["Whisper failed. The conversation goes on without knowing how you feel."]
    assert len(detector.calls) == 1


async def test_conversation_goes_on_without_a_detector_that_cannot_be_loaded() -> None:
    detector = FakeEmotionDetector(ANGRY, fails_to_load=True)
    harness = ConversationHarness("One.", transcripts=("Count.",), emotion=detector)
    harness.say(0)
    harness.end_audio()
    await harness.run()
    assert harness.messages == [("Count.", False), ("One.", False)]
    assert not detector.calls
