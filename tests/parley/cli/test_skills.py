"""Skills from the shell: one picture or thousands, in order, to the screen or to a file that can be gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from click.testing import CliRunner, Result

from parley.cli.main import root
from parley.cli.progress import RunProgress, format_elapsed

ROOT = Path(__file__).parents[3]
SHORT = "You said: Describe the photo. (and showed {})"


@pytest.fixture(autouse=True)
def _nobodys_machine(unset: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_MODEL", "scripted")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Three pictures in a folder, one of them in a folder below."""
    names = ["album/a.png", "album/b.png", "album/more/c.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (9, 9)).save(tmp_path / name)
    (tmp_path / "album" / "notes.txt").write_text("no picture")
    return names


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(root, arguments, input=stdin)


def start(*arguments: str, **options: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "parley", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def names(text: str) -> list[str]:
    return [entry["photo"] for entry in records(text)]


class TestOne:
    def test_prints_the_result_and_nothing_else(self, photos: Sequence[str]) -> None:
        result = run("caption", photos[0])
        assert (result.exit_code, result.stdout, result.stderr) == (0, SHORT.format("a.png") + "\n", "")

    def test_options_of_the_skill_are_options_of_the_command(self, photos: Sequence[str]) -> None:
        result = run("caption", photos[0], "--style", "detailed", "--language", "German")
        assert result.stdout.startswith("You said: Describe the picture in detail. Answer in German.")
        assert run("caption", photos[0], "--style", "tiny").exit_code == 2

    def test_json_is_one_object_a_line(self, photos: Sequence[str]) -> None:
        [entry] = records(run("caption", photos[0], "--json").stdout)
        assert list(entry) == ["photo", "text", "style", "model", "regions", "regions_from"]
        assert (entry["photo"], entry["model"]) == (photos[0], "scripted")

    def test_a_picture_that_is_not_there_is_told_before_a_model_is_loaded(self) -> None:
        result = run("caption", "gone.jpg", "-m", "/no/such/model")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "parley: gone.jpg does not exist: check the path.\n"

    def test_a_picture_can_come_from_standard_input(self, photos: Sequence[str]) -> None:
        result = run("caption", "-", stdin=Path(photos[0]).read_bytes())
        assert result.stdout == SHORT.format("standard input") + "\n"

    def test_a_picture_is_needed(self) -> None:
        assert run("caption").exit_code == 2


class TestMany:
    def test_each_result_follows_the_name_of_its_picture(self, photos: Sequence[str]) -> None:
        result = run("caption", photos[1], photos[0])
        assert result.stdout.splitlines() == [f"{name}: {SHORT.format(Path(name).name)}" for name in photos[1::-1]]

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
    def test_folders_patterns_and_lists_mean_pictures(
        self, photos: Sequence[str], arguments: list[str], found: list[int]
    ) -> None:
        listed = f"{photos[2]}\r\n\n{photos[0]}\n{photos[2]}"
        result = run("caption", "--json", *arguments, stdin=listed)
        assert names(result.stdout) == [photos[index] for index in found]

    def test_a_list_may_be_ended_by_nuls_and_name_folders(self, photos: Sequence[str]) -> None:
        result = run("caption", "--json", "-", stdin=f"{photos[2]}\0album/more\0")
        assert names(result.stdout) == [photos[2], photos[2]]

    @pytest.mark.parametrize(
        ("arguments", "stdin", "sentence"),
        [
            (["nothing/*.png"], "", "No file matches nothing/*.png: check the pattern."),
            (["empty"], "", "There are no pictures in empty: name another folder."),
            (["-"], "\n\n", "Standard input names no files"),
            (["-"], "RIFF$}\0\0WAVE", "A recording on standard input is not read: give it by its path."),
        ],
    )
    def test_what_means_no_picture_is_told(
        self, tmp_path: Path, arguments: list[str], stdin: str, sentence: str
    ) -> None:
        (tmp_path / "empty").mkdir()
        result = run("caption", *arguments, stdin=stdin)
        assert result.exit_code == 1
        assert sentence in result.stderr

    def test_a_failure_is_told_and_the_others_go_on(self, photos: Sequence[str]) -> None:
        result = run("caption", "--json", photos[0], "album/notes.txt", "gone.png", photos[1])
        assert result.exit_code == 1
        first, text, gone, last = records(result.stdout)
        assert (first["photo"], last["photo"]) == (photos[0], photos[1])
        assert text["photo"] == "album/notes.txt"
        assert "notes.txt" in text["error"]
        assert gone == {"photo": "gone.png", "error": "gone.png does not exist: check the path."}
        assert "of which 2 failed" in result.stderr

    def test_or_is_the_end_if_so_wanted(self, photos: Sequence[str]) -> None:
        result = run("caption", "--json", "--on-error", "stop", photos[0], "gone.png", photos[1])
        assert result.exit_code == 1
        assert names(result.stdout) == [photos[0], "gone.png"]

    def test_several_at_a_time_keep_the_order(self, photos: Sequence[str]) -> None:
        wanted = [*photos, *reversed(photos)] * 6
        result = run("caption", "--json", "--jobs", "12", "-m", "scripted:0.02", *wanted)
        assert names(result.stdout) == wanted

    def test_options_of_conversations_are_said_to_be_left_aside(self, photos: Sequence[str]) -> None:
        result = run("--temperature", "1", "--system", "Be kind.", "caption", photos[0])
        assert result.exit_code == 0
        assert "--system and --temperature are for conversations: skills do without." in result.stderr
        assert "for conversations" not in run("caption", photos[0]).stderr


class TestFile:
    def test_it_holds_a_record_of_each_picture(self, photos: Sequence[str]) -> None:
        result = run("caption", "--out", "out.jsonl", *photos)
        assert (result.exit_code, result.stdout) == (0, "")
        assert names(Path("out.jsonl").read_text()) == list(photos)
        assert not Path("out.jsonl.lock").exists()

    def test_it_is_never_overwritten(self, photos: Sequence[str]) -> None:
        Path("out.jsonl").write_text("something dear\n")
        result = run("caption", "--out", "out.jsonl", photos[0])
        assert result.exit_code == 1
        assert "out.jsonl exists already: go on with --resume" in result.stderr
        result = run("caption", "--out", "out.jsonl", "--resume", photos[0])
        assert result.exit_code == 1
        assert "Line 1 of out.jsonl is no record" in result.stderr
        assert Path("out.jsonl").read_text() == "something dear\n"

    def test_resume_leaves_out_what_is_done_and_takes_off_what_is_torn(self, photos: Sequence[str]) -> None:
        run("caption", "--out", "out.jsonl", photos[0])
        whole = Path("out.jsonl").read_text()
        with Path("out.jsonl").open("a") as file:
            file.write('{"photo": "album/b.png", "te')
        result = run("caption", "--out", "out.jsonl", "--resume", *photos, photos[0])
        assert result.exit_code == 0
        text = Path("out.jsonl").read_text()
        assert text.startswith(whole)
        assert names(text) == [*photos, photos[0]]
        assert (
            "All 4 files are in out.jsonl already"
            in run("caption", "--out", "out.jsonl", "--resume", *names(text)).stderr
        )

    def test_resume_knows_a_file_however_its_path_is_written(self, photos: Sequence[str]) -> None:
        run("caption", "--out", "out.jsonl", photos[0])
        before = Path("out.jsonl").read_text()
        Path("link.png").symlink_to(photos[0])
        for same in (f"./{photos[0]}", str(Path(photos[0]).absolute()), f"album/../{photos[0]}", "link.png"):
            result = run("caption", "--out", "out.jsonl", "--resume", same)
            assert (result.exit_code, Path("out.jsonl").read_text()) == (0, before), same

    def test_pictures_that_failed_are_tried_again_if_so_wanted(self, photos: Sequence[str]) -> None:
        wanted = [photos[0], "late.png", photos[1]]
        assert run("caption", "--out", "out.jsonl", *wanted).exit_code == 1
        first, failed, last = Path("out.jsonl").read_text().splitlines()
        assert "error" in failed
        Path("late.png").write_bytes(Path(photos[0]).read_bytes())
        result = run("caption", "--out", "out.jsonl", "--resume", *wanted)
        assert result.exit_code == 1
        assert "1 of them with an error: --retry-errors tries them again" in result.stderr
        assert run("caption", "--out", "out.jsonl", "--retry-errors", *wanted).exit_code == 0
        *kept, again = Path("out.jsonl").read_text().splitlines()
        assert kept == [first, last]
        assert names(again) == ["late.png"]
        assert "error" not in again
        assert not [path for path in Path().iterdir() if path.name.startswith(".")]

    def test_the_results_of_two_skills_do_not_mix(self, photos: Sequence[str]) -> None:
        run("caption", "--out", "out.jsonl", photos[0])
        before = Path("out.jsonl").read_text()
        result = run("vqa", "--out", "out.jsonl", "--resume", photos[1], "What is it?")
        assert result.exit_code == 1
        assert "Line 1 of out.jsonl is the result of another skill" in result.stderr
        assert Path("out.jsonl").read_text() == before

    def test_the_answers_to_two_questions_do_not_mix(self, photos: Sequence[str]) -> None:
        run("vqa", "--out", "out.jsonl", photos[0], "What is it?")
        before = Path("out.jsonl").read_text()
        result = run("vqa", "--out", "out.jsonl", "--resume", *photos, "Where is it?")
        assert result.exit_code == 1
        assert "Line 1 of out.jsonl has the question “What is it?” and not “Where is it?”" in result.stderr
        assert Path("out.jsonl").read_text() == before
        assert run("vqa", "--out", "out.jsonl", "--resume", *photos, "What is it?").exit_code == 0

    def test_neither_do_captions_in_two_styles(self, photos: Sequence[str]) -> None:
        run("caption", "--style", "alt-text", "--out", "out.jsonl", photos[0])
        result = run("caption", "--out", "out.jsonl", "--resume", *photos)
        assert result.exit_code == 1
        assert "Line 1 of out.jsonl has the style “alt-text” and not “short”" in result.stderr

    def test_a_run_that_was_ended_says_what_is_left(self, photos: Sequence[str]) -> None:
        result = run("caption", "--out", "out.jsonl", "--on-error", "stop", photos[0], "gone.png", photos[1])
        assert "caption: 2 done" in result.stderr
        assert "1 are left. Go on with --resume." in result.stderr

    def test_resume_needs_a_file(self, photos: Sequence[str]) -> None:
        result = run("caption", "--resume", photos[0])
        assert result.exit_code == 2
        assert "name it with --out" in result.stderr

    def test_a_folder_that_is_not_there_is_named(self, photos: Sequence[str]) -> None:
        result = run("caption", "--out", "no/out.jsonl", photos[0])
        assert result.exit_code == 1
        assert "There is no folder no for out.jsonl: make it first" in result.stderr

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="There is no device that is always full.")
    def test_a_full_disk_is_told(self, photos: Sequence[str]) -> None:
        Path("out.jsonl").symlink_to("/dev/full")
        result = run("caption", "--out", "out.jsonl", photos[0])
        assert result.exit_code == 1
        assert "out.jsonl cannot be written (No space left on device): make room" in result.stderr

    def test_killed_in_the_middle_it_goes_on_where_it_was_and_two_runs_do_not_meet(self, photos: Sequence[str]) -> None:
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
        assert 5 < len(records(left)) < len(wanted)
        result = run("caption", "--out", "out.jsonl", "--resume", *wanted)
        assert result.exit_code == 0
        assert names(Path("out.jsonl").read_text()) == wanted

    def test_ctrl_c_ends_it_at_once_with_whole_lines(self, photos: Sequence[str]) -> None:
        run_ = start("caption", "--out", "out.jsonl", "-m", "scripted:0.01", *[*photos] * 100)
        while not (Path("out.jsonl").exists() and Path("out.jsonl").read_text()):
            time.sleep(0.02)
            assert run_.poll() is None
        run_.send_signal(signal.SIGINT)
        _, told = run_.communicate(timeout=20)
        assert run_.returncode == 130
        assert "Traceback" not in told
        assert records(Path("out.jsonl").read_text())


def test_ten_thousand_paths_of_which_some_vanish(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (2, 2)).save("one.png")
    listed = [f"many/{number}.png" for number in range(10_000)]
    Path("many").mkdir()
    for number, path in enumerate(listed):
        if number % 100:
            os.link("one.png", path)
    result = run("caption", "--out", "out.jsonl", "--jobs", "4", "-", stdin="\n".join(listed))
    assert result.exit_code == 1
    entries = records(Path("out.jsonl").read_text())
    assert [entry["photo"] for entry in entries] == listed
    failed = [entry["photo"] for entry in entries if "error" in entry]
    assert failed == listed[::100]
    assert "10,000 done" in result.stderr
    assert "of which 100 failed" in result.stderr


class TestList:
    def test_skills_are_listed_with_what_they_take(self) -> None:
        result = run("skills")
        assert "caption PHOTO [--style short|detailed|dense|alt-text] [--language TEXT]\n" in result.stdout
        assert "\n    Say what a picture shows.\n" in result.stdout

    def test_json_describes_inputs_and_results(self) -> None:
        described = {entry["name"]: entry for entry in json.loads(run("skills", "--json").stdout)}
        photo, style, _ = described["caption"]["inputs"]
        assert photo == {"name": "photo", "kind": "photo", "required": True, "help": ""}
        assert style["choices"] == ["short", "detailed", "dense", "alt-text"]
        assert described["caption"]["result"] == ["text", "style", "model", "regions", "regions_from"]

    def test_help_and_completion_name_them(self) -> None:
        assert "Skills:\n  caption  Say what a picture shows.\n" in run("--help").stdout
        words = {"_PARLEY_COMPLETE": "bash_complete", "COMP_WORDS": "parley cap", "COMP_CWORD": "1"}
        done = start(env={**os.environ, **words}).communicate()
        assert "plain,caption" in done[0]


class TestOthers:
    CODE = (
        "from pydantic import BaseModel\nfrom skills import Image, skill\n"
        "class Joined(BaseModel):\n    joined: str\n"
        "@skill\ndef join_up(first: str, *, face: Image | None = None, twice: bool = False, times: int = 1,\n"
        "    word: tuple[str, ...] = ()) -> Joined:\n"
        "    '''Join words.'''\n"
        "    if first == 'bad': raise KeyError(first)\n"
        "    return Joined(joined=' '.join([first, *word, str(twice), str(times), face.name if face else '-']))\n"
    )

    @pytest.fixture(autouse=True)
    def _installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        site = tmp_path / "site"
        for name, code in (
            ("join-up", self.CODE),
            ("worse", "1/0"),
            ("history", self.CODE.replace("join_up", "history")),
        ):
            module = name.replace("-", "_")
            info = site / f"{module}_pack-1.0.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-pack\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(f"[parley.skills]\n{name} = {module}_cli_pack:{module}\n")
            (site / f"{module}_cli_pack.py").write_text(code)
        monkeypatch.syspath_prepend(str(site))

    def test_a_skill_without_pictures_is_a_command_as_well(self, photos: Sequence[str]) -> None:
        arguments = ("join-up", "hello", "--word", "a", "--word", "b", "--twice", "--times", "3", "--face", photos[0])
        assert run(*arguments).stdout == "joined: hello a b True 3 a.png\n"
        assert json.loads(run("join-up", "hello", "--json").stdout) == {"joined": "hello False 1 -"}

    def test_what_goes_wrong_in_it_is_one_line(self) -> None:
        result = run("join-up", "bad")
        assert (result.exit_code, result.stderr) == (1, "parley: The skill join-up failed on this: KeyError: 'bad'\n")
        result = run("join-up", "hello", "--times", "many")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "--times of the skill join-up is 'many'" in result.stderr

    def test_a_broken_one_is_one_notice_and_breaks_nothing_else(self, photos: Sequence[str]) -> None:
        assert "ZeroDivisionError" in run("worse").stderr
        listed = run("skills")
        assert listed.exit_code == 0
        assert listed.stderr.count("ZeroDivisionError") == 1
        assert "join-up FIRST [--face PATH] [--twice] [--times N] [--word TEXT]…" in listed.stdout
        assert run("caption", photos[0]).exit_code == 0
        assert "From the package worse-pack." in run("--help").stdout

    def test_a_command_keeps_its_name(self) -> None:
        assert "conversations" in run("history", "--help").stdout
        assert "The skill history cannot be a command" in run("skills").stderr


def test_a_result_in_the_chat_is_kept_in_history(photos: Sequence[str]) -> None:
    result = run(stdin=f"/caption {photos[0]}\nAnd now?\n")
    assert result.stdout.splitlines() == [SHORT.format("a.png"), "You said: And now?"]
    [kept] = json.loads(run("history", "list", "--json").stdout)
    shown = json.loads(run("history", "show", kept["id"], "--json").stdout)["messages"]
    assert [message["text"] for message in shown[:2]] == ["/caption", SHORT.format("a.png")]
    assert shown[0]["images"][0]["name"] == "a.png"


class TestPace:
    def test_says_how_far_how_fast_and_how_long_yet(self) -> None:
        progress = RunProgress("caption", 2000, already_done=500)
        for number in range(150):
            progress.step(failed=number % 50 == 0)
        assert progress.text(100) == "caption 650 of 2,000 · 1.5/s · 15 min left · 3 failed"
        assert progress.text(1500) == "caption 650 of 2,000 · 10.0 s each · 3 h 45 min left · 3 failed"

    def test_times_are_as_people_say_them(self) -> None:
        assert [format_elapsed(seconds) for seconds in (0.4, 59, 61, 3599, 7500)] == [
            "0 s",
            "59 s",
            "1 min",
            "1 h 0 min",
            "2 h 5 min",
        ]
