"""Check a chat template before llama.cpp runs it: it is a program that came with the model.

llama.cpp limits neither its time nor its memory, and cannot be interrupted. So it is run here first, in jinja's sandbox
with a limit of time. What else is wrong with it is left to llama.cpp, which knows more dialects.
"""

from contextlib import suppress

from assistant.errors import ModelError
from assistant.models.local.template_limits import TemplateLimitError, check_numbers, time_limit

_ROLES = ("system", "user", "assistant", "user")
_FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


def check_template(template: str, model_name: str) -> None:
    """Raise `ModelError` if there is no template, or if it runs for ever or computes with huge numbers."""
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if not template.strip():
        raise ModelError(
            f"{model_name} has no chat template, so it cannot hold a conversation: choose an instruct model."
        )
    messages = [{"role": role, "content": "Hello"} for role in _ROLES]
    try:
        check_numbers(template)
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        with suppress(TemplateError, *_FAULTS), time_limit():
            environment.from_string(template).render(messages=messages, add_generation_prompt=True)
    except TemplateLimitError as error:
        raise ModelError(f"The chat template of {model_name} is refused: {error}.") from error
