"""Limits for chat templates, which are programs that come with a model.

Transformers runs them in jinja's sandbox: no files, no imports, no private attributes, ranges up to 100,000. It limits
neither time nor memory, and this module does: time while a template runs, numbers before it runs for the first time.
"""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

MAX_SECONDS = 5.0
"""Templates take milliseconds."""

_MAX_NUMBER = 10**6


class TemplateLimitError(Exception):
    """A template takes too long, or computes with numbers that no template needs."""


@contextmanager
def time_limit(seconds: float | None = None) -> Iterator[None]:
    """Raise `TemplateLimitError` out of what is called in the block after `seconds`, by default `MAX_SECONDS`."""
    end = time.monotonic() + (MAX_SECONDS if seconds is None else seconds)

    def check(frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG001 - Python calls it so
        if time.monotonic() > end:
            raise TemplateLimitError("it runs without end")
        return check

    # A trace function sees every line, of generated code as well. No signal and no other thread is needed.
    earlier = sys.gettrace()
    sys.settrace(check)
    try:
        yield
    finally:
        sys.settrace(earlier)


def check_numbers(template: str) -> None:
    """Raise `TemplateLimitError` if `template` computes powers, or with products or numbers above a million.

    A text that is repeated so often takes all memory in one step, which `time_limit` cannot interrupt.
    """
    from jinja2 import nodes
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    parsed = _parse(template, ImmutableSandboxedEnvironment(extensions=[loopcontrols]))
    if parsed is None:
        return
    if next(parsed.find_all(nodes.Pow), None) is not None:
        raise TemplateLimitError("it computes powers")
    for node in parsed.find_all((nodes.Const, nodes.Mul)):
        factors = [node] if isinstance(node, nodes.Const) else [*node.find_all(nodes.Const)]
        numbers = [abs(each.value) for each in factors if isinstance(each.value, int | float)]
        if not math.prod(numbers) <= _MAX_NUMBER:
            raise TemplateLimitError("it computes with numbers over a million")


def _parse(template: str, environment: Any) -> Any:
    """Return the parsed template, None if that is left to transformers: it knows tags of its own."""
    from jinja2 import TemplateError

    try:
        return environment.parse(template)
    except (TemplateError, RecursionError):
        return None
