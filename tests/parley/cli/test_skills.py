"""Skills as commands: one image or several, and `parley skills`."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fakes.command_line import SHORT_CAPTION, finish, image_names, last_messages, parse_records, run

pytestmark = pytest.mark.usefixtures("scripted_machine")


def test_the_result_is_all_of_the_output(photos: Sequence[str]) -> None:
    result = run("caption", photos[0])
    assert (result.exit_code, result.stdout, result.stderr) == (0, SHORT_CAPTION.format("a.png") + "\n", "")


def test_options_of_the_skill_are_options_of_the_command(photos: Sequence[str]) -> None:
    result = run("caption", photos[0], "--style", "detailed", "--language", "German")
    assert result.stdout.startswith("You said: Describe the picture in detail. Answer in German.")
    assert run("caption", photos[0], "--style", "tiny").exit_code == 2


def test_json_is_one_object_per_line(photos: Sequence[str]) -> None:
    [entry] = parse_records(run("caption", photos[0], "--json").stdout)
    assert list(entry) == ["photo", "text", "style", "model", "regions", "regions_from"]
    assert (entry["photo"], entry["model"]) == (photos[0], "scripted")


def test_a_missing_image_is_reported_before_a_model_is_loaded() -> None:
    result = run("caption", "gone.jpg", "-m", "/no/such/model")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "parley: gone.jpg does not exist: check the path.\n"


def test_an_image_can_come_from_standard_input(photos: Sequence[str]) -> None:
    result = run("caption", "-", stdin=Path(photos[0]).read_bytes())
    assert result.stdout == SHORT_CAPTION.format("standard input") + "\n"


def test_an_image_is_required() -> None:
    assert run("caption").exit_code == 2


def test_each_result_follows_the_name_of_its_image(photos: Sequence[str]) -> None:
    result = run("caption", photos[1], photos[0])
    assert result.stdout.splitlines() == [f"{name}: {SHORT_CAPTION.format(Path(name).name)}" for name in photos[1::-1]]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["album"], [0, 1, 2]),
        (["album/*.png"], [0, 1]),
        (["album/**/*.png"], [0, 1, 2]),
        (["album/more", "album/a.png"], [2, 0]),
        (["-"], [2, 0, 2]),
    ],
)
def test_folders_patterns_and_lists_name_images(photos: Sequence[str], arguments: list[str], found: list[int]) -> None:
    listed = f"{photos[2]}\r\n\n{photos[0]}\n{photos[2]}"
    result = run("caption", "--json", *arguments, stdin=listed)
    assert image_names(result.stdout) == [photos[index] for index in found]


def test_a_list_may_be_separated_by_nul_and_name_folders(photos: Sequence[str]) -> None:
    result = run("caption", "--json", "-", stdin=f"{photos[2]}\0album/more\0")
    assert image_names(result.stdout) == [photos[2], photos[2]]


@pytest.mark.parametrize(
    ("arguments", "stdin", "sentence"),
    [
        (["nothing/*.png"], "", "No file matches nothing/*.png: check the pattern."),
        (["empty"], "", "There are no pictures in empty: name another folder."),
        (["-"], "\n\n", "Standard input names no files"),
        (["-"], "RIFF$}\0\0WAVE", "A recording on standard input is not read: give it by its path."),
    ],
)
def test_arguments_that_name_no_image_are_an_error(
    tmp_path: Path, arguments: list[str], stdin: str, sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    result = run("caption", *arguments, stdin=stdin)
    assert result.exit_code == 1
    assert sentence in result.stderr


def test_a_file_that_fails_does_not_stop_the_others(photos: Sequence[str]) -> None:
    result = run("caption", "--json", photos[0], "album/notes.txt", "gone.png", photos[1])
    assert result.exit_code == 1
    first, text, gone, last = parse_records(result.stdout)
    assert (first["photo"], last["photo"]) == (photos[0], photos[1])
    assert text["photo"] == "album/notes.txt"
    assert "notes.txt" in text["error"]
    assert gone == {"photo": "gone.png", "error": "gone.png does not exist: check the path."}
    assert "of which 2 failed" in result.stderr


def test_on_error_stop_ends_the_run(photos: Sequence[str]) -> None:
    result = run("caption", "--json", "--on-error", "stop", photos[0], "gone.png", photos[1])
    assert result.exit_code == 1
    assert image_names(result.stdout) == [photos[0], "gone.png"]


def test_results_of_several_workers_keep_the_order(photos: Sequence[str]) -> None:
    wanted = [*photos, *reversed(photos)] * 6
    result = run("caption", "--json", "--jobs", "12", "-m", "scripted:0.02", *wanted)
    assert image_names(result.stdout) == wanted


def test_options_of_conversations_are_ignored_with_a_notice(photos: Sequence[str]) -> None:
    result = run("--temperature", "1", "--system", "Be kind.", "caption", photos[0])
    assert result.exit_code == 0
    assert "--system and --temperature are for conversations: skills do without." in result.stderr
    assert "for conversations" not in run("caption", photos[0]).stderr


def test_skills_are_listed_with_their_parameters() -> None:
    result = run("skills")
    assert "caption PHOTO [--style short|detailed|dense|alt-text] [--language TEXT]\n" in result.stdout
    assert "\n    Say what a picture shows.\n" in result.stdout


def test_json_describes_parameters_and_results() -> None:
    described = {entry["name"]: entry for entry in json.loads(run("skills", "--json").stdout)}
    photo, style, _ = described["caption"]["inputs"]
    assert photo == {"name": "photo", "kind": "photo", "required": True, "help": ""}
    assert style["choices"] == ["short", "detailed", "dense", "alt-text"]
    assert described["caption"]["result"] == ["text", "style", "model", "regions", "regions_from"]


def test_help_and_completion_list_skills() -> None:
    assert "\n  caption     Say what a picture shows.\n" in run("--help").stdout
    words = {"_PARLEY_COMPLETE": "bash_complete", "COMP_WORDS": "parley cap", "COMP_CWORD": "1"}
    assert "plain,caption" in finish([], env={**os.environ, **words}).stdout


def test_a_result_in_the_chat_is_saved(photos: Sequence[str]) -> None:
    result = run(stdin=f"/caption {photos[0]}\nAnd now?\n")
    assert result.stdout.splitlines() == [SHORT_CAPTION.format("a.png"), "You said: And now?"]
    shown = last_messages()
    assert [message["text"] for message in shown[:2]] == ["/caption", SHORT_CAPTION.format("a.png")]
    assert shown[0]["images"][0]["name"] == "a.png"
