"""Errors that a user can act on.

    ParleyError
    ├── ConfigError          an invalid setting, or settings that contradict each other
    ├── ModelError           a model cannot be fetched, loaded or run
    │   ├── EmptyReply       the reply has no text
    │   └── ContextOverflow  the prompt is longer than the context of the model
    │       └── OutOfMemory  or needs more memory than there is
    ├── AttachmentError      an image cannot be read, or is refused
    ├── SkillError           a skill fails on this input
    │   └── SkillUsageError  a skill is called with the wrong inputs
    ├── VoiceError           audio devices, speech recognition or synthesis fail
    ├── HistoryError         conversations cannot be read or written
    └── MissingExtraError    an optional package or a system library is missing

Each message says in one sentence what happened, to what, and what to do next. The command line prints it and exits
with 1, or with 2 for `ConfigError` and `SkillUsageError`. The terminal app shows it as a notice. Neither shows a
traceback for one of these errors.
"""

from http import HTTPStatus

from assistant.text_cleaning import clean_line

_MAX_QUOTED = 300


class ParleyError(Exception):
    """Base class of every error that Parley raises on purpose."""


class ConfigError(ParleyError):
    """A setting has an invalid value, or two contradict each other."""


class ModelError(ParleyError):
    """A model cannot be fetched, loaded or run."""


class EmptyReply(ModelError):
    """A reply has no text: the model only reasoned, refused, called a tool, or was filtered.

    Attributes:
        problem: Reason, as a sentence without a full stop.
    """

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(f"{problem}: {advice}.")
        self.problem = problem


class ContextOverflow(ModelError):
    """The prompt is longer than the context of the model.

    Attributes:
        prompt_tokens: Length of the prompt, 0 if unknown.
        limit: Longest prompt that leaves room for a reply, 0 if unknown.
    """

    def __init__(self, prompt_tokens: int, limit: int) -> None:
        known = prompt_tokens and limit
        super().__init__(
            (
                f"The prompt takes {prompt_tokens} tokens and the model has room for {limit}"
                if known
                else "The prompt is longer than the model has room for"
            )
            + ": shorten it or attach fewer pictures."
        )
        self.prompt_tokens = prompt_tokens
        self.limit = limit


class OutOfMemory(ContextOverflow):
    """There is not enough memory for this prompt, after `model_name` has freed its caches."""

    def __init__(self, model_name: str) -> None:
        super().__init__(0, 0)
        self.args = (f"{model_name} ran out of memory: shorten the conversation or attach fewer pictures.",)


class AttachmentError(ParleyError):
    """An image cannot be read or fetched, or is refused."""


class SkillError(ParleyError):
    """A skill fails on this input."""


class SkillUsageError(SkillError):
    """A skill is called with the wrong inputs, whatever their content."""


class VoiceError(ParleyError):
    """Audio cannot be recorded, transcribed, synthesized or played."""


class HistoryError(ParleyError):
    """A conversation cannot be read, written or found."""


class MissingExtraError(ParleyError):
    """An optional package or a system library is needed and missing."""


def http_status(code: int) -> str:
    """Return an HTTP status as in "404 Not Found". The phrase is the standard's: a server's own could hold anything."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def first_line(error: BaseException) -> str:
    """Return what an error of a library or the system says, to be quoted in a sentence.

    That is its first line, cleaned and without a full stop; of an `OSError` its reason, without number and file name.
    """
    message = error.strerror if isinstance(error, OSError) and error.strerror else error
    lines = str(message).strip().splitlines() or [type(error).__name__]
    return clean_line(lines[0], _MAX_QUOTED).rstrip(".")
