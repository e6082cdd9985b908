"""Wrong calls from Python: the error says what is wrong, and how the call is written right."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

import parley
from assistant.messages import Image
from assistant.models.scripted import ScriptedModel
from skills import VisionClient, ask_json, caption, emotion, read, vqa
from tests.fakes.skills import FakeEmotionModels


class Room(BaseModel):
    name: str


def call_wrongly(function: Callable[..., object], *args: object, **kwargs: object) -> str:
    with pytest.raises(TypeError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def test_only_the_image_is_given_by_its_place(photo: Image, model: VisionClient) -> None:
    right = "write caption(photo, model=…)."
    assert call_wrongly(caption, photo, model) == f"caption() takes only photo by position: {right}"
    assert (
        call_wrongly(vqa, photo, "What is it?", model)
        == "vqa() takes only photo by position: write vqa(photo, question=…, model=…)."
    )
    assert (
        call_wrongly(parley.vqa, "a.jpg", "What is it?")
        == "vqa() takes only image by position: write vqa(image, question=…)."
    )
    assert "takes nothing by position: write emotion(models=…)" in call_wrongly(emotion, FakeEmotionModels())
    assert "write emotion(text=…, face=…, voice=…, assistant=…)" in call_wrongly(parley.emotion, "I am happy.")
    message = call_wrongly(ask_json, model, Room, "Which room?", photo)
    assert message.startswith("ask_json() needs question, schema and model by name: ")
    assert message.endswith("write ask_json(*images, question=…, schema=…, model=…).")


def test_missing_and_unknown_arguments_are_named(photo: Image, model: VisionClient) -> None:
    assert call_wrongly(caption) == "caption() needs photo and model: write caption(photo, model=…)."
    assert "needs question by name" in call_wrongly(vqa, photo, model=model)
    message = call_wrongly(vqa, photo, question="Which?", model=model, choices=("a", "b"))
    assert "takes no argument 'choices' (is it choice that you mean?)" in message
    assert "takes no argument 'lang'" in call_wrongly(parley.caption, "a.jpg", lang="German")
    assert "got photo twice" in call_wrongly(caption, photo, photo=photo, model=model)


@pytest.mark.parametrize("wrong", ["photo.jpg", Path("photo.jpg"), b"bytes"])
def test_a_path_is_no_image(model: VisionClient, wrong: object) -> None:
    message = call_wrongly(caption, wrong, model=model)
    assert message.startswith("photo of caption() has to be an Image and is a")
    assert "load_image(path)" in message


def test_swapped_and_listed_arguments_are_named(photo: Image, model: VisionClient) -> None:
    assert "photo of caption() has to be an Image and is a VisionClient: write" in call_wrongly(
        caption, model, model=photo
    )
    assert "each call takes one" in call_wrongly(read, [photo, photo])
    assert "each call takes one" in call_wrongly(parley.read, ["a.jpg", "b.jpg"])
    assert "image of read() has to be the path of a file and is an Image" in call_wrongly(parley.read, photo)
    assert "model of caption() has to be a VisionModel and is a str" in call_wrongly(caption, photo, model="qwen")
    assert "choice of vqa() has to be a list or tuple of str and is a str" in call_wrongly(
        vqa, photo, question="Which?", model=model, choice="yes"
    )
    assert "choices of vqa() has to be a list or tuple of str" in call_wrongly(
        parley.vqa, "a.jpg", question="Which?", choices="yes"
    )
    assert "assistant of read() has to be an Assistant and is a str" in call_wrongly(
        parley.read, "a.jpg", assistant="scripted"
    )
    assert "schema of ask_json() has to be a class" in call_wrongly(
        ask_json, photo, question="Which?", schema=Room(name="hall"), model=model
    )


def test_a_conversation_takes_the_prompt_first() -> None:
    with parley.Assistant(model="scripted") as assistant:
        message = call_wrongly(assistant.ask, Path("photo.jpg"), "What is it?")
        assert message.startswith("prompt of ask() has to be a str and is a ")
        assert message.endswith("Path: write ask(prompt, *images).")
        assert "has to be a Skill and is 'caption'" in call_wrongly(assistant.run_skill, "caption")
        message = call_wrongly(assistant.ask, "What is it?", ["photo.jpg"])
        assert message == (
            "images of ask() has to be the path of a file and is a list: give them one by one, and write "
            "ask(prompt, *images)."
        )


def test_right_calls_are_not_touched(photo: Image, model: VisionClient) -> None:
    assert caption(photo=photo, model=model).text
    assert caption(photo, model=model, language="German").text
    assert vqa(photo, question="Which?", model=model, choice=["a", "b"]).answer in ("a", "b", "not visible")  # type: ignore[arg-type]


def test_a_chat_model_has_to_be_wrapped(photo: Image) -> None:
    message = call_wrongly(caption, photo, model=ScriptedModel())
    assert message.endswith("is a ScriptedModel: wrap a chat model as VisionClient(chat_model).")
