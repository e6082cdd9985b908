"""Skills with the bundled model, on a drawn image."""

import asyncio
import io

import PIL.Image
import PIL.ImageDraw
import pytest

from assistant.conversation.session import Session
from assistant.events import Event, SkillResult
from assistant.messages import Image, user
from assistant.models.local.model import LocalModel
from assistant.settings import load
from parley.factory.bundled import assemble_pocket
from skills import VisionClient, caption, vqa
from skills.slash_commands import SlashCommandRouter
from tests.fakes.conversation import reply_text, run_turn
from tests.fakes.skills import make_text_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def pocket() -> LocalModel:
    return LocalModel.load(str(assemble_pocket(load().settings)))


@pytest.fixture(scope="module")
def ball() -> Image:
    """Return a drawing of a ball on grass."""
    picture = PIL.Image.new("RGB", (260, 260), (90, 160, 60))
    PIL.ImageDraw.Draw(picture).ellipse((70, 70, 190, 190), fill=(235, 120, 30))
    data = io.BytesIO()
    picture.save(data, "PNG")
    return Image(data.getvalue(), "image/png", 260, 260, "ball.png")


def test_a_dense_caption_has_a_text_for_each_region(pocket: LocalModel, ball: Image) -> None:
    result = caption(ball, model=VisionClient(pocket), style="dense")
    assert result.text.endswith(".")
    assert len(result.regions) == 4
    assert all(region.text for region in result.regions)


def test_the_confidence_of_an_open_answer_is_calibrated(pocket: LocalModel, ball: Image) -> None:
    result = vqa(ball, question="What is this?", model=VisionClient(pocket))
    assert result.calibrated
    assert result.confidence is not None
    assert 0 < result.confidence < 1


def test_an_option_is_chosen_whatever_their_order(pocket: LocalModel, ball: Image) -> None:
    model = VisionClient(pocket)
    one, other = (
        vqa(ball, question="What is this?", model=model, choice=options)
        for options in (("ball", "refrigerator"), ("refrigerator", "ball"))
    )
    # Of a drawing it may also say that neither is visible.
    assert one.answer == other.answer != "refrigerator"
    assert one.confidence == pytest.approx(other.confidence, abs=0.1)
    assert vqa(ball, question="Is there a horse?", model=model, yes_no=True).answer == "no"


def test_an_answer_that_the_image_does_not_show_is_not_visible(pocket: LocalModel, ball: Image) -> None:
    result = vqa(ball, question="Who took this picture?", model=VisionClient(pocket))
    assert (result.answer, result.visible) == ("not visible", False)


def test_a_question_about_text_is_answered_by_ocr(pocket: LocalModel) -> None:
    async def ask() -> list[Event]:
        session = Session(pocket, router=SlashCommandRouter(lambda: pocket))
        return await run_turn(session, user("What does the sign say?", make_text_image((40, 40, "STOP"))))

    events = asyncio.run(ask())
    assert [event.skill for event in events if isinstance(event, SkillResult)] == ["read"]
    assert reply_text(events) == "It says `STOP`."
