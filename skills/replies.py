"""The one place where skills take a reply of a model."""

from collections.abc import Iterable

from assistant.errors import SkillError
from assistant.messages import Image
from assistant.models.reply_text import is_blank
from assistant.text_cleaning import clean_line, clean_text
from skills.vision_model import Unanswered, VisionModel


def ask(model: VisionModel, question: str, *images: Image, max_tokens: int) -> str:
    """Return a model's reply without control characters. Raises `ModelError`, and `SkillError` for a blank reply."""
    text = clean_text(model.ask(question, *images, max_tokens=max_tokens)).strip()
    if is_blank(text):
        name = clean_line(model.info.name)
        raise SkillError(f"{name} answered nothing: try again, or choose another model with --model.")
    return text


def ask_each(model: VisionModel, questions: Iterable[tuple[str, Image]], *, max_tokens: int) -> list[str]:
    """Return the replies to questions about an image each, none of which follows from the reply to another.

    Raises as `ask`, and `Unanswered` with all those that a batch has not answered.
    """
    replies: list[str] = []
    missing: list[Unanswered] = []
    for question, image in questions:
        try:
            replies.append(ask(model, question, image, max_tokens=max_tokens))
        except Unanswered as error:
            missing.append(error)
    if missing:
        raise Unanswered([request for error in missing for request in error.requests])
    return replies
