"""Input of any bytes, in one piece and cut anywhere."""

import itertools
import os
import random
import sys
from unittest.mock import patch

import pytest
from textual import events
from textual.message import Message

from tests.fakes.scripts import ROOT
from tests.fakes.terminal import TerminalProcess

if sys.platform == "win32":
    pytest.skip("Windows has a driver of its own", allow_module_level=True)

from tui.terminal_driver import MAX_COLUMNS, MAX_ROWS, InputReader


def read(*pieces: bytes) -> list[events.Event]:
    """Return the messages for `pieces` that come one after the other, and then nothing."""
    clock = itertools.count(0.0, 0.05)
    with patch("textual._parser.get_time", clock.__next__):
        reader = InputReader()
        messages = [message for piece in pieces for message in reader.feed(piece)]
        for _ in range(100):
            messages += reader.idle()
    return [message for message in messages if isinstance(message, events.Event)]


def text_of(messages: list[events.Event]) -> str:
    return "".join(
        message.text if isinstance(message, events.Paste) else getattr(message, "character", None) or ""
        for message in messages
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"caf\xe9 au lait", "caf\ufffd au lait"),
        (b"\xc3\xa9", "é"),
        (b"\xff\xfe\x80", "\ufffd\ufffd\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xf0\x9f\x98\x80", "😀"),
        (b"\x1b[200~a\xe9\x1b[201~b", "a\ufffdb"),
    ],
)
def test_bytes_that_are_not_utf_8_are_replaced(data: bytes, expected: str) -> None:
    assert text_of(read(data)) == expected
    assert text_of(read(*(data[index : index + 1] for index in range(len(data))))) == expected


def test_half_a_character_waits_for_its_other_half() -> None:
    assert text_of(read(b"\xc3", b"\xa9X")) == "éX"


def test_paste_is_one_message_wherever_it_is_cut() -> None:
    data = "before\x1b[200~two\r\nlines \x1b[48;9;9;9;9t\x1b]52;c;AAAA\x07 é\x1b[201~after".encode()
    for cut in range(len(data)):
        messages = read(data[:cut], data[cut:])
        [paste] = [message for message in messages if isinstance(message, events.Paste)]
        assert paste.text == "two\nlines \x1b[48;9;9;9;9t\x1b]52;c;AAAA\x07 é", cut
        assert text_of(messages) == f"before{paste.text}after", cut
        assert not any(isinstance(message, events.Resize) for message in messages)


def test_paste_without_an_end_ends_after_a_while() -> None:
    assert text_of(read(b"\x1b[200~never ended")) == "never ended"


def test_escape_key_and_keys_with_sequences() -> None:
    assert [message.key for message in read(b"\x1b") if isinstance(message, events.Key)] == ["escape"]
    assert [message.key for message in read(b"\x1b[A\x1b[20~") if isinstance(message, events.Key)] == ["up", "f9"]


@pytest.mark.parametrize(
    "sequence",
    [
        b"\x1b[99999999999;1u",
        b"\x1b[55296;1u",
        b"\x1b[97;1;99999999999u",
        b"\x1b[97;1;55296u",
        b"\x1b[<99999999999999;5;5M",
        b"\x1b[<0;0;0M",
        b"\x1b[48;0;0;0;0t",
        b"\x1b[48;99999;99999;1;1t",
        b"\x1b[999999999;999999999R",
        b"\x1b[?2026;9$y",
        b"\x1b" * 40,
        b"\x1b[" + b"1;" * 40 + b"u",
        b"\x1bP" + b"q" * 40 + b"\x1b\\",
    ],
)
def test_odd_escape_sequences_do_not_swallow_what_follows(sequence: bytes) -> None:
    assert text_of(read(sequence, b"", b"x")).endswith("x")
    for message in read(sequence + b"x"):
        if isinstance(message, events.Resize):
            assert 0 < message.size.width <= MAX_COLUMNS
            assert 0 < message.size.height <= MAX_ROWS


def test_long_text_without_marks_of_a_paste_is_a_paste() -> None:
    messages = read(b"line of text\r" * 1000)
    assert all(isinstance(message, events.Paste) for message in messages)
    assert text_of(messages) == "line of text\n" * 1000


def test_long_text_between_escape_sequences_is_a_paste() -> None:
    messages = read(b"\x1b[A" + b"a" * 5000 + b"\x1b[B")
    assert [type(message) for message in messages] == [events.Key, events.Paste, events.Key]


def test_one_long_line_with_enter_is_sent() -> None:
    *pastes, enter = read(b"word " * 100 + b"\r")
    assert text_of(list(pastes)) == "word " * 100
    assert isinstance(enter, events.Key)
    assert enter.key == "enter"


def test_random_bytes_are_always_messages() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        pieces = [
            rng.choice([rng.randbytes(9), b"\x1b[", b"\x1b[<", b"200~", b"1;2u", b"M", b"48;"]) for _ in range(40)
        ]
        assert all(isinstance(message, Message) for message in read(*pieces))
        # Whatever came before, a paste that is whole arrives.
        later = read(*pieces, b"\x1b[201~", b"\x1b[200~the end\x1b[201~")
        assert any(isinstance(message, events.Paste) and message.text == "the end" for message in later)


@pytest.mark.usefixtures("unset")
def test_latin_1_text_in_the_terminal_of_the_app() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PARLEY_MODEL": "scripted"}
    with TerminalProcess([sys.executable, "-m", "parley"], env) as process:
        process.wait_for("ready")
        process.send(b"caf\xe9 \xff\x1b[99999999999;1u\xc3")
        process.send(b"\r")
        process.wait_for("You said: caf\ufffd")
        process.send(b"\x11")
        assert process.wait() == 0
