"""Skills over many files: results files, errors, resuming, Ctrl-C."""

import errno
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import PIL.Image
import pytest

from tests.fakes.command_line import image_names, parse_records, run, start

pytestmark = pytest.mark.usefixtures("scripted_machine")


def test_a_results_file_has_a_record_of_each_image(photos: Sequence[str]) -> None:
    result = run("caption", "--out", "out.jsonl", *photos)
    assert (result.exit_code, result.stdout) == (0, "")
    assert image_names(Path("out.jsonl").read_text()) == list(photos)
    assert not Path("out.jsonl.lock").exists()


def test_a_file_is_never_overwritten(photos: Sequence[str]) -> None:
    Path("out.jsonl").write_text("something dear\n")
    result = run("caption", "--out", "out.jsonl", photos[0])
    assert result.exit_code == 1
    assert "out.jsonl exists already: go on with --resume" in result.stderr
    result = run("caption", "--out", "out.jsonl", "--resume", photos[0])
    assert result.exit_code == 1
    assert "Line 1 of out.jsonl is no record" in result.stderr
    assert Path("out.jsonl").read_text() == "something dear\n"


def test_resume_skips_what_is_done_and_removes_a_partial_line(photos: Sequence[str]) -> None:
    run("caption", "--out", "out.jsonl", photos[0])
    whole = Path("out.jsonl").read_text()
    with Path("out.jsonl").open("a") as file:
        file.write('{"photo": "album/b.png", "te')
    result = run("caption", "--out", "out.jsonl", "--resume", *photos, photos[0])
    assert result.exit_code == 0
    text = Path("out.jsonl").read_text()
    assert text.startswith(whole)
    assert image_names(text) == [*photos, photos[0]]
    assert (
        "All 4 files are in out.jsonl already"
        in run("caption", "--out", "out.jsonl", "--resume", *image_names(text)).stderr
    )


def test_resume_recognizes_a_file_by_any_of_its_paths(photos: Sequence[str]) -> None:
    run("caption", "--out", "out.jsonl", photos[0])
    before = Path("out.jsonl").read_text()
    Path("link.png").symlink_to(photos[0])
    for same in (f"./{photos[0]}", str(Path(photos[0]).absolute()), f"album/../{photos[0]}", "link.png"):
        result = run("caption", "--out", "out.jsonl", "--resume", same)
        assert (result.exit_code, Path("out.jsonl").read_text()) == (0, before), same


def test_resume_does_not_report_the_errors_of_other_files(photos: Sequence[str]) -> None:
    assert run("caption", "--out", "out.jsonl", photos[0], "late.png").exit_code == 1
    result = run("caption", "--out", "out.jsonl", "--resume", photos[0])
    assert result.exit_code == 0
    assert "All 1 files are in out.jsonl already." in result.stderr


def test_retry_errors_tries_failed_files_again(photos: Sequence[str]) -> None:
    wanted = [photos[0], "late.png", photos[1]]
    assert run("caption", "--out", "out.jsonl", *wanted).exit_code == 1
    first, failed, last = Path("out.jsonl").read_text().splitlines()
    assert "error" in failed
    Path("late.png").write_bytes(Path(photos[0]).read_bytes())
    result = run("caption", "--out", "out.jsonl", "--resume", *wanted)
    assert result.exit_code == 1
    assert "1 of them with an error: --retry-errors tries them again" in result.stderr
    assert run("caption", "--out", "out.jsonl", "--retry-errors", *wanted).exit_code == 0
    *unchanged, again = Path("out.jsonl").read_text().splitlines()
    assert unchanged == [first, last]
    assert image_names(again) == ["late.png"]
    assert "error" not in again
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


def test_results_of_two_skills_do_not_mix(photos: Sequence[str]) -> None:
    run("caption", "--out", "out.jsonl", photos[0])
    before = Path("out.jsonl").read_text()
    result = run("vqa", "--out", "out.jsonl", "--resume", photos[1], "What is it?")
    assert result.exit_code == 1
    assert "Line 1 of out.jsonl is the result of another skill" in result.stderr
    assert Path("out.jsonl").read_text() == before


