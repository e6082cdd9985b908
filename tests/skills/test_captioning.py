"""Captions in each style, and the regions of a dense caption."""

import dataclasses
import io

import PIL.Image
import pytest

from assistant.errors import SkillError
from assistant.messages import Image
from assistant.models.scripted import ScriptedModel
from skills import VisionClient, caption, vqa
from skills.captioning import MAX_ALT_TEXT_CHARACTERS, tile_image, to_alt_text
from tests.fakes.skills import make_image


def test_a_short_caption(photo: Image, model: VisionClient, scripted: ScriptedModel) -> None:
    scripted.enqueue(" A red square. ")
    result = caption(photo, model=model)
    assert result.model_dump() == {
        "text": "A red square.", "style": "short", "model": "scripted", "regions": [], "regions_from": None
    }  # fmt: skip
    assert str(result) == "A red square."


def test_a_dense_caption_describes_the_image_and_its_tiles(model: VisionClient, scripted: ScriptedModel) -> None:
    photo = make_image(101, 80)
    scripted.enqueue("All red.", *"abcd")
    result = caption(photo, model=model, style="dense")
    assert result.regions_from == "tiles"
    assert [region.text for region in result.regions] == list("abcd")
    assert [region.box for region in result.regions] == [
        (0, 0, 50, 40), (50, 0, 101, 40), (0, 40, 50, 80), (50, 40, 101, 80)
    ]  # fmt: skip
    assert "tiles" in str(result)
    first, *tiles = [prompt[0].images[0] for prompt in scripted.prompts]
    assert first == photo
    assert [(tile.width, tile.height) for tile in tiles] == [(50, 40), (51, 40), (50, 40), (51, 40)]


def test_a_detailed_caption_ends_before_the_first_repetition(
    photo: Image, model: VisionClient, scripted: ScriptedModel
) -> None:
    scripted.enqueue("A man is sitting. He wears a hat. A man is sitting. He wears a hat. A man is sit")
    assert caption(photo, model=model, style="detailed").text == "A man is sitting. He wears a hat."
    paragraphs = "1. A man is sitting.\n\n2. He wears a hat.\n\nBehind:\n1. A dog waits."
    scripted.enqueue(paragraphs)
    assert caption(photo, model=model, style="detailed").text == paragraphs
    scripted.enqueue("A man is sitting. A man is")
    assert caption(photo, model=model, style="detailed").text == "A man is sitting."


@pytest.fixture
def grounding_model(scripted: ScriptedModel) -> VisionClient:
    scripted.info = dataclasses.replace(scripted.info, supports_grounding=True)
    return VisionClient(scripted)


def test_a_model_with_grounding_chooses_the_regions(grounding_model: VisionClient, scripted: ScriptedModel) -> None:
    scripted.enqueue(
        "A dog on grass.",
        """```json
[
  {"bbox_2d": [0, 500, 500, 1000], "label": "a brown\n dog"},
  {"bbox_2d": [900, -5, 1012, 250], "label": "a ball"},
  {"bbox_2d": [300, 300, 300, 400], "label": "a line"},
  {"bbox_2d": [1, 2, 3], "label": "half a box"},
  {"label": "no box"},
  {"bbox_2d": [10, 10, 20, 20], "label": ""},
  {"bbox_2d": [10, 10,""",
    )
    result = caption(make_image(200, 100), model=grounding_model, style="dense")
    assert result.regions_from == "model"
    assert [(region.box, region.text) for region in result.regions] == [
        ((0, 50, 100, 100), "a brown dog"), ((180, 0, 200, 25), "a ball")
    ]  # fmt: skip
    assert "tiles" not in str(result)
    assert "a ball  (180,0 to 200,25)" in str(result)


def test_without_boxes_in_the_reply_the_regions_are_tiles(
    grounding_model: VisionClient, scripted: ScriptedModel
) -> None:
    scripted.enqueue("All red.", "I see nothing that matters.", *"abcd")
    result = caption(make_image(101, 80), model=grounding_model, style="dense")
    assert result.regions_from == "tiles"
    assert [region.text for region in result.regions] == list("abcd")


