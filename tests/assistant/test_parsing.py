"""Parsing of what others wrote: every kind of wrong content is one error, and nothing is waited for without end."""

import os
import threading
from pathlib import Path

import pytest

from assistant import parsing
from assistant.parsing import ParseError, decode_text, parse_json, parse_toml, read_bounded


class TestJson:
    def test_valid_values_are_returned(self) -> None:
        assert parse_json('{"a": [1, null, "\\u00fc"]}') == {"a": [1, None, "ü"]}
        assert parse_json(b'\xef\xbb\xbf"with a byte order mark"') == "with a byte order mark"

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "is not valid JSON"),
            (b"{", "is not valid JSON"),
            (b"[" * 100_000, "levels deep"),
            (b"[" * 900 + b"]" * 900, "levels deep"),
            (b'{"a":' * 70 + b"1" + b"}" * 70, "levels deep"),
            (b"1" * 5000, "a number is too long"),
            (b'"a\xff"', "is not text in UTF-8"),
            ('"text"'.encode("utf-16"), "is not text in UTF-8"),
            (b"\0\0", "NUL"),
        ],
    )
    def test_wrong_content_is_one_error(self, data: bytes, message: str) -> None:
        with pytest.raises(ParseError, match=message):
            parse_json(data)

    def test_many_shallow_values_are_no_deep_ones(self) -> None:
        assert parse_json("[" + ",".join(["[1]"] * 1000) + "]") == [[1]] * 1000

    def test_lone_surrogates_are_replaced_everywhere(self) -> None:
        value = parse_json(r'{"\ud800": ["\udcff", "\ud83d\ude00"]}')
        assert value == {"\N{REPLACEMENT CHARACTER}": ["\N{REPLACEMENT CHARACTER}", "\N{GRINNING FACE}"]}


class TestToml:
    def test_valid_values_are_returned(self) -> None:
        assert parse_toml(b'a = 1\r\n[b]\nc = "d.e.f"') == {"a": 1, "b": {"c": "d.e.f"}}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a = " + "[" * 3000, "levels deep"),
            ("a = " + "[" * 100 + "]" * 100, "levels deep"),
            ("a." * 50_000 + "b = 1", "levels deep"),
            ('"a".' * 50_000 + "b = 1", "levels deep"),
            ("[" + "a . " * 50_000 + "b]", "levels deep"),
            ("x = {" + "a." * 50_000 + "b = 1}", "levels deep"),
            ("a = " + "{a=" * 500 + "1" + "}" * 500, "levels deep"),
            ("a = " + "9" * 1_000_000, "out of range"),
            ("a = 0x" + "f" * 100_000, "too large"),
            ("a = 2026-13-45", "is not valid TOML"),
            ("a =", "is not valid TOML"),
            ("a = \x01", "is not valid TOML"),
        ],
        ids=lambda value: value[:12],
    )
    def test_wrong_content_is_one_error(self, text: str, message: str) -> None:
        with pytest.raises(ParseError, match=message) as raised:
            parse_toml(text.encode())
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 250

    @pytest.mark.parametrize("text", ["a" * 200_000, '"' * 200_000, "a " * 100_000, ("a." * 60 + " ") * 1500])
    def test_long_texts_are_refused_at_once(self, text: str) -> None:
        with pytest.raises(ParseError):
            parse_toml(text.encode())


class TestReading:
    def test_a_file_is_read_to_its_end(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"x" * 200_000)
        assert read_bounded(path) == b"x" * 200_000

    def test_a_large_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"x" * 2049)
        with pytest.raises(ParseError, match="is larger than 2 KiB"):
            read_bounded(path, 2048)

    def test_a_missing_file_and_a_folder_are_errors_of_the_system(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            read_bounded(tmp_path / "missing")
        with pytest.raises(IsADirectoryError):
            read_bounded(tmp_path)
        with pytest.raises(ParseError, match="NUL"):
            read_bounded(Path("a\0b"))

    @pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
    def test_an_endless_device_is_refused(self) -> None:
        with pytest.raises(ParseError, match="is larger than"):
            read_bounded(Path("/dev/zero"))

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_is_read_to_its_end(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        writer = threading.Thread(target=path.write_bytes, args=(b"x" * 100_000,))
        writer.start()
        assert read_bounded(path) == b"x" * 100_000
        writer.join()

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_that_nobody_writes_to_is_given_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parsing, "MAX_SILENT_SECONDS", 0.05)
        path = tmp_path / "pipe"
        os.mkfifo(path)
        with pytest.raises(ParseError, match="from which nothing comes"):
            read_bounded(path)


def test_a_text_has_no_byte_order_mark_and_no_nul() -> None:
    assert decode_text(b"\xef\xbb\xbfHello") == "Hello"
    with pytest.raises(ParseError, match="NUL"):
        decode_text(b"a\0b")
