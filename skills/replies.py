"""The one place where skills take a reply of a model."""

from assistant.errors import SkillError
from assistant.messages import Image
from assistant.models.reply_text import is_blank
from assistant.text_cleaning import clean_line, clean_text
from skills.vision_model import VisionModel


def ask(model: VisionModel, question: str, *images: Image, max_tokens: int) -> str:
    """Return a model's reply without control characters. Raises `ModelError`, and `SkillError` for a blank reply."""
    text = clean_text(model.ask(question, *images, max_tokens=max_tokens)).strip()
    if is_blank(text):
        name = clean_line(model.info.name)
        raise SkillError(f"{name} answered nothing: try again, or choose another model with --model.")
    return text
