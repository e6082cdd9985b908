"""Markdown of replies keeps what the model wrote."""

import pytest

from assistant.messages import assistant, user
from assistant.models.scripted import ScriptedModel
from tests.fakes.tui import MakeApp, RunApp
from tui.markdown_parser import make_parser
from tui.widgets.assistant_message import AssistantMessage


def drawn(text: str) -> str:
    """Return the text of all blocks, in order, one on each line."""
    lines = []
    for token in make_parser().parse(text):
        if token.type == "inline":
            lines.append(
                "".join("\n" if child.type.endswith("break") else child.content for child in token.children or ())
            )
        elif token.type in ("fence", "code_block"):
            lines.append(token.content)
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        r"The area is \(\pi r^2\), and \(a_1 * b_2 * c_3\) too.",
        r"So \[ \frac{a_1}{b_1} * \{x\} \] holds.",
        r"$a_1 + b_1$ and $$x_1 * y_2 * z$$",
        "\\[\nx = a \\\\\n- b \\\\\n= c_1 * d_1 *\n\\]",
        "$$\n# no heading\n$$",
        "\\begin{align}\na &= b \\\\\n+ c &= d\n\\end{align}",
        r"\\server\share and C:\Users\me\new.txt",
        r"The expression \d+\.\w{2,}\-\[a\]\(b\) matches.",
        "A line that ends with a backslash \\\nand another.",
        "It costs $5, not $6.",
        "<tag> and <b>bold</b> and <!-- a comment --> and <think>",
        "In HTML write &lt; and &amp;amp;.",
        "my_variable_name, __init__ and 2*3*4",
        "[1]: https://example.org/source",
        "| a | b |\n|---|---|\n| 1 | 2 | 3 |",
        "| a |\n|---|---|\n| 1 |",
        "\\",
        "$",
    ],
)
def test_what_the_model_wrote_stays(text: str) -> None:
    assert drawn(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**bold** and *soft* and ~~gone~~", "bold and soft and gone"),
        (r"\*not soft\* and \_this\_", "*not soft* and _this_"),
        ("`a*b*c` and `\\(`", "a*b*c and \\("),
        ("```\n\\[x\\]\n```", "\\[x\\]\n"),
        ("- one\n  \\[\n  - x\n  \\]\n- two", "one\n\\[\n- x\n\\]\ntwo"),
        ("这是**重点**内容", "这是重点内容"),
        ("\\[ never closed\n\n- a", "\\[ never closed\na"),
    ],
)
def test_markdown_is_still_markdown(text: str, expected: str) -> None:
    assert drawn(text) == expected


def test_text_that_is_nested_too_deeply_is_not_dropped() -> None:
    for mark in ("> ", "- ", "1. "):
        assert "the innermost words" in drawn(mark * 300 + "the innermost words")


def test_many_columns_are_text() -> None:
    line = "|" + "a|" * 1000
    assert not any(token.type == "table_open" for token in make_parser().parse(f"{line}\n|{'-|' * 1000}"))


async def test_formula_is_the_same_while_written_and_in_a_resumed_conversation(
    make_app: MakeApp, run_app: RunApp
) -> None:
    reply = "The sum:\n\\[\n- a_1 \\\\\n- b_1\n\\]\nis \\(x\\)."
    async with run_app(make_app(ScriptedModel(reply), messages=[user("Sum?"), assistant(reply)])) as person:
        await person.expect_text("is \\(x\\).", "AssistantMessage")
        await person.send("Again")
        await person.expect_text("ready", "StatusBar")
        await person.wait_until(lambda: person.read("AssistantMessage").count("is \\(x\\).") == 2)
        first, second = (
            "\n".join(person.read(f"#{widget.id}").split("\n"))
            for widget in _named(list(person.app.screen.query(AssistantMessage)))
        )
        assert first == second
        assert "- a_1 \\\\" in first


def _named(widgets: list[AssistantMessage]) -> list[AssistantMessage]:
    for number, widget in enumerate(widgets):
        widget.id = f"reply-{number}"
    return widgets


async def test_line_breaks_of_every_kind_lose_nothing(make_app: MakeApp, run_app: RunApp) -> None:
    words = [f"word{number}" for number in range(8)]
    breaks = ("\u2028 ", "\x0c ", "\x85 ", "\r ", "\r\n ", "\x0b ", "\n\n ")
    reply = "".join(word + line_break for word, line_break in zip(words, (*breaks, ""), strict=True))
    async with run_app(make_app(ScriptedModel(reply))) as person:
        await person.send("Go")
        await person.expect_text("word7", "AssistantMessage")
        await person.expect_text("ready", "StatusBar")
        assert person.read("AssistantMessage").split() == words


async def test_endless_reply_is_shown_to_a_limit_and_says_so(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel("".join(f"{number:05}" for number in range(40_000))))) as person:
        await person.send("Go")
        await person.expect_text("140,000 characters more", "AssistantMessage")
        await person.expect_text("ready", "StatusBar")
