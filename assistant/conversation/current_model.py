"""The model of a conversation: one that can be replaced by another one in the middle of it."""

import gc
import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

from assistant.errors import ConfigError, ModelError, ParleyError
from assistant.models.base import ChatModel, CoreSharer
from assistant.progress import Progress


class ModelSource(Protocol):
    """Fetches and loads models by name, for a session that changes its model."""

    def fetch(self, name: str, progress: Progress) -> None:
        """Download the model called `name` if needed. Raises `ParleyError`."""
        ...

    def load(self, name: str, progress: Progress) -> ChatModel:
        """Load the model called `name`. Raises `ParleyError`."""
        ...


class CurrentModel:
    """The model that answers.

    Attributes:
        model: The model itself.
    """

    def __init__(self, model: ChatModel, source: ModelSource | None = None, name: str = "") -> None:
        """Begin with a model.

        Args:
            model: The model.
            source: Source of other models; None means that the model cannot be changed.
            name: Name by which `source` loaded `model`.
        """
        self.model = model
        self._source = source
        self._name = name
        self._cores_shared = False
        # A call may begin or end while another model is loaded.
        self._sharing = threading.Lock()

    def share_cores(self, *, shared: bool) -> None:
        """Let this model, and any that takes its place, leave a core to others, or take it back."""
        with self._sharing:
            self._cores_shared = shared
            _share_cores(self.model, shared=shared)

    def change(self, name: str, progress: Progress) -> None:
        """Load another model in place of this one. If that fails, load this one again.

        The new model is downloaded before the current one is freed, since both may not fit into memory.

        Raises:
            ConfigError: There is no source of models.
            ModelError: The model cannot be fetched or loaded.
        """
        if self._source is None:
            raise ConfigError("The model of this conversation cannot be changed: start another one with --model.")
        self._source.fetch(name, progress)
        try:
            self._replace(partial(self._source.load, name, progress))
        except ParleyError as error:
            self._replace(partial(self._source.load, self._name, progress))
            raise ModelError(f"{error} {self.model.info.name} answers on.") from error
        self._name = name

    def _replace(self, build: Callable[[], ChatModel]) -> None:
        self.model.close()
        # Layers refer to each other in cycles; without this they are still in memory while the next model loads.
        gc.collect()
        model = build()
        with self._sharing:
            self.model = model
            if self._cores_shared:
                _share_cores(model, shared=True)


def _share_cores(model: ChatModel, *, shared: bool) -> None:
    if isinstance(model, CoreSharer):
        model.share_cores(shared=shared)
