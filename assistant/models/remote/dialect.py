"""Differences between servers in the API and the parameters that they accept, learned from their refusals.

    request ─▶ 400: "use 'max_completion_tokens' instead" ─▶ Dialect.adapted ─▶ request in the words of this server
            ─▶ 404, or "use /v1/responses"                ─▶ Dialect.with_responses

Every step leaves something out or renames it, so that a server which refuses everything is asked a few times at most.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from assistant.models.remote.chunks import Chunk, parse_chunk
from assistant.models.remote.http_errors import find_message
from assistant.models.remote.json_values import as_dict, as_list, as_text, parse_json
from assistant.models.remote.responses_api import LIMIT_NAME, OWN_PARAMETERS, ResponseEvents, to_responses
from assistant.models.remote.retries import ServerError

_OLD_LIMIT, _NEW_LIMIT = "max_tokens", "max_completion_tokens"
# What follows when a server refuses the name of the limit, or wants another one.
_NEXT_LIMIT = {_OLD_LIMIT: _NEW_LIMIT, _NEW_LIMIT: "", LIMIT_NAME: "", "": ""}
_REPETITION = ("repetition_penalty", "repeat_penalty")
_SAID_AS = {"include_usage": "stream_options", "enable_thinking": "chat_template_kwargs"}
# Stop strings are not among them: `replies` ends the reply where the server does not.
_MEANING = {
    "seed": "the seed",
    "temperature": "the temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    **dict.fromkeys(_REPETITION, "the repetition penalty"),
    "presence_penalty": "the presence penalty",
}
# A server that refuses these may reason all the same. The reasoning is not shown then.
_NO_REASONING = ("chat_template_kwargs", "reasoning_effort")
_OPTIONAL = ("stream_options", "stop", *_NO_REASONING, *_MEANING)

_UNSUPPORTED = re.compile(
    r"unsupported|not support|unknown|unrecogni[sz]ed|unexpected|extra|not (?:permitted|allowed)|deprecated|"
    r"only the default|no such|invalid (?:param|arg|field)",
    re.IGNORECASE,
)
_SOME_PARAMETER = re.compile(
    r"\b(?:extra|unknown|unrecogni[sz]ed|unexpected|unsupported)\s+(?:\w+\s+){0,2}(?:param|arg|field|input|propert|key)",
    re.IGNORECASE,
)
# Zero for an error that comes as an event.
_INVALID_REQUEST = frozenset({0, 400, 422})
_NO_ENDPOINT = frozenset({404, 405, 501})
_NAMES_RESPONSES = re.compile(r"/responses\b|\bresponses[ -](?:api|endpoint)\b", re.IGNORECASE)
_MAX_ADAPTATIONS = 10
_LARGEST = re.compile(r"(?:at most|maximum (?:value )?(?:of|is)|less than or equal to) (\d{1,9})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """Parameters of a request as one server wants them.

    Attributes:
        limit_name: Name of the limit of the reply; empty if the server accepts none.
        largest_limit: Largest limit that it accepts; 0 if any.
        omitted: Names of optional parameters that it refuses.
        opens_reasoning: True if its replies begin with reasoning that has the closing tag alone.
        uses_responses: True if it is asked through `/responses` in place of `/chat/completions`.
    """

    limit_name: str = _OLD_LIMIT
    largest_limit: int = 0
    omitted: frozenset[str] = field(default=frozenset())
    opens_reasoning: bool = False
    uses_responses: bool = False

    @property
    def path(self) -> str:
        """Path of the API below the server's address."""
        return "/responses" if self.uses_responses else "/chat/completions"

    def event_parser(self) -> Callable[[str, str], Chunk]:
        """Return what parses the data and the type of each event of one reply."""
        return ResponseEvents().parse if self.uses_responses else parse_chunk

    def with_responses(self) -> "Dialect":
        """Return this dialect for the other API."""
        return replace(self, uses_responses=True, limit_name=LIMIT_NAME)

    def apply(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return `request` in this dialect."""
        result = {name: value for name, value in request.items() if name not in self.omitted and name != _OLD_LIMIT}
        if self.limit_name:
            limit = request[_OLD_LIMIT]
            result[self.limit_name] = min(limit, self.largest_limit) if self.largest_limit else limit
        return to_responses(result, self.omitted) if self.uses_responses else result

    def adapted(self, body: bytes, request: dict[str, Any]) -> "Dialect | None":
        """Return the dialect to try next after the error `body`, or None if the error is about something else.

        Args:
            body: Body of the response.
            request: The request, as it was before `apply`.
        """
        text = body.decode(errors="replace")
        unsupported = _UNSUPPORTED.search(text) is not None
        for mentioned in _mentions(text, self._optional):
            if (changed := self._without(mentioned, text, request, unsupported=unsupported)) not in (None, self):
                return changed
        if _SOME_PARAMETER.search(text) and not {*_mentions_in(text, self._optional)}:
            everything = self.omitted | {*self._optional}
            return replace(self, omitted=everything) if everything != self.omitted else None
        return None

    def notices(self, earlier: "Dialect", request: dict[str, Any]) -> Iterator[str]:
        """Yield a sentence for each choice of the user that this dialect leaves out and `earlier` did not."""
        for name in sorted(_lost(self.omitted) - _lost(earlier.omitted)):
            if request.get(name):
                yield f"The server does not accept {_MEANING[name]}: it is left out of the requests."

    @property
    def _optional(self) -> tuple[str, ...]:
        return (*_OPTIONAL, *(OWN_PARAMETERS if self.uses_responses else ()))

    def _without(
        self, mentioned: set[str], text: str, request: dict[str, Any], *, unsupported: bool
    ) -> "Dialect | None":
        """Return this dialect without the parameters `mentioned`."""
        # A value that the user chose is dropped only if the parameter itself is refused.
        refused = {
            name
            for name in mentioned & {*self._optional}
            if unsupported or not request.get(name) or name not in _MEANING
        }
        sent = {*request, *OWN_PARAMETERS}
        result = replace(self, omitted=self.omitted | {name for name in refused if name in sent})
        if result != self:
            return result
        if not mentioned & {*_NEXT_LIMIT}:
            return None
        if (largest := _LARGEST.search(text)) and 0 < int(largest[1]) < (self.largest_limit or request[_OLD_LIMIT]):
            return replace(self, largest_limit=int(largest[1]))
        if unsupported or (_NEW_LIMIT in mentioned and self.limit_name == _OLD_LIMIT):
            return replace(self, limit_name=_NEXT_LIMIT[self.limit_name])
        return None


def _lost(omitted: frozenset[str]) -> frozenset[str]:
    """Return the choices of a user that do not reach the server, under one name each."""
    lost = omitted & {*_MEANING} - {*_REPETITION}
    return lost | {_REPETITION[0]} if omitted >= {*_REPETITION} else lost


class Negotiation:
    """The dialects that are tried for one request."""

    def __init__(self, dialect: Dialect, request: dict[str, Any]) -> None:
        """Begin with what is known of the server. `request` is what `Dialect.apply` is called with."""
        self.dialect = dialect
        """The dialect to try next."""
        self._request = request
        self._adaptations = 0
        self._chat_error: ServerError | None = None
        """Error of chat completions for which responses are tried, without a word of the server about them."""

    def adapt(self, error: ServerError) -> bool:
        """Choose the dialect to try after `error`. Return False if the error is about something else.

        Raises the error of chat completions if the server has no responses either.
        """
        adapted = self._adapted(error) if self._adaptations < _MAX_ADAPTATIONS else None
        if adapted is None:
            if self._chat_error is not None and error.status and not error.retryable:
                raise self._chat_error from error
            return False
        self.dialect = adapted
        self._adaptations += 1
        return True

    def _adapted(self, error: ServerError) -> Dialect | None:
        if not self.dialect.uses_responses:
            text = error.body.decode(errors="replace")
            if _NAMES_RESPONSES.search(text) and not error.retryable:
                return self.dialect.with_responses()
            if error.status in _NO_ENDPOINT and self._request["model"] not in find_message(error.body):
                self._chat_error = error
                return self.dialect.with_responses()
        if error.status not in _INVALID_REQUEST or not error.body:
            return None
        return self.dialect.adapted(error.body, self._request)


def _mentions(text: str, optional: tuple[str, ...]) -> Iterator[set[str]]:
    """Yield the parameters that an error names, from the most to the least reliable place."""
    yield {name for pointer in _pointers(text) for name in _mentions_in(pointer, optional)}
    # A body may repeat the whole request, so the sentence alone comes first.
    yield {*_mentions_in(text[:400], optional)}
    yield {*_mentions_in(text, optional)}


def _mentions_in(text: str, optional: tuple[str, ...]) -> Iterator[str]:
    for name in (*filter(None, _NEXT_LIMIT), *optional, *_SAID_AS):
        if re.search(rf"\b{name}\b", text):
            yield _SAID_AS.get(name, name)


def _pointers(text: str) -> Iterator[str]:
    """Yield what the fields `param` and `loc` of an error contain, at any depth."""
    try:
        pending = [parse_json(text)]
    except ValueError:
        return
    for _ in range(100):
        if not pending:
            return
        value = pending.pop()
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            try:
                value = parse_json(value)
            except ValueError:
                continue
        pending += as_list(value)
        found = as_dict(value)
        yield as_text(found.get("param"))
        yield " ".join(map(as_text, as_list(found.get("loc"))))
        pending += [each for name, each in found.items() if name in ("error", "detail", "message", "errors")]
