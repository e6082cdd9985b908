"""The prompt of the bundled language model, which reads images in words, and is to stay in its role.

    [persona, and again who it is] (user: <image 1> … </image 1> question) (assistant: …) …

The words and names in an image are data. They stand in the fence of the image, and nothing in them can close it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from assistant.messages import IMAGE_PLACEHOLDER, ContentPart, Image, Message, Text, system
from assistant.models.pocket.hints import (
    SENTENCE,
    AnswerLanguage,
    asks_how_many,
    asks_to_describe,
    asks_who,
    description_hint,
    form_hint,
    identity_hint,
    is_length_open,
    number_hint,
    who_it_is,
)
from assistant.models.pocket.image_description import TEXT_HEADING
from assistant.text_cleaning import clean_text
from assistant.text_language import language_of_text

DEFAULT_PERSONA = (
    "You are Parley, a helpful assistant that runs on the computer of the user. "
    "You were made by the Parley project, and by no company."
)
"""Instructions of a conversation that has none. Without a name, the model calls itself by that of its makers."""

UNSEEN = "This picture cannot be looked at now."
"""What stands for an image of an earlier message without what sees."""

# Messages of the user after an image that are still taken for questions about it.
_MAX_AGE = 2
_REMINDER = "Stay in this role, and answer in the language of the user."
# Instructions without these words, such as "Answer in French.", leave open who answers.
_NAMES_A_ROLE = re.compile(
    r"\b(?:you are|you're|your name|act as|du bist|sie sind|dein name|tu es|vous \u00eates|eres|usted es|tu sei)\b"
    r"|[\u4f60\u60a8]\u662f|\u3042\u306a\u305f\u306f",
    re.IGNORECASE,
)
_FENCE = re.compile(r"<(?=\s*/?\s*image\s*\d)", re.IGNORECASE)
# In an image, what looks like one as well: a model takes "</image>" for the end of the fence.
_FENCE_IN_IMAGE = re.compile(r"[<\uff1c](?=\s*[/\uff0f]?\s*image)", re.IGNORECASE)
# The tokens of chat templates: "<|im_end|>".
_TEMPLATE_TOKEN = re.compile(r"<(?=\|)|(?<=\|)>")


class ImageWords(Protocol):
    """Puts images into words."""

    def describe(self, image: Image, *, is_new: bool) -> str:
        """Return what is in `image`. Raises only if it `is_new`, a part of the message that is to be answered."""
        ...

    def look_again(self, question: str, image: Image, *, is_new: bool) -> str:
        """Return what a second look at `image` answers, or "". If not `is_new`, it is not looked at any more."""
        ...


def build_prompt(messages: Sequence[Message], images: ImageWords) -> list[Message]:
    """Return `messages` with images in words and with the persona first, for a language model."""
    persona = "\n\n".join(message.text for message in messages if message.role == "system")
    role = _role(persona)
    worded = _WordedMessages(images, role, AnswerLanguage(persona))
    return [
        system(f"{role}\n\n{_REMINDER}"),
        *(
            worded.put_into_words(message, is_new=message is messages[-1])
            for message in messages
            if message.role != "system"
        ),
    ]


def wants_few_sentences(messages: Sequence[Message]) -> bool:
    """Return True if the last message asks for a description of an image, of no length in particular."""
    asked = [message for message in messages if message.role == "user"]
    is_about_image = any(message.had_image for message in asked[-1 - _MAX_AGE :])
    return bool(asked) and is_about_image and asks_to_describe(asked[-1].text) and is_length_open(asked[-1].text)


class _WordedMessages:
    """Replaces the images of one message after the other, numbered through the conversation, and adds hints."""

    def __init__(self, images: ImageWords, role: str, language: AnswerLanguage) -> None:
        self._images = images
        self._who = who_it_is(role)
        self._form = form_hint(role)
        self._language = language
        self._count = 0
        self._seen: dict[str, tuple[int, str]] = {}
        """Number and description of each image, by digest."""
        self._latest: tuple[Image, ...] = ()
        self._age = 0

    def put_into_words(self, message: Message, *, is_new: bool) -> Message:
        """Return `message` with its images in words, and with what helps to answer it."""
        self._age += message.role == "user"
        if message.had_image:
            self._latest, self._age = message.images, 0
            # Descriptions are in English.
            self._language.note("en")
        lines = [line for part in message.parts if (line := self._words(part, is_new=is_new)) is not None]
        if message.role == "user":
            # Hints follow the question, so that the prompt begins as it was prepared before the question was complete.
            lines += filter(None, self._hints(message.text, is_new=is_new))
        elif message.role == "assistant":
            self._language.note(language_of_text(message.text))
        others = tuple(part for part in message.parts if not isinstance(part, Image | Text))
        return replace(message, parts=(Text("\n".join(lines)), *others))

    def _hints(self, question: str, *, is_new: bool) -> Iterator[str]:
        if self._who and asks_who(question):
            yield identity_hint(self._who)
        is_about_image = bool(question and self._latest and self._age <= _MAX_AGE)
        if is_about_image:
            yield from self._picture_hints(question, is_new=is_new)
        if question:
            yield self._form
            words = [self._seen[image.digest][1] for image in self._latest] if is_about_image else []
            yield self._language.hint(question, "\n".join(words))

    def _picture_hints(self, question: str, *, is_new: bool) -> Iterator[str]:
        _, words = self._seen[self._latest[-1].digest]
        has_text = TEXT_HEADING in words
        seen = ""
        if len(self._latest) == 1:
            seen = self._images.look_again(question, self._latest[0], is_new=is_new)
            if seen:
                yield f"(You look at image {self._count} again for this: {seen}.)"
        if asks_to_describe(question):
            sentences = [] if has_text or len(self._latest) > 1 else SENTENCE.findall(words)
            yield description_hint(self._count, [each.strip() for each in sentences], question)
        elif asks_how_many(question) and not seen and not has_text:
            yield number_hint(self._count)

    def _words(self, part: ContentPart, *, is_new: bool) -> str | None:
        match part:
            case Image():
                self._count += 1
                if part.digest in self._seen:
                    words = f"The same picture as image {self._seen[part.digest][0]}."
                else:
                    words = _as_data(self._images.describe(part, is_new=is_new))
                    self._seen[part.digest] = self._count, words
                return _fence(self._count, words)
            case Text() if part == IMAGE_PLACEHOLDER:
                self._count += 1
                return _fence(self._count, "This picture is no longer in view.")
            case Text():
                return _escape_fence(part.text)
        return None


def _fence(number: int, words: str) -> str:
    return f"<image {number}>\n{words}\n</image {number}>"


def _as_data(seen: str) -> str:
    """Return what is in an image so that words read in it cannot close its fence, or end the user's turn."""
    return _TEMPLATE_TOKEN.sub(
        lambda found: "‹" if found[0] == "<" else "›", _FENCE_IN_IMAGE.sub("‹", clean_text(seen))
    )


def _escape_fence(text: str) -> str:
    return _FENCE.sub("‹", text)


def _role(persona: str) -> str:
    """Return the persona; that of Parley, if it does not say who speaks."""
    persona = persona.strip()
    return persona if _NAMES_A_ROLE.search(persona) else f"{DEFAULT_PERSONA}\n{persona}".strip()
