"""Names of GGUF models: a file, or a folder that holds one."""

from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.models.gguf.files import find_gguf


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["model.gguf"], "model.gguf"),
        (["model.GGUF", "README.md"], "model.GGUF"),
        (["model.gguf", "mmproj-model-f16.gguf"], "model.gguf"),
        (["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"], "m-00001-of-00003.gguf"),
        (["model.gguf", "config.json"], None),
        (["model.safetensors"], None),
        ([], None),
    ],
)
def test_a_folder_means_the_only_model_in_it(tmp_path: Path, files: list[str], found: str | None) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert find_gguf(str(tmp_path)) == (tmp_path / found if found else None)


def test_several_models_in_a_folder_are_named(tmp_path: Path) -> None:
    for name in ["a-q4.gguf", "a-q8.gguf"]:
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=r"a-q4\.gguf, a-q8\.gguf.*choose one"):
        find_gguf(str(tmp_path))


@pytest.mark.parametrize("name", ["auto", "pocket", "Qwen/Qwen3-VL-2B", "", "x" * 5000, "\x00"])
def test_other_names_mean_other_models(name: str) -> None:
    assert find_gguf(name) is None


def test_a_file_that_does_not_exist_is_still_a_gguf_file() -> None:
    assert find_gguf("/nowhere/x.gguf") == Path("/nowhere/x.gguf")
