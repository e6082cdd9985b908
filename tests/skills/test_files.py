"""Files that a command line names."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from assistant.errors import AttachmentError, SkillError
from skills.files import Source, find_sources


def found(*arguments: str | Path, media_types: tuple[str, ...] = ("photo",)) -> tuple[list[str], list[str]]:
    """The names of the files, and the notices."""
    notices: list[str] = []
    sources = find_sources([str(each) for each in arguments], lambda: b"", media_types, notices.append)
    return [source.name for source in sources], notices


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    (folder / "more").mkdir(parents=True)
    for name in ("b.jpg", "a.png", "more/c.webp", "x.tiff", "y.TIFF", "z.heic", "notes", ".hidden.png", "more/t.tiff"):
        (folder / name).touch()
    return folder


def test_what_is_left_out_of_a_folder_is_counted_in_one_line(album: Path) -> None:
    names, notices = found(album)
    assert names == [str(album / name) for name in ("a.png", "b.jpg", "more/c.webp")]
    assert notices == [f"Files in {album} that are not looked at: 3 .tiff, 1 without a suffix, 1 .heic."]


def test_many_types_are_summed_up(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    for number in range(9):
        (tmp_path / f"x.{number}").touch()
    [notice] = found(tmp_path)[1]
    assert notice.endswith("1 .0, 1 .1, 1 .2, 1 .3, 1 .4, 4 others.")


def test_a_folder_of_images_causes_no_notice(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert found(tmp_path) == ([str(tmp_path / "a.png")], [])


def test_links_to_folders_and_pipes_are_left_out(album: Path) -> None:
    (album / "again").symlink_to(album)
    os.mkfifo(album / "pipe.png")
    names, [notice] = found(album)
    assert len(names) == 3
    assert "1 linked folder" in notice
    assert "1 pipe" in notice


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_without_permission_is_named(album: Path) -> None:
    (album / "more").chmod(0)
    assert "1 unreadable folder" in found(album)[1][0]
    album.chmod(0)
    try:
        with pytest.raises(SkillError, match="cannot be read"):
            found(album)
    finally:
        album.chmod(0o700)
        (album / "more").chmod(0o700)


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SkillError, match="There are no pictures"):
        found(tmp_path)


def test_a_name_that_looks_the_same_is_taken(tmp_path: Path) -> None:
    real = tmp_path / "Screenshot 10.00\u202fAM.png"
    real.touch()
    names, [notice] = found(tmp_path / "screenshot 10.00 AM.png")
    assert names == [str(real)]
    assert "looks like the one given" in notice
    (tmp_path / "Screenshot 10.00\u00a0AM.png").touch()
    with pytest.raises(AttachmentError, match="could be"):
        found(tmp_path / "Screenshot 10.00 AM.png")


def test_a_path_that_does_not_exist_is_a_source(tmp_path: Path) -> None:
    assert found(tmp_path / "gone.png") == ([str(tmp_path / "gone.png")], [])
    assert find_sources(["https://example.org/a.png"], lambda: b"") == [Source("https://example.org/a.png")]


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        pool.submit(pipe.write_bytes, b"some words")
        [source] = find_sources([str(pipe)], lambda: b"", ("text",))
    assert source == Source(str(pipe), b"some words")
    assert source.read_text() == "some words"


def test_a_folder_of_other_files_alone_says_which(tmp_path: Path) -> None:
    (tmp_path / "coffee.tiff").touch()
    with pytest.raises(SkillError, match=r"There are no pictures in .*, only 1 \.tiff: name another folder"):
        found(tmp_path)


def test_words_in_the_place_of_a_file_are_told_where_they_belong() -> None:
    with pytest.raises(AttachmentError, match="give words after --text"):
        Source("I am so angry").media_type(("photo", "sound", "text"))
