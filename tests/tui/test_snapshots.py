"""How the screens look, compared with pictures of them that were looked at and accepted."""

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from assistant.attachments.images import ImageLoader
from assistant.conversation.session import Session
from assistant.errors import ModelError
from assistant.events import Usage
from assistant.messages import Message, assistant, user
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from tests.tui.conftest import MakeApp, Person
from tui.app import ParleyApp
from tui.widgets.prompt import Prompt
from tui.widgets.status_bar import StatusBar

SnapCompare = Callable[..., bool]

REPLY = """\
### What I see

An **orange** ball in front of a *blue* sky:

1. it is round
2. it has no shadow
   - so there is no sun, or too much of it

```python
def ball(radius: float) -> float:
    return 3.14159 * radius**2
```

| what | colour |
|------|--------|
| ball | orange |
| sky  | blue   |

> Tags like <b> are text,
> and lines stay lines."""


async def drawn(person: Person) -> None:
    """Wait until the pictures have found their size, in sight or not."""
    await person.until(
        lambda: [canvas for canvas in person.app.screen.query("HalfcellImage") if canvas.size.height > 3]
    )


def calm(person: Person) -> None:
    """Without what differs from run to run: the blinking of the cursor and how fast the reply was."""
    person.app.screen.query_one(Prompt).cursor_blink = False
    person.app.screen.query_one(StatusBar).usage = Usage(300, 0, 100, first_token_seconds=1.0, total_seconds=5.0)


def test_an_empty_conversation(make_app: MakeApp, snap_compare: SnapCompare) -> None:
    async def look(pilot: Pilot[None]) -> None:
        person = Person(pilot)
        await person.sees("ready", "StatusBar")
        calm(person)

    assert snap_compare(make_app(ScriptedModel()), run_before=look, terminal_size=(90, 30))


@pytest.mark.parametrize("size", [(90, 44), (40, 12)], ids=["large", "small"])
def test_a_conversation_about_a_picture(
    make_app: MakeApp, snap_compare: SnapCompare, picture: Path, size: tuple[int, int]
) -> None:
    async def look(pilot: Pilot[None]) -> None:
        person = Person(pilot)
        await person.sees("ready", "StatusBar")
        await person.paste(str(picture))
        await person.sees("holiday", "AttachmentChip")
        await person.type("What is this?")
        await person.press("enter")
        await person.sees("lines stay lines", "AssistantMessage")
        await drawn(person)
        await person.sees("ready", "StatusBar")
        calm(person)

    assert snap_compare(make_app(ScriptedModel(REPLY)), run_before=look, terminal_size=size)


def test_a_message_being_put_together(make_app: MakeApp, snap_compare: SnapCompare, picture: Path) -> None:
    earlier = [user("Tell me a story"), assistant("Once upon a time there was", interrupted=True)]

    async def look(pilot: Pilot[None]) -> None:
        person = Person(pilot)
        await person.sees("ready", "StatusBar")
        for count in (1, 2):
            await person.paste(str(picture))
            await person.until(lambda count=count: person.read("AttachmentChip").count("holiday") == count)  # type: ignore[misc]
        await person.type("Compare these:\n- colours\n- nowhere.png")
        await person.press("enter")
        await person.sees("does not exist", "Composer")
        calm(person)

    assert snap_compare(make_app(ScriptedModel(), messages=earlier), run_before=look, terminal_size=(90, 24))


def test_a_model_that_cannot_be_had(snap_compare: SnapCompare) -> None:
    def build(progress: Progress) -> Session:
        raise ModelError("The decoder cannot be fetched, as there is no network: connect once, then it works offline.")

    async def look(pilot: Pilot[None]) -> None:
        person = Person(pilot)
        await person.sees("no network", "Notice")
        await person.type("Are you there?")
        person.app.screen.query_one(Prompt).cursor_blink = False

    assert snap_compare(ParleyApp(build), run_before=look, terminal_size=(70, 24))


def test_pictures_of_a_resumed_conversation(make_app: MakeApp, snap_compare: SnapCompare, picture: Path) -> None:
    image = ImageLoader().load(picture).image
    earlier: list[Message] = [user("What is this, and what is it doing?", image), assistant("A ball. It does nothing.")]

    async def look(pilot: Pilot[None]) -> None:
        person = Person(pilot)
        await drawn(person)
        await person.sees("A ball.", "AssistantMessage")
        await person.sees("ready", "StatusBar")
        calm(person)

    assert snap_compare(make_app(ScriptedModel(), messages=earlier), run_before=look, terminal_size=(90, 30))
