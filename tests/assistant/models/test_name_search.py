"""Search among the names of models."""

from assistant.models.name_search import closest, matches

NAMES = ["openai/gpt-9", "qwen/qwen3-vl-8b-instruct", "qwen/qwen3-vl-2b-instruct", "meta/llama-7", "Google/Gemma-4-4b"]


def test_every_word_has_to_be_in_the_name() -> None:
    assert [name for name in NAMES if matches("VL qwen", name)] == NAMES[1:3]
    assert [name for name in NAMES if matches("", name)] == NAMES
    assert not [name for name in NAMES if matches("qwen llama", name)]


def test_a_name_with_all_parts_of_the_wanted_one_comes_first() -> None:
    assert closest("qwen3-vl", NAMES)[:2] == ["qwen/qwen3-vl-8b-instruct", "qwen/qwen3-vl-2b-instruct"]
    assert closest("gemma 4", NAMES)[0] == "Google/Gemma-4-4b"


def test_a_mistyped_name_is_found() -> None:
    assert closest("qwen/qwen3-vl-8b-instrct", NAMES)[0] == "qwen/qwen3-vl-8b-instruct"
    assert closest("lama-7", NAMES)[0] == "meta/llama-7"
    assert closest("other/gpt-9", NAMES)[0] == "openai/gpt-9"


def test_nothing_is_suggested_where_nothing_is_close() -> None:
    assert closest("zzzz", NAMES) == []
    assert closest("", NAMES) == []
    assert closest("x" * 10**6, NAMES) == []
    assert closest("a", []) == []
