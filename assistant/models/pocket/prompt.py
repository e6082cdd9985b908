"""The prompt of the bundled language model, which reads images in words, and is to stay in its role.

    [persona, and again who it is] (user: <image 1> … </image 1> question) (assistant: …) …

The words and names in an image are data. They stand in the fence of the image, and nothing in them can close it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from assistant.messages import IMAGE_PLACEHOLDER, ContentPart, Image, Message, Text, system
from assistant.text_cleaning import clean_text

DEFAULT_PERSONA = (
    "You are Parley, a helpful assistant that runs on the computer of the user. "
    "You were made by the Parley project, and by no company."
)
"""Instructions of a conversation that has none. Without a name, the model calls itself by that of its makers."""

# Without it, "a cup of espresso" became six sentences on grinding coffee beans. After the question, because a rule at
# the beginning of the prompt is not followed. "Two to four short sentences. Say only …" gave mostly one; asked for each
# thing in a sentence of its own, the model added more of its own (82 % of the stated objects supported on 20 dev
# photos, against 88 %).
_DESCRIBE_HINT = (
    "(Write two to four short sentences, one for each statement in <image {0}>: what it shows, what else is there, "
    "people, colours. Say only what is written in <image {0}>; add no other detail.)"
)
_ASKS_TO_DESCRIBE = re.compile(
    r"\b(?:describ\w+|description|in detail|caption|beschreib\w*|schildere?|d\u00e9cri\w+|en d\u00e9tail"
    r"|descripci\u00f3n)\b|\u63cf\u8ff0|\u8be6\u7ec6",
    re.IGNORECASE,
)
# After a question for the identity of the speaker. At the end of the instructions, such words are forgotten as soon as
# an image follows, or turn a poem "about it" into one about the assistant. Of 20 dev questions, 14 were answered in the
# role without any, 16 to 18 with five wordings of them at the end of the instructions.
_IDENTITY_HINT = "(Answer this as who you are and as nobody else: {})"
_ASKS_WHO = re.compile(
    r"""
      \bwho(?:m)?\s+(?:are\s+you|am\s+i\s+(?:talking|speaking)|is\s+speaking)\b | \bwhat\s+are\s+you\W*$
    | \b(?:made|created|developed|built|trained)\s+you\b | \byour\s+(?:name|makers?|developers?)\b
    | \bintroduce\s+yourself\b
    | (?:^|[.,!?]\s*)are\s+you\s+(?!able|all|aware|doing|familiar|going|ok|okay|ready|still|sure|there)
    | \bwer\s+(?:bist\s+du|sind\s+sie|hat\s+(?:dich|sie)\b) | \bmit\s+wem\b
    | \bwie\s+hei(?:\u00df|ss)(?:t\s+du|en\s+sie)\b
    | \b(?:bist\s+du|sind\s+sie)\s+eine?\b | \bdein\s+name\b | \bstell(?:e|en)?\s+(?:dich|sie\s+sich)\b
    | \bqui\s+(?:es|\u00eates|t['\u2019]a|vous\s+a)\b | \u00eates[-\s]vous\b | \bes[-\s]tu\b | \bt['\u2019]appelles
    | \bvous\s+appelez | \bqui[e\u00e9]n\s+(?:eres|es\s+usted|te)\b | \beres\s+una?\b
    | \bte\s+llamas\b | \btu\s+nombre\b
    | [\u4f60\u60a8](?:\u662f(?!\u5426|\u4e0d)|\u53eb) | \u8c01(?:\u521b\u9020|\u5f00\u53d1|\u5236\u9020)
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Characters. A longer persona is not repeated: its first sentence says who speaks.
_MAX_REPEATED = 300
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
_SENTENCE = re.compile(r".+?[.!?。！？](?=\s|$)|.+", re.DOTALL)


class ImageWords(Protocol):
    """Puts images into words."""

    def describe(self, image: Image) -> str:
        """Return what is in `image`."""
        ...

    def look_again(self, question: str, image: Image, *, is_new: bool) -> str:
        """Return what a second look at `image` answers, or "". If not `is_new`, it is not looked at any more."""
        ...


def build_prompt(messages: Sequence[Message], images: ImageWords) -> list[Message]:
    """Return `messages` with images in words and with the persona first, for a language model."""
    persona = "\n\n".join(message.text for message in messages if message.role == "system")
    role = _role(persona)
    worded = _WordedMessages(images, _who_it_is(role))
    return [
        system(f"{role}\n\n{_REMINDER}"),
        *(
            worded.put_into_words(message, is_new=message is messages[-1])
            for message in messages
            if message.role != "system"
        ),
    ]


class _WordedMessages:
    """Replaces the images of one message after the other, numbered through the conversation, and adds hints."""

    def __init__(self, images: ImageWords, who: str) -> None:
        self._images = images
        self._who = who
        self._count = 0
        self._numbers: dict[str, int] = {}
        self._latest: tuple[Image, ...] = ()
        self._age = 0

    def put_into_words(self, message: Message, *, is_new: bool) -> Message:
        """Return `message` with its images in words, and with what helps to answer it."""
        self._age += message.role == "user"
        if message.had_image:
            self._latest, self._age = message.images, 0
        lines = [line for part in message.parts if (line := self._words(part)) is not None]
        # Hints follow the question, so that the prompt begins as it was prepared before the question was complete.
        if message.role == "user" and self._who and _ASKS_WHO.search(message.text):
            lines.append(_IDENTITY_HINT.format(self._who))
        if message.role == "user" and message.text and self._latest and self._age <= _MAX_AGE:
            lines += self._hints(message.text, is_new=is_new)
        others = tuple(part for part in message.parts if not isinstance(part, Image | Text))
        return replace(message, parts=(Text("\n".join(lines)), *others))

    def _hints(self, question: str, *, is_new: bool) -> Iterator[str]:
        if len(self._latest) == 1:
            seen = self._images.look_again(question, self._latest[0], is_new=is_new)
            if seen:
                yield f"(You look at image {self._count} again for this: {seen}.)"
        if _ASKS_TO_DESCRIBE.search(question):
            yield _DESCRIBE_HINT.format(self._count)

    def _words(self, part: ContentPart) -> str | None:
        match part:
            case Image():
                self._count += 1
                first = self._numbers.setdefault(part.digest, self._count)
                is_known = first != self._count
                return _fence(
                    self._count, f"The same picture as image {first}." if is_known else self._images.describe(part)
                )
            case Text() if part == IMAGE_PLACEHOLDER:
                self._count += 1
                return _fence(self._count, "This picture is no longer in view.")
            case Text():
                return _escape_fence(part.text)
        return None


def _fence(number: int, seen: str) -> str:
    """Return what is in an image within its fence. Words read in it cannot close that, or end the user's turn."""
    seen = _TEMPLATE_TOKEN.sub(
        lambda found: "‹" if found[0] == "<" else "›", _FENCE_IN_IMAGE.sub("‹", clean_text(seen))
    )
    return f"<image {number}>\n{seen}\n</image {number}>"


def _escape_fence(text: str) -> str:
    return _FENCE.sub("‹", text)


def _role(persona: str) -> str:
    """Return the persona; that of Parley, if it does not say who speaks."""
    persona = persona.strip()
    return persona if _NAMES_A_ROLE.search(persona) else f"{DEFAULT_PERSONA}\n{persona}".strip()


def _who_it_is(role: str) -> str:
    """Return the whole of a short role, or the first sentence of a longer one; nothing if that is long too."""
    first = _SENTENCE.match(role)
    return next((each.strip() for each in (role, first[0] if first else "") if len(each) <= _MAX_REPEATED), "")
