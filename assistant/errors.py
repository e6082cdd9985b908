"""Everything that can go wrong in a way a person can act on.

    ParleyError
    ├── ConfigError          a setting or a command line that makes no sense together
    ├── ModelError           a model that cannot be fetched, loaded or run
    │   └── ContextOverflow  a prompt with more tokens than the model can hold
    │       └── OutOfMemory  or than there is memory for at the moment
    ├── AttachmentError      a picture that cannot be read, or may not be
    ├── SkillError           a skill that cannot do its work on this input
    │   └── SkillUsageError  or is called in a way that makes no sense, whatever the input
    ├── VoiceError           ears or mouth that do not work
    ├── HistoryError         conversations that cannot be read or written
    └── MissingExtraError    a part that needs an optional package or a system library

The text of each says in one sentence what happened, to what, and what to do next. The command line prints that
sentence and exits with 1 (2 where it is the command line or a setting that makes no sense: `ConfigError`,
`SkillUsageError`), the terminal app shows it as a notice; neither ever shows a traceback for one of these.
"""

from http import HTTPStatus


class ParleyError(Exception):
    """Root of the tree; catch this to catch all that Parley raises on purpose."""


class ConfigError(ParleyError):
    """A setting has no valid value, or two contradict each other."""


class ModelError(ParleyError):
    """A model cannot be fetched, loaded or run."""


class ContextOverflow(ModelError):
    """The prompt is longer than the model's context.

    `prompt_tokens` is what the prompt would take, `limit` the most that leaves room for a reply; 0 is not known.
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
    """There is no memory to go on with this prompt; all that `model_name` can do without has been freed."""

    def __init__(self, model_name: str) -> None:
        super().__init__(0, 0)
        self.args = (f"{model_name} ran out of memory: shorten the conversation or attach fewer pictures.",)


class AttachmentError(ParleyError):
    """A picture cannot be read, is refused, or may not be fetched."""


class SkillError(ParleyError):
    """A skill cannot do its work on this input."""


class SkillUsageError(SkillError):
    """A skill is called with inputs that make no sense together."""


class VoiceError(ParleyError):
    """Speech cannot be heard or spoken."""


class HistoryError(ParleyError):
    """A conversation cannot be read, written or found."""


class MissingExtraError(ParleyError):
    """An optional package or system library is needed and not there."""


def http_status(code: int) -> str:
    """Return an HTTP status as in "404 Not Found". The phrase is the standard's: a server's own could hold anything."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def first_line(error: BaseException) -> str:
    """Return the first line of an error of a library, without its full stop, to be quoted in a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
