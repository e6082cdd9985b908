"""The Python API of skills: functions over files.

Every function takes its image first and all else by name. One is an `Assistant` whose model it uses; without it, all
functions share one.
"""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from parley.api import Assistant, FilePath
from skills.call_check import FLAG, PATH, TEXT, TEXTS, Expected, checked

if TYPE_CHECKING:
    from skills.captioning import Caption, Style
    from skills.emotions.result import EmotionResult
    from skills.ocr import OcrResult
    from skills.question_answering import Answer

_EXPECTED = {
    **dict.fromkeys(("image", "face", "voice"), PATH),
    **dict.fromkeys(("question", "text", "style", "language"), TEXT),
    **dict.fromkeys(("yes_no", "explain"), FLAG),
    "choices": TEXTS,
    "assistant": Expected(lambda value: isinstance(value, Assistant), "an Assistant"),
}
"""Requirements of the arguments of all functions here, by name."""

_shared: Assistant | None = None
_shared_lock = threading.Lock()


def _shared_assistant() -> Assistant:
    """Return the assistant that skills use unless they are given one. It is created by the first call."""
    global _shared  # noqa: PLW0603 - one model in memory, however many skills are called
    with _shared_lock:
        if _shared is None:
            _shared = Assistant()
        return _shared


@checked(_EXPECTED)
def caption(
    image: FilePath, *, style: "Style" = "short", language: str = "", assistant: Assistant | None = None
) -> "Caption":
    """Describe an image.

    Args:
        image: Path of the image.
        style: "short", "detailed", "dense" (also describes regions) or "alt-text".
        language: Language of the caption, such as "German"; the bundled model knows English only.
        assistant: Its model is used; by default one that all skills share.

    Returns:
        The caption in `text`, with `style`, `model` and, for "dense", `regions`.

    Raises:
        TypeError: The call is wrong.
        ParleyError: The image cannot be read, or the model fails.
    """
    from skills import caption as skill

    return (assistant or _shared_assistant()).run_skill(skill, photo=image, style=style, language=language)


@checked(_EXPECTED)
def vqa(
    image: FilePath,
    *,
    question: str,
    choices: Sequence[str] = (),
    yes_no: bool = False,
    explain: bool = False,
    assistant: Assistant | None = None,
) -> "Answer":
    """Answer a question about an image.

    Args:
        image: Path of the image.
        question: The question.
        choices: Answers to choose from.
        yes_no: Answer yes or no.
        explain: Also explain the answer.
        assistant: Its model is used; by default one that all skills share.

    Returns:
        The answer in `answer`, with its `confidence` from 0 to 1 where the model gives one.

    Raises:
        TypeError: The call is wrong.
        ParleyError: The image cannot be read, the arguments contradict each other, or the model fails.
    """
    from skills import vqa as skill

    options = {"choice": tuple(choices), "yes_no": yes_no, "explain": explain}
    return (assistant or _shared_assistant()).run_skill(skill, photo=image, question=question, **options)


@checked(_EXPECTED)
def read(image: FilePath, *, assistant: Assistant | None = None) -> "OcrResult":
    """Read the words in an image.

    Returns:
        The words in `text`, row by row in `rows`, and each line with its score and box in `lines`.

    Raises:
        TypeError: The call is wrong.
        ParleyError: The image cannot be read.
    """
    from skills import read as skill

    return (assistant or _shared_assistant()).run_skill(skill, photo=image)


@checked(_EXPECTED)
def emotion(
    *,
    text: str | None = None,
    face: FilePath | None = None,
    voice: FilePath | None = None,
    assistant: Assistant | None = None,
) -> "EmotionResult":
    """Estimate a person's emotion from any of their words, their face and their voice.

    Args:
        text: What they say or write, in English.
        face: Path of an image of their face.
        voice: Path of a recording of their voice.
        assistant: Its bundled models are used; by default those that all skills share.

    Returns:
        The likeliest emotion in `label`, its `confidence` from 0 to 1, and the estimate from each input in `parts`.

    Raises:
        TypeError: The call is wrong.
        ParleyError: None of the three is given, a file cannot be read, or a model fails.
    """
    from skills import emotion as skill

    return (assistant or _shared_assistant()).run_skill(skill, text=text, face=face, voice=voice)
