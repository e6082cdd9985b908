"""Files that commands write: planted links, full disks, inputs that are outputs, places that cannot be written."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from assistant.errors import VoiceError
from tests.fakes.command_line import command, image_names, run
from voice.audio.wav import WavFile

pytestmark = [
    pytest.mark.usefixtures("scripted_machine"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs the files of POSIX"),
]

PREDICTIONS = '{"photo": "a.png", "text": "a"}\n'


def limit_file_size() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))


def write_speech(path: Path, seconds: int = 1) -> None:
    with WavFile(path, 8000) as file:
        file.write(np.zeros(8000 * seconds, np.float32))


@pytest.mark.parametrize("planted", [".out.jsonl.rest", "out.jsonl.lock", ".out.jsonl.unfinished"])
def test_a_link_planted_beside_a_results_file_is_not_followed(planted: str, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    run("caption", "broken.png", str(photo), "--out", "out.jsonl")
    victim = tmp_path / "victim"
    victim.write_text("something dear")
    Path(planted).symlink_to(victim)
    result = run("caption", "broken.png", str(photo), "--out", "out.jsonl", "--retry-errors")
    assert victim.read_text() == "something dear"
    assert result.exit_code == 1
    assert image_names(Path("out.jsonl").read_text())[:1] in (["broken.png"], [str(photo)])


def test_links_planted_beside_a_recording_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("something dear")
    for name in (".out.wav.unfinished", ".out.wav.tmp", "out.wav.tmp"):
        (tmp_path / name).symlink_to(victim)
    write_speech(tmp_path / "out.wav")
    assert victim.read_text() == "something dear"
    assert (tmp_path / "out.wav").stat().st_size == 16_044


def test_an_output_is_written_where_its_own_link_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out.wav").symlink_to(tmp_path / "real" / "speech.wav")
    write_speech(tmp_path / "out.wav")
    assert (tmp_path / "out.wav").is_symlink()
    assert (tmp_path / "real" / "speech.wav").stat().st_size == 16_044


def test_outputs_have_the_permissions_of_ordinary_files(photo: Path, tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        write_speech(tmp_path / "out.wav")
        run("caption", str(photo), "--out", "out.jsonl")
        (tmp_path / "own.wav").touch(0o600)
        write_speech(tmp_path / "own.wav")
    finally:
        os.umask(umask)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "out.wav", Path("out.jsonl"))] == [0o644, 0o644]
    assert (tmp_path / "own.wav").stat().st_mode & 0o777 == 0o600


def test_a_recording_that_does_not_fit_on_the_disk_leaves_the_old_one(tmp_path: Path) -> None:
    write_speech(tmp_path / "out.wav")
    before = (tmp_path / "out.wav").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(VoiceError, match="cannot be written: File too large"):
            write_speech(tmp_path / "out.wav", seconds=100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "out.wav").read_bytes() == before
    assert [path.name for path in tmp_path.glob("*out.wav*")] == ["out.wav"]


def test_a_run_that_fills_the_disk_goes_on_with_resume(photos: list[str]) -> None:
    done = subprocess.run(
        command("caption", *photos, "--out", "out.jsonl"),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=limit_file_size,
    )
    assert done.returncode == 1
    assert "out.jsonl cannot be written (File too large): make room, and go on with --resume." in done.stderr
    assert done.stderr.count("\n") <= 2
    assert run("caption", *photos, "--out", "out.jsonl", "--resume").exit_code == 0
    assert image_names(Path("out.jsonl").read_text()) == photos


def test_errors_that_are_retried_on_a_full_disk_leave_the_old_file(photos: list[str]) -> None:
    Path("broken.png").write_text("no picture")
    run("caption", *photos, "broken.png", "--out", "out.jsonl")
    before = Path("out.jsonl").read_bytes()
    done = subprocess.run(
        command("caption", *photos, "broken.png", "--out", "out.jsonl", "--retry-errors"),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=limit_file_size,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert Path("out.jsonl").read_bytes() == before
    assert not list(Path().glob(".out*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["caption", "dog.png", "--out", "dog.png"], "dog.png exists already"),
        (["caption", "dog.png", "--out", "dog.png", "--resume"], "is no record of a file"),
        (["caption", "dog.png", "--out", "folder"], "is a directory"),
        (["caption", "dog.png", "--out", "gone/out.jsonl"], "There is no folder gone"),
        (["caption", "dog.png", "--out", "/dev/null"], "is not a regular file"),
        (["caption", "dog.png", "--out", "pipe"], "is not a regular file"),
        (["caption", "dog.png", "--out", ""], ""),
        (["speak", "hi", "-o", "gone/out.wav"], "there is no folder gone"),
        (["speak", "hi", "-o", "old.wav", "--clone", "old.wav"], "is the recording to clone"),
        (["evaluate", "caption", "old.jsonl", "refs.jsonl", "--picture", "old.jsonl"], "one of the files to be read"),
        (["evaluate", "caption", "old.jsonl", "refs.jsonl", "--picture", "gone/x.png"], "cannot be written"),
        (["evaluate", "caption", "old.jsonl", "refs.jsonl", "--picture", "folder"], "is a directory"),
        (["evaluate", "caption", "old.jsonl", "refs.jsonl", "--picture", "x.nonsense"], "cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_places_that_cannot_be_written_are_refused(
    arguments: list[str], message: str, photo: Path, tmp_path: Path
) -> None:
    if "--picture" in arguments:
        pytest.importorskip("matplotlib")
    (tmp_path / "folder").mkdir()
    os.mkfifo("pipe")
    write_speech(tmp_path / "old.wav")
    Path("old.jsonl").write_text(PREDICTIONS)
    Path("refs.jsonl").write_text(PREDICTIONS)
    files = ("dog.png", "old.wav", "old.jsonl", "refs.jsonl")
    before = [Path(name).read_bytes() for name in files]
    result = run(*arguments)
    assert result.exit_code in (1, 2), result.stdout
    assert message.lower() in result.stderr.lower()
    assert result.stderr.count("\n") <= 3
    assert [Path(name).read_bytes() for name in files] == before


def test_a_picture_of_scores_replaces_the_old_one_complete(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    Path("old.jsonl").write_text(PREDICTIONS)
    for name in ("scores.png", "scores"):
        result = run("evaluate", "caption", "old.jsonl", "old.jsonl", "--picture", name, "--json", "--samples", "10")
        assert result.exit_code == 0
        assert json.loads(result.stdout)
    assert PIL.Image.open("scores.png").size == (1050, 900)
    assert not list(tmp_path.glob(".scores*"))
