"""Headers of GGUF files, and files that are none or are damaged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.models.gguf.metadata import read_metadata
from assistant.models.gguf.model import GgufModel
from tests.fakes.gguf_parts import take_apart
from tests.fakes.tiny_gguf import END, END_OF_TEXT, LAYERS, START, TEMPLATE, WIDTH, make_header

WriteGguf = Callable[..., Path]


def test_the_header_says_what_the_model_is(write_gguf: WriteGguf) -> None:
    file = write_gguf(metadata={"general.sampling.temp": 0.5})
    metadata = read_metadata(file)
    assert (metadata.architecture, metadata.name, metadata.quantization) == ("llama", "Tiny Llama", "f32")
    assert metadata.context_tokens == 512
    assert metadata.kv_values == 2 * LAYERS * WIDTH
    assert metadata.chat_template == TEMPLATE
    assert metadata.special_tokens == {END_OF_TEXT, START, END}
    assert metadata.sampling == {"temp": 0.5}
    assert metadata.file_bytes == file.stat().st_size


def test_a_file_cut_anywhere_in_its_header_is_called_damaged(write_gguf: WriteGguf) -> None:
    file = write_gguf()
    whole = file.read_bytes()
    for length in [5, 8, 20, 24, 25, 30, 100, 500, 1000, 3000]:
        file.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="is damaged"):
            read_metadata(file)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.99])
def test_a_file_cut_in_its_weights_is_refused(write_gguf: WriteGguf, kept: float) -> None:
    file = write_gguf()
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ModelError, match="damaged"):
        GgufModel.load(file, threads=1)


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04" + b"0" * 100, b"hello" * 100])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "photo.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="is not a GGUF file"):
        GgufModel.load(file)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        GgufModel.load(tmp_path / "missing.gguf")
    with pytest.raises(ModelError, match="Is a directory"):
        GgufModel.load(tmp_path)


def test_bytes_changed_in_the_header_are_an_error_of_the_model_or_nothing(write_gguf: WriteGguf) -> None:
    file = write_gguf()
    whole = file.read_bytes()
    for position in range(4, 1500, 7):
        file.write_bytes(whole[:position] + b"\xff" + whole[position + 1 :])
        try:
            read_metadata(file)
        except ModelError:
            continue


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokenizer.ggml.tokens", 3),
        ("tokenizer.ggml.tokens", "abc"),
        ("tokenizer.ggml.tokens", [1, 2]),
        ("tokenizer.ggml.token_type", 3),
        ("tokenizer.ggml.token_type", ["control"]),
    ],
)
def test_a_vocabulary_of_another_type_is_damage(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(ModelError, match="is damaged"):
        read_metadata(make_header(tmp_path / "odd.gguf", {key: value}))


@pytest.mark.parametrize(
    "key", ["general.file_type", "general.name", "llama.context_length", "tokenizer.chat_template"]
)
def test_an_entry_of_another_type_is_taken_for_missing(tmp_path: Path, key: str) -> None:
    missing = read_metadata(make_header(tmp_path / "missing.gguf", {}))
    odd = read_metadata(make_header(tmp_path / "odd.gguf", {key: ["odd"]}))
    assert replace(odd, file_bytes=0) == replace(missing, file_bytes=0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("block_count", 0),
        ("block_count", 513),
        ("context_length", 0),
        ("context_length", 2**32 - 1),
        ("attention.layer_norm_rms_epsilon", -1e38),
        ("attention.layer_norm_rms_epsilon", float("nan")),
        ("context_length", True),
        ("rope.scaling.type", "odd"),
        ("expert_count", 2),
        ("expert_used_count", 2),
    ],
)
def test_a_value_that_ends_llama_cpp_is_damage(tmp_path: Path, key: str, value: object) -> None:
    entries = {"general.architecture": "llama", f"llama.{key}": value}
    with pytest.raises(ModelError, match="is damaged"):
        read_metadata(make_header(tmp_path / "odd.gguf", entries))


def test_weights_of_whole_numbers_are_damage(write_gguf: WriteGguf) -> None:
    parts = take_apart(write_gguf().read_bytes())
    parts.tensors[2] = replace(parts.tensors[2], kind=26)
    file = write_gguf()
    file.write_bytes(parts.pack())
    with pytest.raises(ModelError, match="is damaged"):
        read_metadata(file)


def test_an_unknown_architecture_is_refused(write_gguf: WriteGguf) -> None:
    with pytest.raises(ModelError, match=r"newer than this version"):
        GgufModel.load(write_gguf(architecture="perceptron"), threads=1)


def test_a_model_without_a_chat_template_is_refused(write_gguf: WriteGguf) -> None:
    with pytest.raises(ModelError, match="no chat template"):
        GgufModel.load(write_gguf(template=None))


@pytest.mark.parametrize("template", ["{{ messages[", "{% for x in %}", "{{ raise_exception('no') }}"])
def test_a_broken_chat_template_is_an_error_and_no_crash(write_gguf: WriteGguf, template: str) -> None:
    from assistant.messages import user
    from tests.fakes.generation import complete

    with pytest.raises(ModelError):
        complete(GgufModel.load(write_gguf(template=template), threads=1), user("Hi"), max_tokens=3)


def test_too_little_memory_is_said_before_anything_is_loaded(
    write_gguf: WriteGguf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.models.gguf.model.free_bytes", lambda _: 100_000)
    with pytest.raises(ModelError, match=r"needs .* of memory and 0.1 MB are free"):
        GgufModel.load(write_gguf())


def test_little_memory_makes_the_context_shorter_and_says_so(
    write_gguf: WriteGguf, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_gguf(context_tokens=8192)
    metadata = read_metadata(file)
    enough_for_3000 = metadata.file_bytes + 300 * 2**20 + 3000 * metadata.kv_values * 2
    monkeypatch.setattr("assistant.models.gguf.model.free_bytes", lambda _: enough_for_3000)
    notices: list[str] = []
    model = GgufModel.load(file, threads=1, on_notice=notices.append)
    assert model.info.context_tokens == 3000
    assert "3000 tokens" in notices[0]
    model.close()


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 9999999999 }}",
        "{{ 2 ** 9999999 }}",
        "{% macro a(x) %}{{ a(x) }}{% endmacro %}{{ a(1) }}",
    ],
)
def test_a_chat_template_that_takes_all_time_or_memory_is_refused(
    write_gguf: WriteGguf, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.models.local.template_limits.MAX_SECONDS", 0.2)
    with pytest.raises(ModelError, match="is refused"):
        GgufModel.load(write_gguf(template=template), threads=1)
