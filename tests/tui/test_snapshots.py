"""The look of the screens, compared with accepted snapshots."""

from pathlib import Path

import pytest
from textual.pilot import Pilot

from assistant.attachments.images import ImageLoader
from assistant.conversation.session import Session
from assistant.errors import ModelError
from assistant.messages import Message, assistant, user
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from tests.fakes.tui import MakeApp, Person, SnapCompare, hide_variations
from tui.app import ParleyApp
from tui.widgets.prompt import Prompt

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


async def wait_for_previews(person: Person) -> None:
    """Wait until the images have their size, visible or not."""
    await person.wait_until(
        lambda: [canvas for canvas in person.app.screen.query("HalfcellImage") if canvas.size.height > 3]
    )


def test_empty_conversation(make_app: MakeApp, snap_compare: SnapCompare) -> None:
    async def look(pilot: Pilot[None]) -> None:
        person = Person(pilot)
        await person.expect_text("ready", "StatusBar")
        hide_variations(person)

    assert snap_compare(make_app(ScriptedModel()), run_before=look, terminal_size=(90, 30))


@pytest.mark.parametrize("size", [(90, 44), (40, 12)], ids=["large", "small"])
def test_conversation_about_an_image(
    make_app: MakeApp, snap_compare: SnapCompare, image_path: Path, size: tuple[int, int]
) -> None:
    async def look(pilot: Pilot[None]) -> None:
        person = Person(pilot)
        await person.expect_text("ready", "StatusBar")
        await person.paste(str(image_path))
        await person.expect_text("holiday", "AttachmentChip")
        await person.send("What is this?")
        await person.expect_text("lines stay lines", "AssistantMessage")
        await wait_for_previews(person)
        await person.expect_text("ready", "StatusBar")
        hide_variations(person)

    assert snap_compare(make_app(ScriptedModel(REPLY)), run_before=look, terminal_size=size)


def test_message_with_attachments_and_a_hint(make_app: MakeApp, snap_compare: SnapCompare, image_path: Path) -> None:
    earlier = [user("Tell me a story"), assistant("Once upon a time there was", interrupted=True)]

    async def look(pilot: Pilot[None]) -> None:
        person = Person(pilot)
        await person.expect_text("ready", "StatusBar")
        for count in (1, 2):
            await person.paste(str(image_path))
            await person.wait_until(lambda count=count: person.read("AttachmentChip").count("holiday") == count)  # type: ignore[misc]
        await person.send("/caption\nnowhere.png")
        await person.expect_text("does not exist", "Composer")
        hide_variations(person)

    assert snap_compare(make_app(ScriptedModel(), messages=earlier), run_before=look, terminal_size=(90, 24))


def test_model_that_cannot_be_loaded(snap_compare: SnapCompare) -> None:
    def build(progress: Progress) -> Session:
        raise ModelError("The decoder cannot be fetched, as there is no network: connect once, then it works offline.")

    async def look(pilot: Pilot[None]) -> None:
        person = Person(pilot)
        await person.expect_text("no network", "Notice")
        await person.type("Are you there?")
        person.app.screen.query_one(Prompt).cursor_blink = False

    assert snap_compare(ParleyApp(build), run_before=look, terminal_size=(70, 24))


def test_images_of_a_resumed_conversation(make_app: MakeApp, snap_compare: SnapCompare, image_path: Path) -> None:
    image = ImageLoader().load(image_path).image
    earlier: list[Message] = [user("What is this, and what is it doing?", image), assistant("A ball. It does nothing.")]

    async def look(pilot: Pilot[None]) -> None:
        person = Person(pilot)
        await wait_for_previews(person)
        await person.expect_text("A ball.", "AssistantMessage")
        await person.expect_text("ready", "StatusBar")
        hide_variations(person)

    assert snap_compare(make_app(ScriptedModel(), messages=earlier), run_before=look, terminal_size=(90, 30))
