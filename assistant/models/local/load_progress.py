"""Progress of a load, from the size of the files and the number of layers."""

from pathlib import Path

from assistant.progress import Progress


class LoadProgress:
    """Report a load as bytes of the folder: the first half for reading them, the second for converting the layers."""

    def __init__(self, progress: Progress, name: str, folder: Path, num_layers: int) -> None:
        self._progress = progress
        self._label = f"loading {name}"
        self._total = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        self._num_layers = num_layers
        self._layers_built = 0
        self._report(0)

    def weights_read(self) -> None:
        self._report(self._total // 2)

    def layer_built(self) -> None:
        self._layers_built += 1
        self._report((self._total * (self._num_layers + self._layers_built)) // (2 * self._num_layers))

    def compiling(self) -> None:
        self._report(self._total)
        self._label = self._label.replace("loading", "compiling", 1)
        self._report(0)

    def finish(self) -> None:
        self._report(self._total)

    def _report(self, done: int) -> None:
        self._progress(self._label, done, self._total)
