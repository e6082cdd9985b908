"""The events of a streamed reply: text, reasoning, refusals, calls of tools, the end, and errors."""

from dataclasses import dataclass
from typing import Any

from assistant.events import FinishReason
from assistant.models.remote.json_values import as_count, as_dict, as_list, as_text, parse_json

END_OF_STREAM = "[DONE]"

# In the words of OpenAI, Anthropic, Mistral and Google; every other word means that the model was done.
_FINISH_REASONS: dict[str, FinishReason] = {
    **dict.fromkeys(("length", "max_tokens", "model_length", "max_output_tokens"), "length"),
    **dict.fromkeys(("tool_calls", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(("content_filter", "safety", "recitation", "blocklist", "prohibited_content"), "content_filter"),
    "refusal": "refusal",
}
_ABSENT = frozenset({"", "null", "none"})


@dataclass(frozen=True)
class ServerUsage:
    """Token counts of the server; None where it reports none."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True)
class Chunk:
    """One event of a streamed reply.

    Attributes:
        text: New text of the reply; often empty.
        reasoning: New text of the reasoning before it.
        refusal: New text of a refusal.
        tool_calls: Pieces of calls of tools, as the server sent them.
        finish_reason: Reason why the reply ends with this event; None if it goes on.
        usage: Token counts.
        failed: True if this event reports an error that ends the reply.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()
    finish_reason: FinishReason | None = None
    usage: ServerUsage | None = None
    failed: bool = False

    @property
    def has_content(self) -> bool:
        """False for an event that only keeps the connection open."""
        return bool(self.text or self.reasoning or self.refusal or self.tool_calls or self.finish_reason)


def parse_chunk(data: str, event: str = "message") -> Chunk:
    """Parse the data of an event of type `event`.

    Raises:
        ValueError: It is no JSON object, or its text is something else than text.
    """
    value = parse_json(data)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - callers expect one type
    if value.get("error") or value.get("object") == "error" or event == "error":
        return Chunk(failed=True)
    if "choices" not in value and value.get("detail"):
        return Chunk(failed=True)
    choice = _first_choice(value.get("choices"))
    # A server that does not stream sends the whole message at once.
    delta = as_dict(choice.get("delta")) or as_dict(choice.get("message"))
    finish_reason = as_text(choice.get("finish_reason")).lower()
    if finish_reason == "error":
        return Chunk(failed=True)
    text, reasoning_parts = _read_content(delta.get("content"))
    return Chunk(
        text=text,
        reasoning=as_text(delta.get("reasoning_content")) or as_text(delta.get("reasoning")) or reasoning_parts,
        refusal=as_text(delta.get("refusal")),
        tool_calls=tuple(_tool_calls(delta)),
        finish_reason=None if finish_reason in _ABSENT else _FINISH_REASONS.get(finish_reason, "stop"),
        usage=_read_usage(value.get("usage")) or _read_usage(choice.get("usage")),
    )


def _first_choice(choices: Any) -> dict[str, Any]:
    """Return the first of the replies: one was requested, and others would be mixed into it."""
    return next((each for each in map(as_dict, as_list(choices)) if each and not as_count(each.get("index"))), {})


def _read_content(content: Any) -> tuple[str, str]:
    """Return text and reasoning in the content of a message: a string, or a list of parts."""
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list | dict):
        raise ValueError("no text")  # noqa: TRY004 - callers expect one type
    texts: list[str] = []
    reasoning: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            texts.append(part)
        elif as_dict(part).get("type") in ("thinking", "reasoning"):
            thought = part.get("thinking") or part.get("text")
            reasoning.append(
                as_text(thought) or "".join(as_text(as_dict(each).get("text")) for each in as_list(thought))
            )
        else:
            texts.append(as_text(as_dict(part).get("text")))
    return "".join(texts), "".join(reasoning)


def _tool_calls(delta: dict[str, Any]) -> list[dict[str, Any]]:
    calls = [*filter(None, map(as_dict, as_list(delta.get("tool_calls"))))]
    # The format before tools.
    function = as_dict(delta.get("function_call"))
    return [*calls, {"index": 0, "function": function}] if function else calls


def _read_usage(value: Any) -> ServerUsage | None:
    usage = as_dict(value)
    read = ServerUsage(
        as_count(usage.get("prompt_tokens")),
        as_count(usage.get("completion_tokens")),
        as_count(as_dict(usage.get("prompt_tokens_details")).get("cached_tokens")),
        as_count(as_dict(usage.get("completion_tokens_details")).get("reasoning_tokens")),
    )
    return None if read == ServerUsage() else read
