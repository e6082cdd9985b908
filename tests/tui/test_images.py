"""Images in the app: attaching, removing, drawing, and errors."""

from pathlib import Path

import PIL.Image
import pytest

from assistant.attachments.images import ImageLoader
from assistant.conversation.session import Session
from assistant.errors import ModelError
from assistant.messages import Image, Message, Text, user
from assistant.models.scripted import ScriptedModel
from tests.fakes.conversation import PreparingModel
from tests.fakes.tui import MakeApp, RunApp
from tui.app import ParleyApp
from tui.widgets.attachment_chip import AttachmentChip
from tui.widgets.image_preview import ImagePreview, can_draw_pixels, fit_cells


@pytest.mark.parametrize("spelling", ["{path}", "'{path}'", '"{path}"', "file://{url}", " {escaped}\n"])
async def test_pasted_path_becomes_an_attachment(
    make_app: MakeApp, run_app: RunApp, image_path: Path, spelling: str
) -> None:
    model = ScriptedModel("A sunset.")
    async with run_app(make_app(model)) as person:
        escaped = str(image_path).replace(" ", "\\ ")
        await person.paste(spelling.format(path=image_path, url=image_path.as_uri()[len("file://") :], escaped=escaped))
        await person.expect_text("my holiday photo.png · 160×120", "AttachmentChip")
        assert person.input == ""
        assert len(person.app.screen.query(AttachmentChip)) == 1
        await person.send("What is this?")
        await person.expect_text("A sunset.", "AssistantMessage")
        message = model.prompts[0][-1]
        assert message.text == "What is this?"
        assert message.images == (ImageLoader().load(image_path).image,)
        assert not person.app.screen.query(AttachmentChip)
        await person.expect_text("my holiday photo.png · 160×120", "ImagePreview")
        await person.expect_text("▀" * 10, "ImagePreview")


async def test_an_attached_image_is_looked_at_while_the_question_is_typed(
    make_app: MakeApp, run_app: RunApp, image_path: Path
) -> None:
    model = PreparingModel()
    model.may_end.set()
    async with run_app(make_app(model)) as person:
        await person.paste(str(image_path))
        image = ImageLoader().load(image_path).image
        await person.wait_until(lambda: ("prepared", (user("", image),)) in model.calls)
        await person.press("backspace")
        await person.wait_until(lambda: model.calls[-1] == ("prepared", (user(""),)))
        assert not model.prompts


async def test_pasted_words_stay_words(make_app: MakeApp, run_app: RunApp, image_path: Path) -> None:
    async with run_app(make_app(ScriptedModel())) as person:
        await person.paste("What about\nthis?")
        assert person.input == "What about\nthis?"
        assert not person.app.screen.query(AttachmentChip)


async def test_typed_path_is_attached_on_sending(make_app: MakeApp, run_app: RunApp, image_path: Path) -> None:
    model = ScriptedModel("A sunset.")
    async with run_app(make_app(model)) as person:
        await person.paste(f"What is this? '{image_path}'")
        await person.press("enter")
        await person.expect_text("A sunset.", "AssistantMessage")
        assert model.prompts[0][-1].text == "What is this?"
        assert [image.name for image in model.prompts[0][-1].images] == [image_path.name]


async def test_path_without_words_becomes_an_attachment_and_is_not_sent(
    make_app: MakeApp, run_app: RunApp, image_path: Path
) -> None:
    model = ScriptedModel()
    async with run_app(make_app(model)) as person:
        await person.send(str(image_path))
        await person.expect_text("my holiday photo.png", "AttachmentChip")
        await person.expect_text("type a question", "Composer")
        assert model.prompts == []


@pytest.mark.parametrize("how", ["typed", "pasted"])
async def test_unreadable_image_leaves_the_text_in_the_input(
    make_app: MakeApp, run_app: RunApp, tmp_path: Path, how: str
) -> None:
    model = ScriptedModel()
    broken = tmp_path / "broken.png"
    broken.write_text("not a picture at all")
    async with run_app(make_app(model), (120, 30)) as person:
        await (person.send if how == "typed" else person.paste)(str(broken))
        await person.expect_text("broken.png is", "Composer")
        await person.wait_until(lambda: person.input == str(broken))
        assert model.prompts == []


async def test_text_typed_after_a_wrong_path_is_kept(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel())) as person:
        await person.paste("/nowhere/a.png")
        await person.expect_text("a.png does not exist", "Composer")
        await person.press("enter", "a", "b")
        await person.expect_text("↑ brings back", "Composer")
        assert person.input == "ab"
        await person.press("up")
        await person.wait_until(lambda: person.input == "/nowhere/a.png")


async def test_name_without_a_file_is_sent_as_text_with_a_notice(make_app: MakeApp, run_app: RunApp) -> None:
    model = ScriptedModel("With Pillow.")
    async with run_app(make_app(model)) as person:
        await person.send("How do I convert gone.png to WebP?")
        await person.expect_text("With Pillow.", "AssistantMessage")
        await person.expect_text("gone.png is not a file here", "Notice")
        assert model.prompts[0][-1] == user("How do I convert gone.png to WebP?")


async def test_links_are_refused_unless_allowed(make_app: MakeApp, run_app: RunApp) -> None:
    async with run_app(make_app(ScriptedModel())) as person:
        await person.paste("https://example.org/cat.png")
        await person.expect_text("links are off", "Composer")
        assert person.input == "https://example.org/cat.png"


