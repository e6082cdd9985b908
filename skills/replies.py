"""The one place where skills take a reply of a model."""

from assistant.errors import SkillError
from assistant.messages import Image
from assistant.text_cleaning import clean_line, clean_text
from skills.vision_model import VisionModel


def ask(model: VisionModel, question: str, *images: Image, max_tokens: int) -> str:
    """Return a model's reply without control characters. Raises `SkillError` for one without words; `ModelError`."""
    text = clean_text(model.ask(question, *images, max_tokens=max_tokens)).strip()
    if not has_words(text):
        name = clean_line(model.info.name)
        raise SkillError(f"{name} answered nothing: try again, or choose another model with --model.")
    return text


def has_words(text: str) -> bool:
    """Return True if something of `text` can be seen."""
    return any(character.isprintable() and not character.isspace() for character in text)
