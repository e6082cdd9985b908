"""Results files with odd content: nothing of it is lost, and nothing of it ends a run with a traceback."""

import os
from pathlib import Path

import pytest

from assistant.errors import SkillError
from skills import jsonl_results
from skills.jsonl_results import RecordSchema, open_result_file

SCHEMA = RecordSchema(["text"], fixed_fields={"style": "short"})
RECORD = '{"photo": "a.png", "text": "A dog."}\n'


def resume(path: Path) -> dict[str, int]:
    with open_result_file(path, SCHEMA, resume=True) as results:
        return {Path(name).name: count for name, count in results.done.items()}


@pytest.mark.parametrize(
    "content",
    [
        "notes without an end of line",
        '{"mine": "and',
        RECORD + "notes without an end of line",
        "[" * 100_000,
        '{"photo": ' + "[" * 100_000 + "\n",
        '{"photo": 5, "text": "a"}\n',
        '{"photo": ["a.png"], "text": "a"}\n',
        '{"photo": {"a": 1}, "text": "a"}\n',
        '{"photo": null, "error": ""}\n',
        '{"photo": "a\\u0000.png", "text": "a"}\n',
        '["photo"]\n',
        '"photo"\n',
        "\n",
        "\x00\xff",
        '{"photo": "a.png", "text": "A dog.", "style": "\\u001b]0;x\\u0007' + "long" * 10_000 + '"}\n',
    ],
)
def test_a_file_that_is_not_ours_stays_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(content, encoding="latin-1")
    before = path.read_bytes()
    with pytest.raises(SkillError) as caught:
        resume(path)
    assert path.read_bytes() == before
    assert len(str(caught.value).replace(str(path), "")) < 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("length", range(1, len(RECORD) - 2))
def test_the_beginning_of_a_record_is_cut_off(tmp_path: Path, length: int) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(RECORD + RECORD[:length])
    assert resume(path) == {"a.png": 1}
    assert path.read_text() == RECORD


def test_a_whole_record_without_an_end_of_line_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(RECORD + RECORD.replace("a.png", "b.png").rstrip())
    assert resume(path) == {"a.png": 1, "b.png": 1}
    assert path.read_text() == RECORD + RECORD.replace("a.png", "b.png")


def test_a_record_from_before_a_field_was_computed_is_one_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"photo": "a.png", "lines": []}\n{"photo": "b.png", "lines": [], "text": ""}\n')
    schema = RecordSchema(["lines", "text"], computed_fields=["text"])
    with open_result_file(path, schema, resume=True) as results:
        assert results.done.total() == 2


def test_an_endless_line_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_results, "_MAX_LINE_BYTES", 100)
    path = tmp_path / "out.jsonl"
    path.write_text(RECORD + '{"photo": "' + "a" * 200)
    with pytest.raises(SkillError, match=r"Line 2 of .* is no record"):
        resume(path)
    assert path.stat().st_size > 200


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_planted_lock_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("dear")
    (tmp_path / "out.jsonl.lock").symlink_to(victim)
    with (
        pytest.raises(SkillError, match="cannot be written"),
        open_result_file(tmp_path / "out.jsonl", SCHEMA, resume=False),
    ):
        pass
    assert victim.read_text() == "dear"


def test_two_runs_do_not_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with (
        open_result_file(path, SCHEMA, resume=False),
        pytest.raises(SkillError, match="Another run is writing"),
        open_result_file(path, SCHEMA, resume=True),
    ):
        pass
