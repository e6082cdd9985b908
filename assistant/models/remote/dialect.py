"""Differences between servers in the parameters that they accept, learned from their refusals.

    request ─▶ 400: "use 'max_completion_tokens' instead" ─▶ Dialect.adapted ─▶ request in the words of this server

Every step leaves something out or renames it, so that a server which refuses everything is asked a few times at most.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from assistant.models.remote.json_values import as_dict, as_list, as_text, parse_json

_OLD_LIMIT, _NEW_LIMIT = "max_tokens", "max_completion_tokens"
_REPETITION = ("repetition_penalty", "repeat_penalty")
_SAID_AS = {"include_usage": "stream_options"}
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
_OPTIONAL = ("stream_options", "stop", *_MEANING)

_UNSUPPORTED = re.compile(
    r"unsupported|not support|unknown|unrecogni[sz]ed|unexpected|extra|not (?:permitted|allowed)|deprecated|"
    r"only the default|no such|invalid (?:param|arg|field)",
    re.IGNORECASE,
)
_SOME_PARAMETER = re.compile(
    r"\b(?:extra|unknown|unrecogni[sz]ed|unexpected|unsupported)\s+(?:\w+\s+){0,2}(?:param|arg|field|input|propert|key)",
    re.IGNORECASE,
)
_LARGEST = re.compile(r"(?:at most|maximum (?:value )?(?:of|is)|less than or equal to) (\d{1,9})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """Parameters of a request as one server wants them.

    Attributes:
        limit_name: Name of the limit of the reply; empty if the server accepts none.
        largest_limit: Largest limit that it accepts; 0 if any.
        omitted: Names of optional parameters that it refuses.
        opens_reasoning: True if its replies begin with reasoning that has the closing tag alone.
    """

    limit_name: str = _OLD_LIMIT
    largest_limit: int = 0
    omitted: frozenset[str] = field(default=frozenset())
    opens_reasoning: bool = False

    def apply(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return `request` in this dialect."""
        result = {name: value for name, value in request.items() if name not in self.omitted and name != _OLD_LIMIT}
        if self.limit_name:
            limit = request[_OLD_LIMIT]
            result[self.limit_name] = min(limit, self.largest_limit) if self.largest_limit else limit
        return result

    def adapted(self, body: bytes, request: dict[str, Any]) -> "Dialect | None":
        """Return the dialect to try next after the error `body`, or None if the error is about something else.

        Args:
            body: Body of the response.
            request: The request, as it was before `apply`.
        """
        text = body.decode(errors="replace")
        unsupported = _UNSUPPORTED.search(text) is not None
        for mentioned in _mentions(text):
            if (changed := self._without(mentioned, text, request, unsupported=unsupported)) not in (None, self):
                return changed
        if _SOME_PARAMETER.search(text) and not {*_mentions_in(text)}:
            everything = self.omitted | {*_OPTIONAL}
            return replace(self, omitted=everything) if everything != self.omitted else None
        return None

    def notices(self, earlier: "Dialect", request: dict[str, Any]) -> Iterator[str]:
        """Yield a sentence for each choice of the user that this dialect leaves out and `earlier` did not."""
        for name in sorted(_lost(self.omitted) - _lost(earlier.omitted)):
            if request.get(name):
                yield f"The server does not accept {_MEANING[name]}: it is left out of the requests."

    def _without(
        self, mentioned: set[str], text: str, request: dict[str, Any], *, unsupported: bool
    ) -> "Dialect | None":
        """Return this dialect without the parameters `mentioned`."""
        # A value that the user chose is dropped only if the parameter itself is refused.
        refused = {
            name for name in mentioned & {*_OPTIONAL} if unsupported or not request.get(name) or name not in _MEANING
        }
        result = replace(self, omitted=self.omitted | {name for name in refused if name in request})
        if result != self:
            return result
        if not mentioned & {_OLD_LIMIT, _NEW_LIMIT}:
            return None
        if (largest := _LARGEST.search(text)) and 0 < int(largest[1]) < (self.largest_limit or request[_OLD_LIMIT]):
            return replace(self, largest_limit=int(largest[1]))
        if _NEW_LIMIT in mentioned or unsupported:
            following = {_OLD_LIMIT: _NEW_LIMIT, _NEW_LIMIT: "" if unsupported else _NEW_LIMIT, "": ""}
            return replace(self, limit_name=following[self.limit_name])
        return None


def _lost(omitted: frozenset[str]) -> frozenset[str]:
    """Return the choices of a user that do not reach the server, under one name each."""
    lost = omitted & {*_MEANING} - {*_REPETITION}
    return lost | {_REPETITION[0]} if omitted >= {*_REPETITION} else lost


def _mentions(text: str) -> Iterator[set[str]]:
    """Yield the parameters that an error names, from the most to the least reliable place."""
    yield set().union(*map(_mentions_in, _pointers(text)))
    # A body may repeat the whole request, so the sentence alone comes first.
    yield set(_mentions_in(text[:400]))
    yield set(_mentions_in(text))


def _mentions_in(text: str) -> Iterator[str]:
    for name in (_OLD_LIMIT, _NEW_LIMIT, *_OPTIONAL, *_SAID_AS):
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
