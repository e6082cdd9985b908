"""Read the reply of a model to its end. A reply without text is an error, whatever the backend.

    ChatModel.stream ─▶ stream_reply ─┬▶ text, as `reply_text` lets it through: up to a stop string or a loop
                                      ├▶ reasoning, also what stands in the text between tags (`think_tags`)
                                      ├▶ calls of tools
                                      ├▶ usage, whose `finish_reason` may deserve a notice (`ending_notice`)
                                      └▶ EmptyReply: the reason why there is no text

Sessions and skills read replies through here and nowhere else.
"""

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from assistant.errors import EmptyReply
from assistant.events import TextWasReasoning, Usage
from assistant.messages import Message, Reasoning, ToolCall
from assistant.models.base import ChatModel, GenerationOptions, OpensReasoning, ReplyItem
from assistant.models.reply_text import ReplyText
from assistant.models.think_tags import ThinkTags
from assistant.text_cleaning import clean_line


def stream_reply(
    model: ChatModel, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
) -> Generator[ReplyItem, None, Usage]:
    """Yield the reply of `model` to `messages` and return the usage, like `ChatModel.stream`.

    A reply ends before the first of `options.stop`, and where it repeats itself. White space before the first visible
    character comes with that character, so that a reply without any yields no text. Raises `EmptyReply` for such a
    reply, unless `stop` is set; else as `ChatModel.stream` does.
    """
    reader = _ReplyReader(model, options, request=messages[-1].text if messages else "")
    model_stop = ModelStop(stop)
    with closing(model.stream(messages, options, model_stop)) as stream:
        while True:
            try:
                item = next(stream)
            except StopIteration as end:
                usage: Usage = end.value
                break
            yield from reader.push(item)
            if reader.ending:
                # The model ends within one token and returns the usage.
                model_stop.end_reply()
    yield from reader.flush()
    usage = reader.completed(usage)
    if not reader.has_text and reader.ending == "stop string":
        raise EmptyReply(f"The reply of {model.info.name} begins with a stop string", "choose another stop string")
    if not reader.has_text and not stop.is_set():
        raise empty_reply(model.info.name, usage, options)
    return usage


def stream_text(
    model: ChatModel, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
) -> Generator[str, None, Usage]:
    """Yield the text of the reply alone, like `stream_reply`: for skills, which show nothing before its end.

    Text that turns out to have been reasoning is left out: the text comes in one piece at the end.
    """
    texts: list[str] = []
    stream = stream_reply(model, messages, options, stop)
    while True:
        try:
            item = next(stream)
        except StopIteration as end:
            usage: Usage = end.value
            break
        _collect(texts, [item])
    yield "".join(texts)
    return usage


class WholeReply:
    """Reads a reply of which only the text is wanted, at its end, like `stream_text`. It may have none."""

    def __init__(self, model: ChatModel, messages: Sequence[Message], options: GenerationOptions) -> None:
        """Begin to read the reply of `model` to `messages`."""
        self._reader = _ReplyReader(model, options, request=messages[-1].text if messages else "")
        self._texts: list[str] = []

    def push(self, item: ReplyItem) -> bool:
        """Add an item. Return False if the reply ends here: what follows would be thrown away."""
        _collect(self._texts, self._reader.push(item))
        return not self._reader.ending

    def finish(self, usage: Usage) -> tuple[str, Usage]:
        """Return the text, and the usage of the model with what it cannot know."""
        _collect(self._texts, self._reader.flush())
        return "".join(self._texts), self._reader.completed(usage)


def _collect(texts: list[str], items: Iterable[ReplyItem]) -> None:
    """Add the text among `items` to `texts`, which are dropped if they turn out to be reasoning."""
    for item in items:
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, TextWasReasoning):
            texts.clear()


def only_text(items: Iterable[ReplyItem]) -> Iterator[str]:
    """Yield the text among the items of a model, such as one that does not reason."""
    return (item for item in items if isinstance(item, str))