@pytest.mark.parametrize(
    ("width", "height", "count"), [(60, 40, 1), (64, 64, 4), (1, 1, 1), (2000, 1500, 9), (2000, 40, 3), (31, 500, 2)]
)
def test_tiles_cover_the_image_and_are_not_too_small(width: int, height: int, count: int) -> None:
    tiles = list(tile_image(make_image(width, height)))
    assert len(tiles) == count
    covered = sum((right - left) * (bottom - top) for (left, top, right, bottom), _ in tiles)
    assert covered == width * height


def test_tiles_are_cut_from_the_upright_image() -> None:
    upright = PIL.Image.new("RGB", (80, 64), "white")
    upright.paste("blue", (0, 0, 40, 32))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    data = io.BytesIO()
    upright.transpose(PIL.Image.Transpose.ROTATE_90).save(data, "PNG", exif=exif)
    (box, first), *_ = tile_image(Image(data.getvalue(), "image/png", 80, 64, "turned.png"))
    assert box == (0, 0, 40, 32)
    with PIL.Image.open(io.BytesIO(first.data)) as opened:
        assert opened.getcolors() == [(40 * 32, (0, 0, 255))]


def test_alt_text_is_short_and_does_not_begin_with_a_picture_of() -> None:
    assert to_alt_text("a photo of a dog on grass.") == "A dog on grass."
    assert to_alt_text("This picture shows\ntwo cats") == "Two cats"
    assert to_alt_text("Photographers at work.") == "Photographers at work."
    assert to_alt_text("A picture frame on a wall.") == "A picture frame on a wall."
    assert to_alt_text("A short one. " + "words and " * 20) == "A short one."
    long = to_alt_text("word " * 60)
    assert len(long) <= MAX_ALT_TEXT_CHARACTERS
    assert long.endswith("word…")
    assert to_alt_text("") == ""


def test_the_style_alt_text_trims_the_caption(photo: Image, model: VisionClient, scripted: ScriptedModel) -> None:
    scripted.enqueue("A picture of a red square.")
    assert caption(photo, model=model, style="alt-text").text == "A red square."


def test_the_language_is_part_of_the_prompt(photo: Image, model: VisionClient) -> None:
    assert "Answer in German." in caption(photo, model=model, language="German").text


def test_the_bundled_model_refuses_other_languages_than_english(photo: Image, scripted: ScriptedModel) -> None:
    scripted.info = dataclasses.replace(scripted.info, bundled=True)
    with pytest.raises(SkillError, match="writes English only: choose another one with --model for German"):
        caption(photo, model=VisionClient(scripted), language="German")
    scripted.enqueue("A square.")
    assert caption(photo, model=VisionClient(scripted), language="English").text == "A square."


def test_a_reply_that_is_cut_off_is_marked(photo: Image) -> None:
    words = " ".join(f"{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(100))
    assert caption(photo, model=VisionClient(ScriptedModel(words))).text.endswith(" …")


def test_a_caption_in_a_loop_is_ended_and_marked(photo: Image) -> None:
    text = caption(photo, model=VisionClient(ScriptedModel("a dog and " * 100))).text
    assert text.endswith("…")
    assert 3 < text.count("dog") < 20


def test_a_reply_without_words_is_an_error(photo: Image) -> None:
    class SilentModel(VisionClient):
        def ask(self, question: str, *images: Image, max_tokens: int = 64) -> str:
            return " \u200b\x07\n"

    for style in ("short", "detailed", "dense", "alt-text"):
        with pytest.raises(SkillError, match="answered nothing"):
            caption.run({"photo": photo, "style": style}, SilentModel(ScriptedModel()))
    with pytest.raises(SkillError, match="answered nothing"):
        vqa(photo, question="What is it?", model=SilentModel(ScriptedModel()))
