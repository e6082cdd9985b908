"""The configuration file: what it may be, and what saving a setting keeps."""

import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from assistant import parsing
from assistant.config_file import default_config_file, save_setting
from assistant.errors import ConfigError
from assistant.settings import load, unknown_variables
from tests.fakes.history import limit_file_size

pytestmark = pytest.mark.usefixtures("unset")
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


class TestOddFiles:
    @pytest.mark.parametrize(
        "content",
        [
            b"a = " + b"[" * 3000,
            b"a." * 30_000 + b"b = 1",
            b"seed = " + b"9" * 100_000,
            b"seed = 0x" + b"f" * 100_000,
            b"model = '" + b"x" * 300_000 + b"'",
            b"x" * 100_000 + b" = 1",
            b"model = 'a\0b'",
            b'model = "a\\u0000b"',
            b'data_dir = "a\\u0000b"',
            b'system = "@a\\u0000b"',
            "model = 'x'".encode("utf-16"),
            b"temperature = " + b"[" * 60 + b"]" * 60,
            b"max_tokens = 99999999999",
            b"seed = 2026-11-29",
            b'"" = 1',
            b"\x1b]0;title\x07 = 1",
            b'"\\u001b]0;title\\u0007" = 1',
        ],
        ids=lambda content: repr(content[:16]),
    )
    def test_odd_content_is_one_short_sentence(self, content: bytes, config: Path) -> None:
        config.write_bytes(content)
        with pytest.raises(ConfigError) as raised:
            load(config_file=config)
        assert "\n" not in str(raised.value)
        assert "\x1b" not in str(raised.value)
        assert len(str(raised.value)) < 700

    def test_a_byte_order_mark_is_skipped(self, config: Path) -> None:
        config.write_bytes(b"\xef\xbb\xbfseed = 3\r\n")
        assert load(config_file=config).settings.seed == 3

    @posix
    def test_what_is_no_file_is_named(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parsing, "MAX_SILENT_SECONDS", 0.05)
        config.symlink_to(config)
        with pytest.raises(ConfigError, match="cannot be read: Too many levels of symbolic links"):
            load(config_file=config)
        with pytest.raises(ConfigError, match="cannot be read"):
            save_setting("model", "pocket", config)
        config.unlink()
        os.mkfifo(config)
        with pytest.raises(ConfigError, match="a pipe or a device from which nothing comes"):
            load(config_file=config)
        with pytest.raises(ConfigError, match="no regular file"):
            save_setting("model", "pocket", config)

    def test_a_long_path_is_cut(self) -> None:
        with pytest.raises(ConfigError, match="…") as raised:
            load(config_file=Path("x" * 5000))
        assert len(str(raised.value)) < 500


class TestUnknownNames:
    @pytest.mark.parametrize(
        ("key", "meant"), [("modle", "model"), ("max-tokens", "max_tokens"), ("MODEL", "model"), ("voise", "voice")]
    )
    def test_the_closest_setting_is_suggested(self, key: str, meant: str, config: Path) -> None:
        config.write_text(f"{key} = 'x'")
        with pytest.raises(ConfigError, match=rf"sets {key}, which is no setting: did you mean {meant}\?$"):
            load(config_file=config)

    def test_without_a_close_one_all_are_named(self, config: Path) -> None:
        config.write_text("frobnicate = 1")
        with pytest.raises(ConfigError, match=r"sets frobnicate, which is no setting; there are model, device,.*\.$"):
            load(config_file=config)

    def test_unknown_variables_are_named_and_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PARLEY_MODEL", "pocket")
        monkeypatch.setenv("PARLEY_API_KEY", "secret")
        monkeypatch.setenv("PARLEY_MODLE", "x")
        monkeypatch.setenv("PARLEY_" + "X" * 5000, "x")
        about_long, about_model = sorted(unknown_variables(), key=len, reverse=True)
        assert about_model == (
            "PARLEY_MODLE in the environment is no setting and is ignored: did you mean PARLEY_MODEL?"
        )
        assert about_long.startswith("PARLEY_XXX")
        assert len(about_long) < 150
        assert load().settings.model == "pocket"