def test_answers_to_two_questions_do_not_mix(photos: Sequence[str]) -> None:
    run("vqa", "--out", "out.jsonl", photos[0], "What is it?")
    before = Path("out.jsonl").read_text()
    result = run("vqa", "--out", "out.jsonl", "--resume", *photos, "Where is it?")
    assert result.exit_code == 1
    assert "Line 1 of out.jsonl has the question “What is it?” and not “Where is it?”" in result.stderr
    assert Path("out.jsonl").read_text() == before
    assert run("vqa", "--out", "out.jsonl", "--resume", *photos, "What is it?").exit_code == 0


def test_captions_in_two_styles_do_not_mix(photos: Sequence[str]) -> None:
    run("caption", "--style", "alt-text", "--out", "out.jsonl", photos[0])
    result = run("caption", "--out", "out.jsonl", "--resume", *photos)
    assert result.exit_code == 1
    assert "Line 1 of out.jsonl has the style “alt-text” and not “short”" in result.stderr


def test_a_run_that_stopped_reports_what_is_left(photos: Sequence[str]) -> None:
    result = run("caption", "--out", "out.jsonl", "--on-error", "stop", photos[0], "gone.png", photos[1])
    assert "caption: 2 done" in result.stderr
    assert "1 are left. Go on with --resume." in result.stderr


def test_resume_needs_a_results_file(photos: Sequence[str]) -> None:
    result = run("caption", "--resume", photos[0])
    assert result.exit_code == 2
    assert "name it with --out" in result.stderr


def test_a_missing_folder_is_named(photos: Sequence[str]) -> None:
    result = run("caption", "--out", "no/out.jsonl", photos[0])
    assert result.exit_code == 1
    assert "There is no folder no for out.jsonl: make it first" in result.stderr


def test_a_full_disk_is_an_error(photos: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def write_on_full_disk(descriptor: int, data: bytes) -> int:
        if data.startswith(b'{"photo"'):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", write_on_full_disk)
    result = run("caption", "--out", "out.jsonl", photos[0])
    assert result.exit_code == 1
    assert "out.jsonl cannot be written (No space left on device): make room" in result.stderr


def test_a_killed_run_is_resumed_and_two_runs_exclude_each_other(photos: Sequence[str]) -> None:
    wanted = [*photos] * 40
    arguments = ("caption", "--out", "out.jsonl", "--resume", "-m", "scripted:0.005", *wanted)
    first = start(*arguments)
    while not (Path("out.jsonl").exists() and len(Path("out.jsonl").read_text().splitlines()) > 5):
        time.sleep(0.02)
        assert first.poll() is None
    second = run(*arguments)
    assert second.exit_code == 1
    assert "Another run is writing to out.jsonl" in second.stderr
    first.send_signal(signal.SIGKILL)
    first.communicate()
    left = Path("out.jsonl").read_text()
    assert left.endswith("\n")
    assert 5 < len(parse_records(left)) < len(wanted)
    result = run("caption", "--out", "out.jsonl", "--resume", *wanted)
    assert result.exit_code == 0
    assert image_names(Path("out.jsonl").read_text()) == wanted


def test_ctrl_c_leaves_complete_lines(photos: Sequence[str]) -> None:
    process = start("caption", "--out", "out.jsonl", "-m", "scripted:0.01", *[*photos] * 100)
    while not (Path("out.jsonl").exists() and Path("out.jsonl").read_text()):
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert parse_records(Path("out.jsonl").read_text())


def test_ten_thousand_paths_of_which_some_are_missing(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (2, 2)).save("one.png")
    listed = [f"many/{number}.png" for number in range(10_000)]
    Path("many").mkdir()
    for number, path in enumerate(listed):
        if number % 100:
            os.link("one.png", path)
    result = run("caption", "--out", "out.jsonl", "--jobs", "4", "-", stdin="\n".join(listed))
    assert result.exit_code == 1
    entries = parse_records(Path("out.jsonl").read_text())
    assert [entry["photo"] for entry in entries] == listed
    failed = [entry["photo"] for entry in entries if "error" in entry]
    assert failed == listed[::100]
    assert "10,000 done" in result.stderr
    assert "of which 100 failed" in result.stderr
