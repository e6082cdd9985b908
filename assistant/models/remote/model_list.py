"""The models of a server: asked for, searched, and selected by name."""

import time
from collections.abc import Sequence
from http import HTTPStatus

from assistant.errors import ModelError, http_status
from assistant.models.name_search import closest
from assistant.models.remote.http_client import ApiClient
from assistant.models.remote.http_errors import REDIRECTS
from assistant.models.remote.openai_api import ServerModel, parse_models
from assistant.models.remote.retries import IsCancelled, RetryPolicy, ServerError
from assistant.progress import Progress
from assistant.text_cleaning import clean_line

UNAUTHORIZED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_PROGRESS_SECONDS = 0.3
_MAX_LISTED_MODELS = 12
_MAX_NAME = 80


def reporting(client: ApiClient, progress: Progress) -> IsCancelled:
    """Return what is polled while a server is waited for: it reports to `progress`, whose exceptions end the wait."""
    reported = time.monotonic()

    def report() -> bool:
        nonlocal reported
        if time.monotonic() - reported > _PROGRESS_SECONDS:
            reported = time.monotonic()
            progress(f"asking the server at {client.base_url}", 0, 0)
        return False

    return report


def list_models(
    client: ApiClient, retries: RetryPolicy, is_cancelled: IsCancelled, *, required: bool
) -> list[ServerModel]:
    """Return the models of a server; empty if it has no list and none is `required`. Raises `ModelError`."""
    while True:
        try:
            return parse_models(client.get("/models", is_cancelled))
        except ServerError as error:
            if error.status in UNAUTHORIZED:
                raise unauthorized(client, error) from error
            if error.status and not required:
                return []
            if error.status and not error.retryable and error.status not in REDIRECTS:
                raise ModelError(f"{error} If the address is right, name the model with --model.") from error
            retries.wait(error, is_cancelled)
        except ValueError as error:
            raise ModelError(
                f"The server at {client.base_url} has no list of models under /models: check that it offers OpenAI's "
                "chat completions; most addresses end in /v1."
            ) from error


def select_model(models: Sequence[ServerModel], name: str | None, base_url: str) -> ServerModel:
    """Return the model called `name`, or the only chat model. Raises `ModelError`."""
    if name is not None:
        # A model that is not listed may still exist, under a shorter name or not loaded yet: the server decides.
        return next((model for model in models if name in (model.id, clean_line(model.id))), ServerModel(id=name))
    chat_models = [model for model in models if model.is_chat_model]
    if len(chat_models) == 1:
        return chat_models[0]
    if not chat_models:
        raise ModelError(f"The server at {base_url} has no model loaded: load one there, or name it with --model.")
    names = ", ".join(clean_line(model.id, _MAX_NAME) for model in chat_models[:_MAX_LISTED_MODELS])
    more = ""
    if len(chat_models) > _MAX_LISTED_MODELS:
        more = f" and {len(chat_models) - _MAX_LISTED_MODELS:,} more, which `parley models --search TEXT` finds"
    raise ModelError(f"The server at {base_url} has several models: choose with --model one of {names}{more}.")


def missing_model(client: ApiClient, name: str, listed: Sequence[str], message: str) -> ModelError:
    """Return the error for a model that the server does not have, with the names that come close."""
    names = [name for name in map(_shown, closest(name, listed) or listed[:_MAX_LISTED_MODELS]) if name]
    if not names:
        remedy = "name another with --model"
    elif len(listed) <= _MAX_LISTED_MODELS:
        remedy = f"choose with --model one of {', '.join(map(_shown, listed))}"
    else:
        remedy = f"did you mean {_join_or(names)}? `parley models --search TEXT` searches all {len(listed):,}"
    return ModelError(f"The server at {client.base_url} has no model {name} ({message}): {remedy}.")


def unauthorized(client: ApiClient, error: ServerError) -> ModelError:
    """Return the error for a key that is missing, wrong, or not enough."""
    message = client.words.error_message(error.body)
    quoted = f" ({message})" if message else ""
    variable = client.key_variable
    if error.status == HTTPStatus.UNAUTHORIZED:
        remedy = f"set it in the environment as {variable}"
        if not variable:
            remedy = "name the environment variable that holds it as key_env of the server in the settings file"
        return ModelError(f"The server at {client.base_url} requires a valid API key{quoted}: {remedy}.")
    key = f"the API key in {variable}" if variable else "key_env of the server in the settings file"
    return ModelError(
        f"The server at {client.base_url} answered {http_status(error.status)}{quoted}: check {key} and what it may be "
        "used for."
    )


def _shown(name: str) -> str:
    return clean_line(name, _MAX_NAME)


def _join_or(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
