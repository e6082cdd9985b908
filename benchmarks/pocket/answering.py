"""Ask a model as the chat does: a skill answers where the chat would let it, and the model answers all else."""

import threading
import time

from assistant.events import Usage
from assistant.messages import Message, assistant, system, user
from assistant.models.base import ChatModel, GenerationOptions
from assistant.models.replies import stream_reply
from benchmarks.pocket.cases import Case, Record
from skills.slash_commands import SlashCommandRouter


def answer(model: ChatModel, case: Case, options: GenerationOptions) -> Record:
    """Hold the conversation of a case."""
    started = time.monotonic()
    messages: list[Message] = []
    replies: list[str] = []
    reasons: list[str] = []
    for number, question in enumerate(case.questions):
        message = user(question, *([case.image] if case.image and not number else []))
        text, usage = _turn(model, case.system, messages, message, options)
        messages += [message, assistant(text)]
        replies.append(text)
        reasons.append(usage.finish_reason)
    seconds = round(time.monotonic() - started, 2)
    return Record(case.key, case.questions, case.expected, tuple(replies), tuple(reasons), seconds)


def _turn(
    model: ChatModel, instructions: str, earlier: list[Message], message: Message, options: GenerationOptions
) -> tuple[str, Usage]:
    stop = threading.Event()
    responder = SlashCommandRouter(lambda: model)(message, earlier)
    prompt = [*([system(instructions)] if instructions else []), *earlier, message]
    stream = stream_reply(model, prompt, options, stop) if responder is None else responder(stop)
    chunks: list[str] = []
    while True:
        try:
            item = next(stream)
        except StopIteration as end:
            return "".join(chunks), end.value
        if isinstance(item, str):
            chunks.append(item)
