"""The model processes the conversation while the user still speaks, and the question while they are silent."""

import pytest

from assistant.messages import Image, user
from tests.fakes.conversation import CAT, AttentiveModel
from tests.fakes.spoken_conversation import ConversationHarness


async def test_the_conversation_is_prepared_when_the_user_begins_to_speak() -> None:
    model = AttentiveModel("Fine.")
    harness = ConversationHarness(transcripts=("How are you?",), model=model)
    async with harness.running():
        harness.start_speaking(0)
        await harness.until(lambda: model.prepared)
        assert model.prepared == [user("")]
        harness.be_silent()
        await harness.answer()


@pytest.mark.parametrize("images", [[], [CAT]])
async def test_the_question_is_prepared_with_its_images_before_the_silence_is_long_enough(images: list[Image]) -> None:
    model = AttentiveModel("Fine.")
    harness = ConversationHarness(transcripts=("What is in this picture, and",), model=model)
    harness.images = list(images)
    async with harness.running():
        harness.start_speaking(0)
        harness.be_silent(12)
        await harness.until(lambda: len(model.prepared) >= 2)
        assert model.prepared[-1] == user("What is in this picture, and", *images)
        assert model.prompts == []
        harness.be_silent()
        await harness.answer()
    assert model.prompts == [(user("What is in this picture, and", *images),)]


async def test_a_question_that_is_over_when_its_words_are_known_is_answered_without_being_prepared_first() -> None:
    model = AttentiveModel("It is noon.")
    harness = ConversationHarness(transcripts=("What time is it?",), model=model, end_of_turn=lambda _: 0.9)
    async with harness.running():
        harness.start_speaking(0)
        harness.be_silent(20)
        await harness.timeout_set(1)
        # No frame comes any more: the turn ends with the silence that there was.
        await harness.answer()
    assert model.prompts == [(user("What time is it?"),)]
    assert user("What time is it?") not in model.prepared


async def test_words_over_a_reply_that_only_show_attention_prepare_nothing() -> None:
    model = AttentiveModel("One two three four five. Six.")
    harness = ConversationHarness(transcripts=("Count.", "Mm-hm."), model=model)
    harness.output.play_limit = 0.3
    async with harness.running():
        harness.say(0)
        await harness.heard_seconds(0.3)
        prepared = len(model.prepared)
        harness.say(1)
        await harness.classified(2)
        harness.output.play_limit = float("inf")
        await harness.answer()
    assert len(model.prepared) == prepared
