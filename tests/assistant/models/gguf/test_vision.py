"""Vision-language models in GGUF: the vision encoder beside the model, and images in prompts."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.messages import Image, assistant, user
from assistant.models.base import GenerationOptions
from assistant.models.gguf.files import find_gguf, find_projector
from assistant.models.gguf.metadata import read_metadata, read_projector
from assistant.models.gguf.model import GgufModel
from tests.fakes.generation import complete, complete_with_usage
from tests.fakes.tiny_gguf import WIDTH, make_gguf, make_projector

QUESTION = "What is it?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf") / "tiny-vlm"
    folder.mkdir()
    make_gguf(folder / "tiny-vlm-q4.gguf")
    make_projector(folder / "mmproj-tiny-vlm.gguf")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[GgufModel]:
    file = find_gguf(str(folder))
    assert file is not None
    model = GgufModel.load(file, threads=1)
    yield model
    model.close()


def test_an_image_changes_the_reply(model: GgufModel, make_image: Callable[[int], Image]) -> None:
    replies = {complete(model, user(QUESTION, make_image(number)), max_tokens=16) for number in range(6)}
    assert len(replies) > 1
    assert complete(model, user(QUESTION), max_tokens=16) not in replies


def test_a_follow_up_encodes_no_image_again(model: GgufModel, make_image: Callable[[int], Image]) -> None:
    opening = user(QUESTION, make_image(1))
    options = GenerationOptions(max_tokens=8, temperature=0)
    reply, first = complete_with_usage(model.stream([opening], options, threading.Event()))
    conversation = [opening, assistant(reply), user("And now?")]
    _, second = complete_with_usage(model.stream(conversation, options, threading.Event()))
    assert second.cached_tokens >= first.prompt_tokens - 1
    other = [user(QUESTION, make_image(99)), *conversation[1:]]
    _, third = complete_with_usage(model.stream(other, options, threading.Event()))
    assert third.cached_tokens < first.prompt_tokens // 2


def test_a_prepared_image_is_in_the_cache(model: GgufModel, make_image: Callable[[int], Image]) -> None:
    image = make_image(3)
    model.prepare([user("", image)], threading.Event())
    options = GenerationOptions(max_tokens=1)
    _, usage = complete_with_usage(model.stream([user(QUESTION, image)], options, threading.Event()))
    assert usage.cached_tokens > usage.prompt_tokens // 2


def test_replies_about_an_image_are_scored(model: GgufModel, make_image: Callable[[int], Image]) -> None:
    one, other = model.score([user(QUESTION, make_image(1))], ["dog", "dogs"], threading.Event())
    assert len(one) < len(other)
    (again,) = model.score([user(QUESTION, make_image(2))], ["dog"], threading.Event())
    assert again != one


def test_a_model_without_its_encoder_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(folder / "tiny-vlm-q4.gguf", tmp_path))
    model = GgufModel.load(alone, threads=1)
    with pytest.raises(ModelError, match=r"cannot see pictures: .* put its mmproj file into the same folder"):
        complete(model, user(QUESTION, Image(b"", "image/png", 1, 1, "a.png")))
    model.close()


def test_the_encoder_that_fits_is_found(tmp_path: Path) -> None:
    one, other = make_gguf(tmp_path / "cat-2b-q4.gguf"), make_gguf(tmp_path / "dog-2b-q4.gguf")
    assert find_projector(one, WIDTH) is None
    make_projector(tmp_path / "mmproj-wide.gguf", width=2 * WIDTH)
    (tmp_path / "mmproj-damaged.gguf").write_bytes(b"GGUF and no more")
    assert find_projector(one, WIDTH) is None
    for name in ("cat", "dog"):
        for format_ in ("F32", "f16"):
            make_projector(tmp_path / f"mmproj-{name}-2b-{format_}.gguf")
    found = [find_projector(each, read_metadata(each).width) for each in (one, other)]
    assert found == [tmp_path / "mmproj-cat-2b-f16.gguf", tmp_path / "mmproj-dog-2b-f16.gguf"]


def test_an_encoder_without_its_first_layer_or_with_odd_names_is_refused(folder: Path, tmp_path: Path) -> None:
    data = (folder / "mmproj-tiny-vlm.gguf").read_bytes()
    for name, damaged in ((b"v.patch_embd", b"v.patch_embx"), (b"v.blk.1.attn_q", b"v.blk.1.attn_\xf1")):
        file = tmp_path / "mmproj.gguf"
        file.write_bytes(data.replace(name, damaged))
        with pytest.raises(ModelError, match="is damaged: get a fresh copy"):
            read_projector(file)


def test_what_is_no_encoder_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="is no vision encoder: it should be the mmproj file of a model"):
        read_projector(folder / "tiny-vlm-q4.gguf")
    with pytest.raises(ModelError, match="is no vision encoder"):
        GgufModel.load(folder / "tiny-vlm-q4.gguf", projector=folder / "tiny-vlm-q4.gguf")
