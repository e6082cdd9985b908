"""The bundled model of the chat: what its language model is told of images, and what is remembered."""

import threading
from collections.abc import Generator, Sequence

import pytest

from assistant.errors import AttachmentError, MissingExtraError, ModelError, ParleyError
from assistant.events import Usage
from assistant.messages import Image, Message, assistant, user
from assistant.models.base import GenerationOptions, vision_model_of
from assistant.models.pocket.described_images import Vision
from assistant.models.pocket.image_description import ImageDescription
from assistant.models.pocket.model import PocketModel
from assistant.models.scripted import ScriptedModel
from skills import VisionClient, caption
from tests.fakes.describer import ScriptedDescriber, scripted_vision
from tests.fakes.generation import complete, complete_with_usage
from tests.fakes.skills import make_image

PHOTO = make_image()
CAT = ImageDescription(caption="A cat sleeps.")


def test_the_language_model_reads_what_the_small_model_saw() -> None:
    language = ScriptedModel("A cat!")
    pocket = PocketModel(language, lambda: scripted_vision(CAT))
    assert complete(pocket, user("What is it?", PHOTO)) == "A cat!"
    assert "A cat sleeps." in language.prompts[-1][-1].text
    assert not language.prompts[-1][-1].images


def test_each_image_is_looked_at_once() -> None:
    vision = scripted_vision(CAT)
    pocket = PocketModel(ScriptedModel("One", "Two"), lambda: vision)
    conversation = [user("What is it?", PHOTO)]
    complete(pocket, *conversation)
    complete(pocket, *conversation, assistant("One"), user("And its colour?"))
    assert isinstance(vision.describer, ScriptedDescriber)
    assert len(vision.describer.seen) == 1


def test_a_conversation_without_images_loads_no_vision_model() -> None:
    def load() -> Vision:
        raise AssertionError

    assert complete(PocketModel(ScriptedModel("Hello"), load), user("Hi")) == "Hello"


@pytest.mark.parametrize("fault", [AttachmentError("it is damaged"), ValueError("it is damaged")])
def test_an_image_that_cannot_be_looked_at_does_not_end_the_turn(fault: Exception) -> None:
    notices: list[str] = []
    pocket = PocketModel(ScriptedModel("I cannot make it out."), lambda: scripted_vision(fault), notices.append)
    assert complete(pocket, user("What is it?", PHOTO)) == "I cannot make it out."
    [notice] = notices
    assert PHOTO.name in notice
    assert "it is damaged" in notice


def test_a_conversation_goes_on_without_what_sees() -> None:
    loads: list[Vision] = []

    def load() -> Vision:
        if not loads:
            raise ModelError("There is no network: connect and try again.")
        return loads[0]

    language, notices = ScriptedModel(), list[str]()
    pocket = PocketModel(language, load, notices.append)
    earlier = [user("What is it?", PHOTO), assistant("A cat.")]
    complete(pocket, *earlier, user("Tell me a joke."))
    complete(pocket, *earlier, user("How many cats are there?"))
    assert notices == ["There is no network: connect and try again. Until then replies do without earlier images."]
    assert "cannot be looked at now" in language.prompts[-1][1].text
    # A new image is worth another attempt, and the next turn has the earlier ones back.
    with pytest.raises(ModelError, match="There is no network"):
        complete(pocket, *earlier, user("And this?", make_image(colour="blue")))
    loads.append(scripted_vision(ImageDescription(caption="The sky."), CAT))
    complete(pocket, *earlier, user("And this?", make_image(colour="blue")))
    complete(pocket, *earlier, user("And this?", make_image(colour="blue")), assistant("Sky."), user("Thanks"))
    assert "A cat sleeps." in language.prompts[-1][1].text


def test_what_was_seen_is_known_although_nothing_sees_any_more() -> None:
    language = ScriptedModel()
    visions = [scripted_vision(CAT)]

    def load() -> Vision:
        if not visions:
            raise ModelError("no memory")
        return visions.pop()

    pocket = PocketModel(language, load)
    complete(pocket, user("What is it?", PHOTO))
    pocket._images.close()
    complete(pocket, user("What is it?", PHOTO), assistant("A cat."), user("Is it asleep?"))
    assert "A cat sleeps." in language.prompts[-1][1].text


