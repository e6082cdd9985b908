"""Servers and batch APIs that run models: which one the settings mean, and the name of the model there.

--model NAME/MODEL, [servers.NAME]    that server
--openai-env                          OPENAI_BASE_URL, or OpenAI's own
--base-url                            that address
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.errors import ConfigError
from assistant.models.base import ChatModel
from assistant.progress import OnNotice, Progress, no_notice, no_progress
from parley.factory.bundled import BUNDLED_MODELS

if TYPE_CHECKING:
    from assistant.models.remote.openai_api import ServerModel
    from assistant.settings import Settings

SCRIPTED_MODEL = "scripted"
"""Name of the model that repeats the user's words, for tests; "scripted:0.1" waits 0.1 seconds before each token."""

KEY_VARIABLE = "PARLEY_API_KEY"
"""Source of the key for `base_url`: others can read a command line, and settings files are copied."""

_OPENAI_URL = "https://api.openai.com/v1"
# Later sources of settings override earlier ones.
_CLOSENESS = {"environment": 1, "command line": 2, "the arguments": 2}


@dataclass(frozen=True)
class ChosenServer:
    """A server and the model on it.

    Attributes:
        base_url: Address of its API.
        model: Id of the model; None for the only one.
        key_variable: Environment variable that holds its key; empty if it needs none.
        name: Its name in the settings file, or empty.
    """

    base_url: str
    model: str | None
    key_variable: str
    name: str = ""

    def key(self) -> str | None:
        """Return the key, or None. Raises `ConfigError` if the settings file names a variable that is not set."""
        key = os.environ.get(self.key_variable) or None
        if self.name and self.key_variable and key is None:
            raise ConfigError(
                f"The server {self.name} has its key in {self.key_variable}, which is not set in the environment: set "
                "it, or remove key_env from the settings file."
            )
        return key


def chosen_server(settings: "Settings") -> ChosenServer | None:
    """Return the server that runs the model, or None if this process does. Connects to nothing.

    Raises:
        ConfigError: Two servers are named on the command line, or OPENAI_BASE_URL is no address.
    """
    if settings.backend == "local":
        return None
    name, _, model = settings.model.partition("/")
    if (server := settings.servers.get(name)) is not None:
        return ChosenServer(server.base_url, model or server.model, server.key_env or "", name)
    means_openai = _means_openai(settings)
    address = _openai_url() if means_openai else settings.base_url
    if address is None:
        return None
    model_there = None if _is_local_name(settings.model) else settings.model
    return ChosenServer(address, model_there, "OPENAI_API_KEY" if means_openai else KEY_VARIABLE)


def connect_model(settings: "Settings", progress: Progress = no_progress, on_notice: OnNotice = no_notice) -> ChatModel:
    """Connect to the model on the server that `settings` choose. Blocks until the server answers.

    Raises:
        ModelError: The server does not answer or does not have the model.
        ConfigError: No server is chosen, or its key is missing.
    """
    server = chosen_server(settings)
    if server is None:
        raise _no_address()
    from assistant.models.remote.model import RemoteModel

    return RemoteModel.connect(
        server.base_url,
        model=server.model,
        key=server.key(),
        key_variable=server.key_variable,
        progress=progress,
        on_notice=on_notice,
    )


def list_server_models(settings: "Settings", progress: Progress = no_progress) -> "list[ServerModel]":
    """Return the models of the server that `settings` choose, in its order. Raises as `connect_model`."""
    from assistant.models.remote.http_client import ApiClient
    from assistant.models.remote.model_list import list_models, reporting
    from assistant.models.remote.retries import RetryPolicy

    server = chosen_server(settings)
    if server is None:
        raise _no_address()
    client = ApiClient(server.base_url, server.key(), key_variable=server.key_variable)
    return list_models(client, RetryPolicy(), reporting(client, progress), required=True)


def batch_model(settings: "Settings") -> str:
    """Return the name under which a batch API knows the model that `settings` select. Connects to nothing.

    Raises:
        ConfigError: The settings name no model, or one that only Parley has.
    """
    from assistant.models import catalog

    server = chosen_server(settings)
    model = server.model if server is not None and server.name else settings.model
    if model in (None, "auto", *BUNDLED_MODELS) or model.partition(":")[0] == SCRIPTED_MODEL:
        raise ConfigError(
            "A batch file needs the name of the model that will answer it: give it with --model, as in "
            "--model Qwen/Qwen3-VL-8B-Instruct."
        )
    entry = catalog.find(model)
    return model if entry is None else entry.repository


def _no_address() -> ConfigError:
    return ConfigError("--backend remote needs the address of a server: --base-url http://localhost:8000/v1.")


def _means_openai(settings: "Settings") -> bool:
    """Return True if the OPENAI_ variables are asked for, and no address is given on a later occasion."""
    if not settings.openai_env or settings.base_url is None:
        return settings.openai_env
    asked, given = (_CLOSENESS.get(settings.origins.get(name, ""), 0) for name in ("openai_env", "base_url"))
    if asked == given == _CLOSENESS["command line"]:
        raise ConfigError("--openai-env and --base-url name two servers: give one of them.")
    return asked >= given


def _openai_url() -> str:
    from pydantic import ValidationError

    from assistant.setting_values import EXPECTED
    from assistant.settings import Settings

    try:
        return Settings(base_url=os.environ.get("OPENAI_BASE_URL") or _OPENAI_URL).base_url or _OPENAI_URL
    except ValidationError as error:
        # Without its value, which may hold a password.
        raise ConfigError(f"OPENAI_BASE_URL in the environment should be {EXPECTED['base_url']}.") from error


def _is_local_name(model: str) -> bool:
    """Return True for a model of this machine, such as one that `parley models use` chose before a server was set."""
    from assistant.models import catalog
    from assistant.models.gguf.hub_files import PREFIX as HUB_PREFIX

    if model in ("auto", *BUNDLED_MODELS) or any(entry.name == model for entry in catalog.CATALOG):
        return True
    # `Path.is_dir` raises an error for a name that no file can have.
    return os.path.isdir(model) or model.lower().endswith(".gguf") or model.startswith(HUB_PREFIX)  # noqa: PTH112