class _ReplyReader:
    """Reads the items of one reply."""

    def __init__(self, model: ChatModel, options: GenerationOptions, *, request: str) -> None:
        self._model = model
        self._stop_strings = options.stop
        self._shows_reasoning = options.reasoning == "show"
        self._request = request
        self._tags = ThinkTags()
        self._text = ReplyText(options.stop, request=request)
        self._reasoning = ReplyText(request=request)
        self._reasoning_items = 0
        self._tools: list[str] = []

    @property
    def ending(self) -> str:
        """Reason to end the reply here, empty as long as it goes on."""
        return self._text.ending or self._reasoning.ending

    @property
    def has_text(self) -> bool:
        """True once the reply has a visible character."""
        return self._text.has_text

    def push(self, item: ReplyItem) -> Iterator[ReplyItem]:
        """Yield what is to be shown for an item of the model."""
        if isinstance(item, str):
            for each in self._tags.push(item):
                yield from self._show(each)
        else:
            yield from self._show(item)

    def flush(self) -> Iterator[ReplyItem]:
        """Yield what was held back, once the reply is complete."""
        for item in self._tags.flush():
            yield from self._show(item)
        if (reasoning := self._reasoning.flush()) and self._shows_reasoning:
            yield Reasoning(reasoning)
        if text := self._text.flush():
            yield text

    def completed(self, usage: Usage) -> Usage:
        """Return the usage of the model with what it cannot know."""
        if self.ending:
            usage = replace(usage, finish_reason="loop" if self.ending == "loop" else "stop", finish_detail="")
        elif self._tools and usage.finish_reason == "stop":
            usage = replace(usage, finish_reason="tool_calls")
        if self._tools and not usage.finish_detail:
            usage = replace(usage, finish_detail=", ".join(self._tools))
        if self._reasoning_items and not usage.reasoning_tokens:
            # Where the model does not tell them apart: a chunk is one token mostly.
            usage = replace(usage, reasoning_tokens=min(self._reasoning_items, usage.reply_tokens) or 1)
        return usage

    def _show(self, item: ReplyItem) -> Iterator[ReplyItem]:
        match item:
            case str():
                if text := self._text.push(item):
                    yield text
            case Reasoning():
                self._reasoning_items += 1
                if (reasoning := self._reasoning.push(item.text)) and self._shows_reasoning:
                    yield Reasoning(reasoning)
            case ToolCall():
                self._tools.append(item.name)
                yield item
            case TextWasReasoning():
                self._reasoning_items += 1
                self._text = ReplyText(self._stop_strings, request=self._request)
                if isinstance(self._model, OpensReasoning):
                    self._model.on_unopened_reasoning()
                yield item


def empty_reply(model_name: str, usage: Usage, options: GenerationOptions) -> EmptyReply:
    """Return the error for a reply without text, with the reason that `usage` gives."""
    detail = clean_line(usage.finish_detail)
    ask_again = "ask again, or choose another model"
    match usage.finish_reason:
        case "loop":
            return EmptyReply(f"{model_name} gave nothing but white space", ask_again)
        case "content_filter":
            return EmptyReply(f"The content filter of the server of {model_name} withheld the reply", "ask otherwise")
        case "refusal":
            return EmptyReply(f"{model_name} refused to answer{f' (“{detail}”)' if detail else ''}", "ask otherwise")
        case "tool_calls":
            called = f"a tool ({detail})" if detail else "a tool"
            return EmptyReply(f"{model_name} called {called} although none was offered, and gave no text", ask_again)
        case "length" if usage.reasoning_tokens:
            problem = f"{model_name} only reasoned, and gave no answer within {_tokens(options.max_tokens)}"
            return EmptyReply(problem, "raise --max-tokens, or choose --reasoning off")
        case "length":
            return EmptyReply(f"{model_name} gave no text within {_tokens(options.max_tokens)}", "raise --max-tokens")
    if usage.reasoning_tokens:
        return EmptyReply(f"{model_name} only reasoned, and gave no answer", "ask again, or raise --max-tokens")
    return EmptyReply(f"{model_name} gave no text", ask_again)


def ending_notice(usage: Usage, options: GenerationOptions) -> str | None:
    """Return a sentence for the user if a reply with text did not end as replies should, else None."""
    detail = clean_line(usage.finish_detail)
    match usage.finish_reason:
        case "loop":
            return (
                "The reply repeated itself and was ended: ask in other words, or set a repetition penalty, such as 1.1."
            )
        case "length" if 0 < usage.reply_tokens < options.max_tokens:
            # No number: a server that counts no tokens has its chunks counted, and a chunk may hold many.
            return (
                "The reply was cut off where the model or its server has its limit: start a new conversation, or "
                "raise --max-tokens, for longer replies."
            )
        case "length":
            return f"The reply was cut off at {_tokens(options.max_tokens)}: raise --max-tokens for longer replies."
        case "content_filter":
            return "The content filter of the server cut the reply off."
        case "refusal":
            return f"The model refused to go on{f': “{detail}”' if detail else ''}."
        case "tool_calls":
            return f"The model called a tool{f' ({detail})' if detail else ''}, although none was offered."
    return None


def _tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{number} tokens"


class ModelStop(threading.Event):
    """The caller's stop event as the model sees it: set as well once the reply has to end."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop

    def end_reply(self) -> None:
        """Let the model stop, on the thread that reads the reply."""
        super().set()

    def set(self) -> None:
        self._stop.set()

    def is_set(self) -> bool:
        return super().is_set() or self._stop.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        # Nobody waits while the reply is read, and nothing but reading ends it.
        return super().is_set() or self._stop.wait(timeout)
