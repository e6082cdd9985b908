"""Check a chat template before llama.cpp runs it: it is a program that came with the model.

llama.cpp limits neither its time nor its memory, and cannot be interrupted. So it is run here first, in jinja's sandbox
with a limit of time. What else is wrong with it is left to llama.cpp, which knows more dialects.
"""

from contextlib import suppress
from functools import lru_cache

from assistant.errors import ModelError
from assistant.models.local.template_limits import TemplateLimitError, check_numbers, time_limit
from assistant.models.think_tags import ends_with_opening_tag

_ROLES = ("system", "user", "assistant", "user")
_FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)


def check_template(template: str, model_name: str) -> None:
    """Raise `ModelError` if there is no template, or if it runs for ever or computes with huge numbers."""
    if not template.strip():
        raise ModelError(
            f"{model_name} has no chat template, so it cannot hold a conversation: choose an instruct model."
        )
    try:
        check_numbers(template)
        _render(template)
    except TemplateLimitError as error:
        raise ModelError(f"The chat template of {model_name} is refused: {error}.") from error


@lru_cache(16)
def opens_reasoning(template: str, *, reasoning: bool) -> bool:
    """Return True if a checked template writes the opening tag of the reasoning, so that a reply begins inside it.

    llama.cpp finds that out for the templates that it knows.

    Args:
        template: The template.
        reasoning: False if a reply without reasoning is asked for.
    """
    # What a model answers first may take longer than what it was checked with.
    with suppress(TemplateLimitError):
        return ends_with_opening_tag(_render(template, **({} if reasoning else {"enable_thinking": False})))
    return False


def _render(template: str, **variables: bool) -> str:
    """Return a prompt for a short conversation, empty if the template fails. Raises `TemplateLimitError`."""
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    messages = [{"role": role, "content": "Hello"} for role in _ROLES]
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    try:
        with suppress(TemplateError, *_FAULTS), time_limit():
            return environment.from_string(template).render(messages=messages, add_generation_prompt=True, **variables)
    except RecursionError as error:
        # llama.cpp has no limit for it, and ends the process.
        raise TemplateLimitError("it calls itself without end") from error
    return ""
