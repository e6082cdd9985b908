"""Fixtures for the tests of models: folders of tiny models, and a server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from assistant.messages import Image
from tests.fakes import tiny_catalog
from tests.fakes.chat_server import ChatServer
from tests.fakes.http_server import running
from tests.fakes.tiny_models import QUANTIZABLE_SIZES, make_gemma, make_image, make_llava, save_adapter


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Use one thread: models this small are slower on two, and many times slower beside another program."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", name="make_image")
def make_image_fixture() -> Callable[[int], Image]:
    """Make an image of random noise from a seed."""
    return make_image


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA around a plain Llama."""
    return make_llava(tmp_path_factory.mktemp("llava") / "tiny-llava")


@pytest.fixture(scope="session")
def adapted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA with an image adapter."""
    folder = make_llava(tmp_path_factory.mktemp("adapted") / "tiny-adapted")
    save_adapter(folder)
    return folder


@pytest.fixture(scope="session")
def qwen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA around a decoder that only transformers can run."""
    return make_llava(tmp_path_factory.mktemp("qwen") / "tiny-qwen", "Qwen2Config")


@pytest.fixture(scope="session")
def even_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA whose decoder can be quantized to nf4 on any processor."""
    return make_llava(tmp_path_factory.mktemp("even") / "tiny-even", sizes=QUANTIZABLE_SIZES)


@pytest.fixture(scope="session")
def gemma_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 3."""
    return make_gemma(tmp_path_factory.mktemp("gemma") / "tiny-gemma")


@pytest.fixture(scope="session")
def qwen3_vl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3-VL."""
    return tiny_catalog.make_qwen3_vl(tmp_path_factory.mktemp("qwen3-vl") / "tiny-qwen3-vl")


@pytest.fixture(scope="session")
def smolvlm2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SmolVLM2."""
    return tiny_catalog.make_smolvlm2(tmp_path_factory.mktemp("smolvlm2") / "tiny-smolvlm2")


@pytest.fixture(scope="session")
def internvl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An InternVL3.5."""
    return tiny_catalog.make_internvl(tmp_path_factory.mktemp("internvl") / "tiny-internvl")


@pytest.fixture(scope="session")
def qwen3_5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3.5."""
    return tiny_catalog.make_qwen3_5(tmp_path_factory.mktemp("qwen3-5") / "tiny-qwen3-5")


@pytest.fixture(scope="session")
def lfm3_vl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LFM3-VL."""
    return tiny_catalog.make_lfm3_vl(tmp_path_factory.mktemp("lfm3-vl") / "tiny-lfm3-vl")


@pytest.fixture(scope="session")
def gemma4_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 4."""
    return tiny_catalog.make_gemma4(tmp_path_factory.mktemp("gemma4") / "tiny-gemma4")


@pytest.fixture(scope="session")
def large_gemma4_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 4 that attends to images in both directions, as those above 4 B do."""
    return tiny_catalog.make_gemma4(tmp_path_factory.mktemp("large-gemma4") / "tiny-large-gemma4", bidirectional=True)


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    """A server on the loopback whose model says 300 words."""
    with running(ChatServer()) as server:
        yield server
