"""The skills on the bundled model as it comes, with a picture that nobody owns."""

import asyncio
import io

import PIL.Image
import PIL.ImageDraw
import pytest

from assistant.conversation.session import Session
from assistant.events import SkillResult
from assistant.messages import Image, user
from assistant.models.local.model import LocalModel
from assistant.settings import load
from parley.factory.models import assemble_pocket
from skills import VisionClient, caption, vqa
from skills.slash_commands import SlashCommandRouter
from tests.fakes.skills import make_text_image, reply_text, run_turn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def pocket() -> LocalModel:
    return LocalModel.load(str(assemble_pocket(load().settings)))


@pytest.fixture(scope="module")
def ball() -> Image:
    """A ball on grass, drawn."""
    picture = PIL.Image.new("RGB", (260, 260), (90, 160, 60))
    PIL.ImageDraw.Draw(picture).ellipse((70, 70, 190, 190), fill=(235, 120, 30))
    data = io.BytesIO()
    picture.save(data, "PNG")
    return Image(data.getvalue(), "image/png", 260, 260, "ball.png")


def test_it_captions(pocket: LocalModel, ball: Image) -> None:
    result = caption(ball, VisionClient(pocket), style="dense")
    assert result.text.endswith(".")
    assert len(result.regions) == 4
    assert all(region.text for region in result.regions)


def test_its_confidence_is_a_calibrated_probability(pocket: LocalModel, ball: Image) -> None:
    result = vqa(ball, "What is this?", VisionClient(pocket))
    assert result.calibrated
    assert result.confidence is not None
    assert 0 < result.confidence < 1


def test_it_chooses_among_given_answers_alone(pocket: LocalModel, ball: Image) -> None:
    model = VisionClient(pocket)
    for options in (("ball", "refrigerator"), ("refrigerator", "ball")):
        result = vqa(ball, "What is this?", model, choice=options)
        assert result.answer == "ball"
        assert result.confidence is not None
        assert result.confidence > 0.5
    assert vqa(ball, "Is there a horse?", model, yes_no=True).answer == "no"


def test_what_nobody_can_see_is_not_visible(pocket: LocalModel, ball: Image) -> None:
    result = vqa(ball, "Who took this picture?", VisionClient(pocket))
    assert (result.answer, result.visible) == ("not visible", False)


def test_asked_for_words_it_lets_them_be_read(pocket: LocalModel) -> None:
    async def ask() -> list[object]:
        session = Session(pocket, router=SlashCommandRouter(lambda: pocket))
        return [*await run_turn(session, user("What does the sign say?", make_text_image((40, 40, "STOP"))))]

    events = asyncio.run(ask())
    assert [event.skill for event in events if isinstance(event, SkillResult)] == ["read"]
    assert reply_text(events) == "It says `STOP`."  # type: ignore[arg-type]
