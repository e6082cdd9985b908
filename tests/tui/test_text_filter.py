"""No control character from outside reaches the terminal, and all other text does."""

import os
import re
import sys

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip

from assistant.messages import Image, assistant, user
from assistant.models.scripted import ScriptedModel
from tests.fakes.scripts import ROOT
from tests.fakes.terminal import TerminalProcess
from tests.fakes.tui import MakeApp, RunApp
from tui.text_filter import TextFilter

ODD_TEXT = "👨\u200d👩\u200d👧 e\u0301\u0301 שלום مرحبا 日本語 ﷺ"
HOSTILE = "\x1b]52;c;ZWNobw==\x1b\\\x1b]0;PWNED\x07\x9b31m\x90q\x9c\x85\u202e\u2066\ud800\x00\x08\x7f"
BIDIRECTIONAL = re.compile("[\u202a-\u202e\u2066-\u2069\x80-\x9f\x00-\x06\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")
BLACK = Color(0, 0, 0)


def filtered(*segments: Segment) -> Strip:
    return Strip(TextFilter().apply(list(segments), BLACK))


@pytest.mark.parametrize("control", ["\x1b[2J", "\x07", "\x9b31m", "\u202e", "\u2069", "\x7f", "\t", "\n", "\r"])
def test_controls_are_taken_out_of_a_line(control: str) -> None:
    assert filtered(Segment(f"a{control}b")).text == "a" + control.strip("\x1b\x07\x9b\u202e\u2069\x7f\t\n\r") + "b"


@pytest.mark.parametrize("text", ["👨\u200d\x07👩", "❤\x07\ufe0f", "a\x1b\u0301", "日\u202e本", "\ud800", "\x07" * 9])
def test_a_line_stays_as_wide_as_it_was_laid_out(text: str) -> None:
    before = Strip([Segment(text), Segment("|")])
    after = filtered(Segment(text), Segment("|"))
    assert after.cell_length == before.cell_length


def test_odd_text_stays() -> None:
    assert filtered(Segment(ODD_TEXT)).text == ODD_TEXT


def test_links_are_cleaned() -> None:
    [segment] = filtered(Segment("click", Style(link="https://a.b/\x1b\\\x1b]0;PWNED\x07")))
    assert segment.style is not None
    assert segment.style.link == "https://a.b/\\]0;PWNED"


def test_clean_lines_are_not_copied() -> None:
    segments = [Segment("clean"), Segment(" line")]
    assert TextFilter().apply(segments, BLACK) is segments


async def test_hostile_text_in_every_place_of_the_screen(make_app: MakeApp, run_app: RunApp) -> None:
    model = ScriptedModel(f"reply {HOSTILE} end")
    model.info = type(model.info)(f"model{HOSTILE}\nname", f"cpu{HOSTILE}", "none", 100)
    image = Image(b"no image", "image/png", 4, 3, f"photo{HOSTILE}.png")
    earlier = [user(f"question {HOSTILE}", image), assistant(f"answer {HOSTILE} {ODD_TEXT}")]
    app = make_app(model, messages=earlier)
    async with run_app(app, (100, 40)) as person:
        await person.expect_text("answer", "AssistantMessage")
        assert "שלום" in person.read("AssistantMessage")
        await person.paste(f"typed {HOSTILE} end")
        await person.press("enter")
        await person.expect_text("reply", "AssistantMessage")
        await person.expect_text("ready", "StatusBar")
        app._chat.show_notice(f"notice {HOSTILE}", failure=True)
        app._chat._spoken.show_status(f"voice {HOSTILE}")
        await person.expect_text("notice", "Notice")
        assert not BIDIRECTIONAL.search(person.read()), ascii(person.read())
        assert len(person.read("StatusBar").splitlines()) == 1


async def test_copied_text_is_clean(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel())) as person:
        person.app.copy_to_clipboard(f"rm {HOSTILE} {ODD_TEXT}")
        assert not BIDIRECTIONAL.search(person.app.clipboard)
        assert ODD_TEXT in person.app.clipboard


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:alert(1)", "--new-window", "", "mailto:a@b"])
async def test_only_links_to_the_web_are_opened(
    make_app: MakeApp, run_app: RunApp, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    async with run_app(make_app(ScriptedModel())) as person:
        await person.expect_text("ready", "StatusBar")
        person.app.open_url(url)
        await person.expect_text("is no link to the web", "Notice")
    assert opened == []


HOSTILE_APP = f"""
import asyncio, sys
from assistant.conversation.session import Session
from assistant.errors import ModelError
from assistant.messages import Image, assistant, user
from assistant.models.scripted import ScriptedModel
from tui.app import ParleyApp

HOSTILE, ODD_TEXT = {HOSTILE!a}, {ODD_TEXT!a}
model = ScriptedModel("reply " + HOSTILE + ODD_TEXT + " [link](https://a.b/" + HOSTILE + ") REPLY-END")
model.enqueue(ModelError("error " + HOSTILE + " ERROR-END"))
model.info = type(model.info)("model" + HOSTILE, "cpu", "none", 10_000)
image = Image(b"no image", "image/png", 4, 3, "photo" + HOSTILE + ".png")
messages = [user("question " + HOSTILE, image), assistant("answer " + HOSTILE)]
app = ParleyApp(lambda progress: Session(model, messages=messages))
app.run()
for notice in app.exit_notices:
    print(ascii(notice))
sys.exit(app.return_code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.usefixtures("unset")
def test_what_a_terminal_receives() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with TerminalProcess([sys.executable, "-c", HOSTILE_APP], env) as process:
        process.wait_for("ready")
        count = process.output.count(b"ready")
        process.send("hello\r")
        process.wait_for("REPLY-END")
        process.wait_until(lambda: process.output.count(b"ready") > count, "the turn did not end")
        process.send("again\r")
        process.wait_for("ERROR-END")
        process.send(b"\x11")
        assert process.wait() == 0
        # Textual's own: the shape of the pointer.
        output = re.sub(rb"\x1b\]22;[a-z]+\x07", b"", bytes(process.output))
    text = output.decode()
    for sequence in (b"\x1b]0;", b"\x1b]52;", b"\x1b]8;", b"\x1bP", b"\x07"):
        assert sequence not in output, output[max(0, output.find(sequence) - 200) :][:300]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x80-\x9f\x00\x08\x7f]", text)
    assert "👨\u200d👩\u200d👧" in text
    assert "e\u0301\u0301" in text
    assert "שלום" in text
