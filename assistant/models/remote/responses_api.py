"""OpenAI's responses API, for models that a server does not offer through its chat completions.

    request for chat completions ─▶ to_responses ─▶ POST /responses ─▶ events ─▶ ResponseEvents.parse ─▶ `Chunk`

Nothing is stored on the server: each request has the whole conversation, as with chat completions.
"""

from typing import Any

from assistant.events import FinishReason
from assistant.models.remote.chunks import Chunk, ServerUsage
from assistant.models.remote.json_values import as_count, as_dict, as_list, as_text, parse_json

LIMIT_NAME = "max_output_tokens"
OWN_PARAMETERS = ("reasoning", "store")
"""Optional parameters of this API alone, which a server may refuse."""

_LEAST_LIMIT = 16
"""OpenAI refuses a smaller limit. The reply is cut to the one asked for in any case."""
# It has no stop strings, at which `replies` ends a reply anyway, and reports its token counts unasked.
_NOT_OFFERED = frozenset({"messages", "stream_options", "stop", "reasoning_effort"})
_INCOMPLETE: dict[str, FinishReason] = {"content_filter": "content_filter"}


def to_responses(request: dict[str, Any], omitted: frozenset[str]) -> dict[str, Any]:
    """Return a request for chat completions, with its limit under `LIMIT_NAME`, as one for responses."""
    effort = request.get("reasoning_effort")
    own = {"store": False, "reasoning": {"effort": effort} if effort else {"summary": "auto"}}
    result = {
        **{name: value for name, value in request.items() if name not in _NOT_OFFERED},
        "input": [_to_item(message) for message in request["messages"]],
        **{name: value for name, value in own.items() if name not in omitted},
    }
    if LIMIT_NAME in result:
        result[LIMIT_NAME] = max(_LEAST_LIMIT, result[LIMIT_NAME])
    return result


def _to_item(message: dict[str, Any]) -> dict[str, Any]:
    role, content = message["role"], message["content"]
    if role == "assistant":
        # The long form: llama.cpp knows no other.
        parts = [{"type": "output_text", "text": content, "annotations": []}]
        return {"type": "message", "role": role, "content": parts}
    return {"role": role, "content": content if isinstance(content, str) else [*map(_to_part, content)]}


def _to_part(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "image_url":
        return {"type": "input_image", "image_url": part["image_url"]["url"], "detail": "auto"}
    return {"type": "input_text", "text": part["text"]}


class ResponseEvents:
    """Reads the events of one response.

    Servers send text in pieces and again as a whole. Whatever kind of content came in no pieces is taken from the whole
    response at its end, which a server that does not stream sends alone.
    """

    def __init__(self) -> None:
        self._streamed: set[str] = set()

    def parse(self, data: str, event: str = "message") -> Chunk:
        """Parse the data of an event of type `event`. Raises `ValueError` if it is no JSON object."""
        value = parse_json(data)
        if not isinstance(value, dict):
            raise ValueError("no JSON object")  # noqa: TRY004 - callers expect one type
        kind = as_text(value.get("type")) or event
        if value.get("object") == "response":
            return self._end(value)
        if value.get("error") or value.get("detail") or kind in ("error", "response.failed", "response.cancelled"):
            return Chunk(failed=True)
        if kind in ("response.completed", "response.incomplete"):
            return self._end(as_dict(value.get("response")))
        return self._piece(kind, value)

    def _piece(self, kind: str, value: dict[str, Any]) -> Chunk:
        piece = as_text(value.get("delta"))
        match kind.removeprefix("response."):
            case "output_text.delta":
                return self._text(piece)
            case "refusal.delta":
                self._streamed.add("refusal")
                return Chunk(refusal=piece)
            case "reasoning_summary_text.delta" | "reasoning_text.delta" | "reasoning.delta":
                self._streamed.add("reasoning")
                return Chunk(reasoning=piece)
            case "reasoning_summary_part.added" if as_count(value.get("summary_index")):
                return Chunk(reasoning="\n\n")
            case "output_item.done" if call := _call(value.get("item")):
                # Whole calls only: they are used once the reply is complete.
                self._streamed.add("calls")
                return Chunk(tool_calls=(call,))
        return Chunk()

    def _text(self, text: str) -> Chunk:
        self._streamed.add("text")
        return Chunk(text=text)

    def _end(self, response: dict[str, Any]) -> Chunk:
        """Return the end of a response, with what has not come in pieces."""
        status = as_text(response.get("status"))
        if response.get("error") or status in ("failed", "cancelled"):
            return Chunk(failed=True)
        incomplete = as_text(as_dict(response.get("incomplete_details")).get("reason"))
        is_cut = status == "incomplete" or incomplete
        items = [*map(as_dict, as_list(response.get("output")))]
        parts = [as_dict(part) for item in items for part in as_list(item.get("content"))]
        summaries = [as_dict(part) for item in items for part in as_list(item.get("summary"))]
        reasoning = _joined(summaries, "summary_text", "text") or _joined(parts, "reasoning_text", "text")
        return Chunk(
            text="" if "text" in self._streamed else _joined(parts, "output_text", "text"),
            reasoning="" if "reasoning" in self._streamed else reasoning,
            refusal="" if "refusal" in self._streamed else _joined(parts, "refusal", "refusal"),
            tool_calls=() if "calls" in self._streamed else tuple(filter(None, map(_call, items))),
            finish_reason=_INCOMPLETE.get(incomplete, "length") if is_cut else "stop",
            usage=_read_usage(response.get("usage")),
        )


def _joined(parts: list[dict[str, Any]], kind: str, field: str) -> str:
    return "".join(as_text(part.get(field)) for part in parts if part.get("type") == kind)


def _call(value: Any) -> dict[str, Any] | None:
    """Return a call of a tool as chat completions have it, or None for another item."""
    item = as_dict(value)
    if item.get("type") != "function_call":
        return None
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    return {"id": as_text(item.get("call_id")) or item.get("id"), "function": function}


def _read_usage(value: Any) -> ServerUsage | None:
    usage = as_dict(value)
    read = ServerUsage(
        as_count(usage.get("input_tokens")),
        as_count(usage.get("output_tokens")),
        as_count(as_dict(usage.get("input_tokens_details")).get("cached_tokens")),
        as_count(as_dict(usage.get("output_tokens_details")).get("reasoning_tokens")),
    )
    return None if read == ServerUsage() else read