def test_a_description_has_five_sentences_at_most() -> None:
    pocket = PocketModel(ScriptedModel("It is grey. " * 9, "It is grey. " * 9), lambda: scripted_vision(CAT))
    assert complete(pocket, user("Describe it in detail.", PHOTO)).count(".") == 5
    assert complete(pocket, user("Describe it in a long story.", PHOTO)).count(".") == 9


@pytest.mark.parametrize("error", [ModelError("no network"), MissingExtraError("no package")])
def test_a_vision_model_that_cannot_be_loaded_is_an_error_and_is_tried_again(error: ParleyError) -> None:
    visions: list[Vision | ParleyError] = [error, scripted_vision(CAT)]

    def load() -> Vision:
        vision = visions.pop(0)
        if isinstance(vision, ParleyError):
            raise vision
        return vision

    pocket = PocketModel(ScriptedModel("A cat."), load)
    with pytest.raises(type(error), match=str(error)):
        complete(pocket, user("What is it?", PHOTO))
    assert complete(pocket, user("What is it?", PHOTO)) == "A cat."


def test_a_description_that_was_interrupted_is_not_remembered() -> None:
    stop = threading.Event()

    class StoppedWhileLooking(ScriptedDescriber):
        def describe(self, image: Image, _: threading.Event | None = None) -> ImageDescription:
            stop.set()
            return super().describe(image)

    language = ScriptedModel("A cat.")
    pocket = PocketModel(language, lambda: Vision(ScriptedModel(), StoppedWhileLooking(ImageDescription(), CAT)))
    assert complete(pocket, user("What is it?", PHOTO), stop=stop) == ""
    complete(pocket, user("What is it?", PHOTO))
    assert "A cat sleeps." in language.prompts[-1][-1].text


def test_preparing_looks_at_the_images() -> None:
    vision = scripted_vision(CAT)
    pocket = PocketModel(ScriptedModel("A cat."), lambda: vision)
    pocket.prepare([user("", PHOTO)], threading.Event())
    assert isinstance(vision.describer, ScriptedDescriber)
    assert len(vision.describer.seen) == 1


def test_skills_ask_the_small_model() -> None:
    small = ScriptedModel("A cat on a mat.")
    pocket = PocketModel(ScriptedModel("Never"), lambda: scripted_vision(vision_model=small))
    assert caption(PHOTO, model=VisionClient(pocket)).text == "A cat on a mat."
    assert vision_model_of(pocket) is small
    assert vision_model_of(small) is small


def test_the_time_that_looking_takes_counts_as_waiting_for_the_first_word() -> None:
    pocket = PocketModel(ScriptedModel("A cat."), lambda: scripted_vision(CAT))
    _, usage = complete_with_usage(pocket.stream([user("It?", PHOTO)], GenerationOptions(), threading.Event()))
    assert 0 < usage.first_token_seconds <= usage.total_seconds


def test_replies_about_images_and_about_itself_are_greedy_unless_something_else_was_chosen() -> None:
    class Recording(ScriptedModel):
        def stream(
            self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
        ) -> Generator[str, None, Usage]:
            chosen.append((options.temperature, options.repetition_penalty))
            return super().stream(messages, options, stop)

    chosen: list[tuple[float | None, float | None]] = []
    pocket = PocketModel(Recording(), scripted_vision)
    complete(pocket, user("Hi"))
    complete(pocket, user("What is it?", PHOTO))
    complete(pocket, user("What is it?", PHOTO), temperature=0.5, repetition_penalty=1.2)
    # Sampled with a penalty for the words of the role, "Who made you?" is answered by the names of companies.
    complete(pocket, user("Who made you?"))
    assert chosen == [(None, None), (0.0, 1.0), (0.5, 1.2), (0.0, 1.0)]


def test_closing_frees_both_models() -> None:
    language, small = ScriptedModel("A cat."), ScriptedModel()
    pocket = PocketModel(language, lambda: scripted_vision(vision_model=small))
    complete(pocket, user("What is it?", PHOTO))
    pocket.close()
    pocket.close()
    assert language.closed
    assert small.closed
