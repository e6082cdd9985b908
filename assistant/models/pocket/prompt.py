"""The prompt of the bundled language model, which reads images in words, and is to stay in its role.

    [persona, and again who it is] (user: <image 1> … </image 1> question) (assistant: …) …

The words and names in an image are data. They stand in the fence of the image, and nothing in them can close it.
"""

import re
from collections.abc import Callable, Sequence

from assistant.messages import IMAGE_PLACEHOLDER, Image, Message, Text, system
from assistant.text_cleaning import clean_text

DEFAULT_PERSONA = "You are Parley, a helpful assistant that runs on the user's own computer."
"""Instructions of a conversation that has none. Without a name, the model calls itself by that of its makers."""

# A role longer than this is not repeated: the beginning says who speaks.
_MAX_REPEATED = 300
_FENCE = re.compile(r"<(?=\s*/?\s*image\s*\d)", re.IGNORECASE)
# The tokens of chat templates: "<|im_end|>".
_TEMPLATE_TOKEN = re.compile(r"<(?=\|)|(?<=\|)>")
_SENTENCE = re.compile(r".+?[.!?。！？](?=\s|$)|.+", re.DOTALL)


def build_prompt(messages: Sequence[Message], describe: Callable[[Image], str]) -> list[Message]:
    """Return `messages` with images in words and with the persona first, for a language model.

    Args:
        messages: Any conversation.
        describe: Return what is in an image, in words.
    """
    persona = "\n\n".join(message.text for message in messages if message.role == "system")
    numbered: dict[str, int] = {}
    count = 0
    prompt = [system(_instructions(persona))]
    for message in messages:
        if message.role == "system":
            continue
        parts: list[str] = []
        for part in message.parts:
            if isinstance(part, Image):
                count += 1
                first = numbered.setdefault(part.digest, count)
                seen = describe(part) if first == count else f"The same picture as image {first}."
                parts.append(_fence(count, seen))
            elif part == IMAGE_PLACEHOLDER:
                count += 1
                parts.append(_fence(count, "This picture is no longer in view."))
            elif isinstance(part, Text):
                parts.append(_escape_fence(part.text))
        rest = tuple(part for part in message.parts if not isinstance(part, Image | Text))
        prompt.append(Message(message.role, (Text("\n".join(parts)), *rest), message.interrupted))
    return prompt


def _fence(number: int, seen: str) -> str:
    """Return what is in an image within its fence. Words read in it cannot close that, or end the user's turn."""
    seen = _TEMPLATE_TOKEN.sub(lambda found: "‹" if found[0] == "<" else "›", _escape_fence(clean_text(seen)))
    return f"<image {number}>\n{seen}\n</image {number}>"


def _escape_fence(text: str) -> str:
    return _FENCE.sub("‹", text)


def _instructions(persona: str) -> str:
    persona = persona.strip() or DEFAULT_PERSONA
    return f"{persona}\n\n{_reminder(persona)}"


def _reminder(persona: str) -> str:
    first = _SENTENCE.match(persona)
    who = first[0].strip() if first else persona
    if len(who) > _MAX_REPEATED:
        return "Stay in this role."
    return f"Stay in this role: {who}"