async def test_image_over_the_megapixel_limit_is_refused(run_app: RunApp, image_path: Path) -> None:
    app = ParleyApp(lambda _: Session(ScriptedModel()), image_loader=ImageLoader(max_megapixels=0.01))
    async with run_app(app) as person:
        await person.paste(str(image_path))
        await person.expect_text("megapixels", "Composer")


async def test_backspace_or_a_click_removes_an_attachment(make_app: MakeApp, run_app: RunApp, image_path: Path) -> None:
    model = ScriptedModel("Fine.")
    async with run_app(make_app(model)) as person:
        for count in (1, 2):
            await person.paste(str(image_path))
            await person.wait_until(lambda count=count: len(person.app.screen.query(AttachmentChip)) == count)  # type: ignore[misc]
        await person.press("a", "backspace", "backspace")
        await person.wait_until(lambda: len(person.app.screen.query(AttachmentChip)) == 1)
        await person.click("AttachmentChip")
        await person.wait_until(lambda: not person.app.screen.query(AttachmentChip))
        await person.send("No picture")
        await person.expect_text("Fine.")
        assert model.prompts[0][-1] == user("No picture")


async def test_notices_about_an_image_are_shown(make_app: MakeApp, run_app: RunApp, tmp_path: Path) -> None:
    path = tmp_path / "waving.gif"
    frames = [PIL.Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    async with run_app(make_app(ScriptedModel("Red."))) as person:
        await person.paste(str(path))
        await person.expect_text("waving.gif is animated", "Composer")
        await person.press("backspace")
        await person.paste(f"What colour? {path}")
        await person.press("enter")
        await person.expect_text("Red.", "AssistantMessage")
        await person.expect_text("waving.gif is animated", "Notice")


async def test_failed_turn_returns_the_attachments(make_app: MakeApp, run_app: RunApp, image_path: Path) -> None:
    model = ScriptedModel()
    model.enqueue(ModelError("This model cannot see pictures: choose another."))
    async with run_app(make_app(model)) as person:
        await person.paste(str(image_path))
        await person.send("What is this?")
        await person.expect_text("cannot see pictures", "Notice")
        await person.expect_text("my holiday photo.png", "AttachmentChip")
        await person.wait_until(lambda: person.input == "What is this?")


@pytest.mark.parametrize(
    ("size", "mode"),
    [((1, 1), "RGB"), ((1, 3000), "RGB"), ((3000, 1), "L"), ((64, 64), "RGBA"), ((50, 40), "P"), ((33, 500), "CMYK")],
)
@pytest.mark.parametrize("terminal", [(80, 24), (40, 12)])
async def test_images_of_any_shape_are_drawn_within_the_terminal(
    make_app: MakeApp, run_app: RunApp, tmp_path: Path, size: tuple[int, int], mode: str, terminal: tuple[int, int]
) -> None:
    path = tmp_path / ("odd.jpg" if mode == "CMYK" else "odd.png")
    PIL.Image.new(mode, size).save(path)
    shown = user("See", ImageLoader().load(path).image)
    async with run_app(
        make_app(ScriptedModel(), messages=[shown, Message("assistant", (Text("Yes."),))]), terminal
    ) as person:
        await person.expect_text("▀", "ImagePreview")
        (canvas,) = person.app.screen.query("HalfcellImage")
        assert 1 <= canvas.size.width <= terminal[0]
        assert 1 <= canvas.size.height <= terminal[1] // 2


async def test_image_shrinks_with_the_terminal(make_app: MakeApp, run_app: RunApp, image_path: Path) -> None:
    shown = user("See", ImageLoader().load(image_path).image)
    async with run_app(make_app(ScriptedModel(), messages=[shown])) as person:
        await person.expect_text("▀", "ImagePreview")
        (canvas,) = person.app.screen.query("HalfcellImage")
        await person.wait_until(lambda: canvas.size.height == 15)
        before = canvas.size
        await person.resize(40, 12)
        await person.wait_until(lambda: canvas.size.height == 6)
        assert canvas.size.width / canvas.size.height == pytest.approx(before.width / before.height, rel=0.2)


async def test_saved_image_that_no_longer_decodes_shows_the_reason(make_app: MakeApp, run_app: RunApp) -> None:
    lost = Image(b"\x89PNG\r\n\x1a\n cut short", "image/png", 10, 10, "lost.png")
    async with run_app(make_app(ScriptedModel(), messages=[user("See", lost)])) as person:
        await person.expect_text("lost.png is damaged", "ImagePreview")
        assert len(person.app.screen.query(ImagePreview)) == 1


@pytest.mark.parametrize(
    ("size", "available", "drawn"),
    [
        ((640, 480), (64, 18), (48, 18)),  # limited by the height
        ((3000, 300), (64, 18), (64, 3)),  # limited by the width
        ((8, 8), (64, 18), (8, 4)),  # a pixel is no wider than a cell
        ((1, 5000), (64, 18), (1, 18)),
        ((5000, 1), (64, 18), (64, 1)),
    ],
)
def test_drawing_fits_the_available_cells(
    size: tuple[int, int], available: tuple[int, int], drawn: tuple[int, int]
) -> None:
    assert fit_cells(*size, *available, (10, 20)) == drawn


@pytest.mark.parametrize(("name", "value"), [("TMUX", "/run/tmux,1,0"), ("TERM", "tmux-256color"), ("TERM", "screen")])
def test_multiplexers_get_cells_of_colour(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    import textual_image.renderable

    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv("TERM", "xterm-kitty")
    monkeypatch.setattr(textual_image.renderable, "Image", textual_image.renderable.TGPImage)
    assert can_draw_pixels(headless=False)
    monkeypatch.setenv(name, value)
    assert not can_draw_pixels(headless=False)