class TestInstructionsFromAFile:
    def test_a_file_is_read_relative_to_where_it_is_named(
        self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "persona.txt").write_text("Be kind.\n")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "persona.txt").write_text("Be brief.")
        monkeypatch.chdir(elsewhere)
        config.write_text('system = "@persona.txt"')
        assert load(config_file=config).settings.system == "Be kind."
        assert load({"system": "@persona.txt"}).settings.system == "Be brief."
        monkeypatch.setenv("PARLEY_SYSTEM", f"@{tmp_path / 'persona.txt'}")
        assert load().settings.system == "Be kind."

    def test_two_signs_stand_for_one(self) -> None:
        assert load({"system": "@@everyone"}).settings.system == "@everyone"

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("missing.txt", "cannot be read from missing.txt \\(no such file"),
            ("", "cannot be read from a file without a name"),
            ("binary.txt", "binary.txt is not text in UTF-8"),
            ("large.txt", "large.txt is larger than 256 KiB"),
            ("x" * 5000, "file name too long"),
            ("~nosuchuser/x", "no home directory"),
            ("a\0b", "NUL"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_one_sentence(
        self, name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("binary.txt").write_bytes(b"\xff\xfe")
        Path("large.txt").write_text("x" * 300_000)
        with pytest.raises(ConfigError, match=rf"{message}.*write @@ for a text that begins with @\.$") as raised:
            load({"system": f"@{name}"})
        assert len(str(raised.value)) < 500


class TestInvalidText:
    def test_bytes_that_are_no_utf8_are_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PARLEY_SYSTEM", "a\udcff")
        monkeypatch.setenv("PARLEY_MICROPHONE", "b\udcff")
        settings = load().settings
        assert settings.system == "a\N{REPLACEMENT CHARACTER}"
        assert settings.microphone == "b\N{REPLACEMENT CHARACTER}"


class TestSaving:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("", 'model = "pocket"\n'),
            ("seed = 1", 'model = "pocket"\nseed = 1'),
            ("model = 'a' # why\n", 'model = "pocket" # why\n'),
            (
                '# top\n  \'model\'="a \\" b"\t# why\r\nseed = 1\r\n',
                "# top\n  'model'=\"pocket\"\t# why\r\nseed = 1\r\n",
            ),
            ("seed = 1\r\n", 'model = "pocket"\r\nseed = 1\r\n'),
            ("# a\u2028model = 'no'\nmodel = 'a'", "# a\u2028model = 'no'\nmodel = \"pocket\""),
            ("\ufeffmodel = 'a'", 'model = "pocket"'),
        ],
    )
    def test_other_lines_comments_and_line_ends_stay(self, before: str, after: str, config: Path) -> None:
        config.write_bytes(before.encode())
        save_setting("model", "pocket", config)
        assert config.read_bytes().decode() == after

    @posix
    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
    def test_permissions_and_a_link_to_the_file_stay(self, mode: int, config: Path, tmp_path: Path) -> None:
        target = tmp_path / "dotfiles" / "parley.toml"
        target.parent.mkdir()
        target.write_text("seed = 1\n")
        target.chmod(mode)
        config.symlink_to(target)
        save_setting("model", "pocket", config)
        assert config.is_symlink()
        assert stat.S_IMODE(target.stat().st_mode) == mode
        assert load(config_file=config).settings.model == "pocket"
        assert [path.name for path in target.parent.iterdir()] == ["parley.toml"]

    @posix
    def test_a_new_file_is_private(self) -> None:
        before = os.umask(0)
        try:
            path = save_setting("model", "pocket")
        finally:
            os.umask(before)
        assert path == default_config_file()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_a_name_with_any_character_is_saved(self, config: Path) -> None:
        save_setting("model", 'a"b\\c\x7f\x1b\N{GRINNING FACE}', config)
        assert load(config_file=config).settings.model == 'a"b\\c\x7f\x1b\N{GRINNING FACE}'

    @posix
    def test_a_full_disk_leaves_the_old_file(self, config: Path) -> None:
        before = "# a comment\n" * 100
        config.write_text(before)
        with limit_file_size(500), pytest.raises(ConfigError, match="cannot be written: File too large"):
            save_setting("model", "pocket", config)
        assert config.read_text() == before
        assert [path.name for path in config.parent.iterdir()] == [config.name]

    def test_threads_that_save_at_once_leave_a_valid_file(self, config: Path) -> None:
        config.write_text("seed = 7\n")

        def save(name: str) -> None:
            for number in range(10):
                save_setting("model", f"{name}-{number}", config)
                assert load(config_file=config).settings.seed == 7

        with ThreadPoolExecutor() as pool:
            list(pool.map(save, "abcd"))
        assert load(config_file=config).settings.model[1:] == "-9"
        assert [path.name for path in config.parent.iterdir()] == [config.name]
