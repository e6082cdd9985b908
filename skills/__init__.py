"""Captioning, question answering and other things Parley can do with a picture, one module a skill.

How one call of a skill flows, wherever it comes from:

    parley caption *.jpg   ─▶ files ─▶ batch: pictures in order ─┐                           ┌─▶ a line of text or JSON
    /caption in the chat   ─▶ slash_commands ─▶ the turn ────────────┼─▶ Skill.run ─▶ caption() ─┼─▶ the reply of the turn
    caption(photo, model)  ──────────────────────────────────────┘   inputs      pydantic    └─▶ the value itself
                                                                     checked      result

A skill is a typed function with a pydantic result. `@skill` reads its signature, and from that alone come its command,
its slash command, its entry in the app's palette and its line in `parley skills`. What it needs of a model it asks of
a `VisionModel`, which it is given: ask about pictures, and say how likely given answers are.

    Photo, Sound, load_photo     a picture, a recording, and how to read the first from a file
    skill, Skill, Input          the decorator, what it makes of a function, and one thing that a skill is told
    VisionModel, ChatVision      what a skill may ask of a model, and that on any `ChatModel`
    Senses                       what it may ask of the states within models
    caption, emotion, read, vqa  the skills that Parley brings along
    ask_json                     an answer in a shape of your own (or an UnfilledSchemaError)
    registry                     every skill there is, those of other packages (entry points `parley.skills`) included

Nothing heavy is imported before it is used: asking for a name brings in its module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skills.captioning import caption
    from skills.definition import Input, Photo, Skill, Sound, load_photo, skill
    from skills.emotion_models import Senses
    from skills.emotions.emotion import emotion
    from skills.ocr import read
    from skills.question_answering import vqa
    from skills.structured import UnfilledSchemaError, ask_json
    from skills.vision_model import ChatVision, VisionModel

__all__ = [
    "ChatVision",
    "Input",
    "Photo",
    "Senses",
    "Skill",
    "Sound",
    "UnfilledSchemaError",
    "VisionModel",
    "ask_json",
    "caption",
    "emotion",
    "load_photo",
    "read",
    "skill",
    "vqa",
]

# No module is called like a name it holds: importing it would put the module in the name's place.
_HOMES = {
    "ChatVision": "vision_model",
    "Input": "definition",
    "Photo": "definition",
    "Senses": "emotion_models",
    "Skill": "definition",
    "Sound": "definition",
    "UnfilledSchemaError": "structured",
    "VisionModel": "vision_model",
    "ask_json": "structured",
    "caption": "captioning",
    "emotion": "emotions.emotion",
    "load_photo": "definition",
    "read": "ocr",
    "skill": "definition",
    "vqa": "question_answering",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"skills.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
