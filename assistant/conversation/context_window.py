"""Fit a conversation into the context of the model, by leaving out its oldest images and turns.

    prompt too long ─▶ trim_context: replace the oldest images by a placeholder ─▶ still too long: drop the oldest turns

Only prompts are trimmed. The conversation keeps every message.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from assistant.messages import IMAGE_PLACEHOLDER, Image, Message, Reasoning, system


@dataclass(frozen=True)
class ContextTrim:
    """Numbers of messages, counted from the oldest, that prompts leave out or shorten.

    Attributes:
        messages: Number of messages that are left out.
        without_images: Number of messages whose images are replaced by a placeholder.
    """

    messages: int = 0
    without_images: int = 0


class ContextWindow:
    """Build the prompts of one conversation, and remember what no longer fits into them."""

    def __init__(self, instructions: Message | None = None) -> None:
        self.trim = ContextTrim()
        self.instructions = instructions
        """System message of every prompt, or None."""
        self._reported = ContextTrim()

    def prompt(self, earlier: Sequence[Message], message: Message, turn_instructions: str = "") -> list[Message]:
        """Return the messages for the model.

        Args:
            earlier: Complete conversation before `message`.
            message: Message to answer.
            turn_instructions: Added to the system message. In the user's message a small model takes them for the
                user's words and answers them.
        """
        instructions = [self.instructions] if self.instructions else []
        if turn_instructions:
            instructions = [system("\n".join([*(each.text for each in instructions), turn_instructions]))]
        return [*instructions, *_trimmed(earlier, self.trim), message]

    def shrink(self, earlier: Sequence[Message], message: Message) -> bool:
        """Leave more out of the prompts from here on. Return False if nothing is left to leave out."""
        trim = trim_context(earlier, message, self.trim)
        if trim is None:
            return False
        self.trim = trim
        return True

    def take_notice(self, earlier: Sequence[Message]) -> str | None:
        """Return a notice for the user if something was left out since the last notice."""
        if self.trim == self._reported:
            return None
        self._reported = self.trim
        return trim_notice(earlier, self.trim)

    def reset(self) -> None:
        """Show everything again: another model may have a longer context."""
        self.trim = self._reported = ContextTrim()


def trim_context(earlier: Sequence[Message], message: Message, trim: ContextTrim) -> ContextTrim | None:
    """Return a trim that leaves out more than `trim`, or None if nothing is left to leave out.

    Images go first, but the latest one in the prompt stays; then turns go. Each step removes a quarter of what is
    there and at least one: every step costs a prefill of all that remains, so fewer, larger steps are cheaper.
    """
    start = max(trim.messages, trim.without_images)
    with_images = [index for index, each in enumerate(earlier) if index >= start and each.images]
    if removable := with_images if message.images else with_images[:-1]:
        return replace(trim, without_images=removable[max(1, len(removable) // 4) - 1] + 1)
    turns = (len(earlier) - trim.messages) // 2
    return replace(trim, messages=trim.messages + 2 * max(1, turns // 4)) if turns else None


def trim_notice(earlier: Sequence[Message], trim: ContextTrim) -> str:
    """Return a sentence that tells the user what `trim` leaves out of the prompt."""
    parts = []
    if turns := trim.messages // 2:
        which = "oldest turn is" if turns == 1 else f"oldest {turns} turns are"
        parts.append(f"its {which} left out from here on")
    if images := sum(len(message.images) for message in earlier[trim.messages : trim.without_images]):
        which = "oldest picture is" if images == 1 else f"oldest {images} pictures are"
        parts.append(f"its {which} not looked at any more")
    return f"The conversation no longer fits the model: {', and '.join(parts)}."


def _trimmed(earlier: Sequence[Message], trim: ContextTrim) -> list[Message]:
    return [
        _without_images(message) if index < trim.without_images else _without_reasoning(message)
        for index, message in enumerate(earlier)
        if index >= trim.messages
    ]


def _without_images(message: Message) -> Message:
    message = _without_reasoning(message)
    parts = tuple(IMAGE_PLACEHOLDER if isinstance(part, Image) else part for part in message.parts)
    return replace(message, parts=parts)


def _without_reasoning(message: Message) -> Message:
    """Leave out what a model thought: it is long, and models are trained without that of earlier turns."""
    if not message.reasoning:
        return message
    return replace(message, parts=tuple(part for part in message.parts if not isinstance(part, Reasoning)))
