"""Skills: captioning, question answering, OCR and emotion recognition as typed functions.

One call, wherever it comes from:

    parley caption *.jpg   ─▶ files ─▶ batch: images in order ─┐                            ┌─▶ a line of text or JSON
    /caption in the chat   ─▶ slash_commands ─▶ the turn ──────┼─▶ Skill.run ─▶ caption() ──┼─▶ the reply of the turn
    caption(image, model=…)  ──────────────────────────────────┘   validate     pydantic    └─▶ the value itself
                                                                   values       result

`@skill` turns a typed function with a pydantic result into a skill. Its signature provides its command, its slash
command, its entry in the app's palette and its line in `parley skills`.

Public names:

    Image, Audio, load_image     inputs, and how to load the first from a file
    skill, Skill, Parameter      the decorator, the class it returns, and one parameter of a skill
    VisionModel, VisionClient    what a skill may ask of a model, and its implementation for any `ChatModel`
    EmotionModels                the models behind the emotion skill
    caption, emotion, read, vqa  the skills that Parley ships
    ask_json                     fill in a pydantic model of your own (or raise UnfilledSchemaError)
    registry                     all skills, including those of other packages (entry points `parley.skills`)

Reading order: parameters, definition, call_check, vision_model, replies, registry; captioning, question_answering,
text_questions, structured and emotions/; ocr and text_glance with text_engine, text_detection, text_regions and
reading_order; slash_commands and slash_arguments for conversations; files, batch, batching, jsonl_results and
openai_batch for many files; evaluation/ to score results.

Public names are imported on first use, so that `import skills` loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assistant.messages import Audio, Image
    from skills.captioning import caption
    from skills.definition import Skill, load_image, skill
    from skills.emotion_models import EmotionModels
    from skills.emotions.emotion import emotion
    from skills.ocr import read
    from skills.parameters import Parameter
    from skills.question_answering import vqa
    from skills.structured import UnfilledSchemaError, ask_json
    from skills.vision_model import VisionClient, VisionModel

__all__ = [
    "Audio",
    "EmotionModels",
    "Image",
    "Parameter",
    "Skill",
    "UnfilledSchemaError",
    "VisionClient",
    "VisionModel",
    "ask_json",
    "caption",
    "emotion",
    "load_image",
    "read",
    "skill",
    "vqa",
]

# No module is named after a public name in it: importing the submodule would replace the name.
_MODULES = {
    "Audio": "assistant.messages",
    "EmotionModels": "skills.emotion_models",
    "Image": "assistant.messages",
    "Parameter": "skills.parameters",
    "Skill": "skills.definition",
    "UnfilledSchemaError": "skills.structured",
    "VisionClient": "skills.vision_model",
    "VisionModel": "skills.vision_model",
    "ask_json": "skills.structured",
    "caption": "skills.captioning",
    "emotion": "skills.emotions.emotion",
    "load_image": "skills.definition",
    "read": "skills.ocr",
    "skill": "skills.definition",
    "vqa": "skills.question_answering",
}
# Deprecated names, for skills of other packages written before 2026-12.
_ALIASES = {
    "ChatVision": "VisionClient",
    "Input": "Parameter",
    "Photo": "Image",
    "Sound": "Audio",
    "load_photo": "load_image",
}


def __getattr__(name: str) -> Any:
    name = _ALIASES.get(name, name)
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
