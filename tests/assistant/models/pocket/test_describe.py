"""A look at an image."""

import io
import re
import threading
from collections.abc import Sequence
from typing import Any

import PIL.Image
import pytest
from PIL import ImageDraw

from assistant.messages import Image
from assistant.models.pocket.describe import Describer, weighed_kinds
from assistant.models.pocket.image_description import Certainty, Kind
from assistant.models.pocket.recognizer import Recognition
from assistant.models.pocket.text_in_image import TextInImage
from assistant.models.scripted import ScriptedModel
from tests.assistant.models.pocket.test_drawings import photo, silhouette

DOG, NAMES = 220, tuple(f"class {number}" for number in range(1000))


class FixedRecognizer:
    """Sees the same in every image."""

    class_names = NAMES

    def __init__(self, classes: dict[int, float], words: dict[str, float]) -> None:
        self._seen = Recognition([classes.get(number, 0.0) for number in range(1000)], words)

    def recognize(self, images: Sequence[PIL.Image.Image]) -> list[Recognition]:
        return [self._seen] * len(images)


def attach(pixels: PIL.Image.Image) -> Image:
    file = io.BytesIO()
    pixels.save(file, "PNG")
    return Image(file.getvalue(), "image/png", pixels.width, pixels.height, "image.png")


def describer(classes: dict[int, float], words: dict[str, float], caption: str = "", **parts: Any) -> Describer:
    return Describer(FixedRecognizer(classes, words), ScriptedModel(*([caption] if caption else [])), **parts)  # type: ignore[arg-type]


def test_a_photo_has_kind_caption_faces_and_text() -> None:
    found = describer(
        {DOG: 0.9},
        {"dog": 0.9, "grass": 0.5, "ball": 0.8},
        "A dog is running through the grass.",
        count_faces=lambda _: 1,
        read_text=lambda *_: TextInImage(("REX",)),
    ).describe(attach(photo()))
    assert found.caption == "A dog is running through the grass."
    assert found.others == ("a ball",)
    assert (found.faces, found.text, found.is_page) == (1, ("REX",), False)


class Broken:
    """Fails whatever it is asked."""

    class_names = NAMES

    def __call__(self, *_: object, **__: object) -> Any:
        raise RuntimeError("out of memory")

    recognize = stream = score = __call__


def test_a_part_that_fails_leaves_the_rest_of_the_description() -> None:
    notices: list[str] = []
    sees = describer(
        {DOG: 0.9},
        {"dog": 0.9, "grass": 0.5, "ball": 0.8},
        "A dog is running through the grass.",
        count_faces=Broken(),
        read_text=Broken(),
        on_notice=notices.append,
    )
    found = sees.describe(attach(photo()))
    assert (found.caption, found.others, found.faces, found.text) == (
        "A dog is running through the grass.",
        ("a ball",),
        None,
        (),
    )
    sees.describe(attach(photo()))
    assert [re.sub("could not.*: ", "- ", notice) for notice in notices] == [
        "Of image.png, its text - out of memory.",
        "Of image.png, the faces in it - out of memory.",
    ]


def test_without_its_models_an_image_has_its_colours_and_its_text() -> None:
    notices: list[str] = []
    sees = Describer(
        Broken(),  # type: ignore[arg-type]
        Broken(),  # type: ignore[arg-type]
        read_text=lambda *_: TextInImage(("REX",)),
        on_notice=notices.append,
    )
    found = sees.describe(attach(photo()))
    assert found.text == ("REX",)
    assert found.colours.largest
    assert (found.kinds, found.caption, found.others) == ((), None, ())
    assert len(notices) == 2


def test_a_guessed_caption_is_not_in_the_description() -> None:
    found = describer({657: 0.3}, {"dog": 0.01}, "A dog is running on a dirt track.").describe(attach(photo()))
    assert "dog" not in found.as_text()


def test_a_silhouette_is_nothing_in_particular() -> None:
    found = describer({DOG: 0.4}, {"dog": 0.5}, "A picture of a dog.").describe(attach(silhouette()))
    assert found.is_drawn
    assert "dog" not in found.as_text()


def test_a_page_is_not_shown_to_the_small_model() -> None:
    rows = ("Dear customer, thank you for your order number 4711,", "which we have sent to you today.")
    page = describer({DOG: 0.9}, {"dog": 0.9}, read_text=lambda *_: TextInImage(rows)).describe(attach(photo()))
    assert page.is_page
    assert "dog" not in page.as_text()


@pytest.mark.parametrize("size", [(200, 200), (1, 1), (3, 4000)])
def test_a_plain_image_is_plain_at_any_size(size: tuple[int, int]) -> None:
    found = describer({DOG: 0.9}, {"dog": 0.9}).describe(attach(PIL.Image.new("RGB", size, "red")))
    assert found.as_text() == "A plain red picture with nothing in it."


def test_a_stopped_look_asks_nobody() -> None:
    def never(*_: object) -> Any:
        raise AssertionError

    stop = threading.Event()
    stop.set()
    found = describer({DOG: 0.9}, {}, count_faces=never, read_text=never).describe(attach(photo()), stop)
    assert found.caption is None


def test_transparent_images_are_seen_on_white() -> None:
    pixels = PIL.Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    ImageDraw.Draw(pixels).ellipse((50, 50, 150, 150), (255, 0, 0, 255))
    found = describer({}, {}, "A circle.").describe(attach(pixels))
    assert (found.colours.thing, found.colours.background) == ("red", "white")


def test_a_sign_is_its_words() -> None:
    found = describer({}, {}, "A picture of a dog.", read_text=lambda *_: TextInImage(("NO PARKING",))).describe(
        attach(silhouette())
    )
    assert found.as_text() == 'A page or screen with text. The text in it:\nLine 1: "NO PARKING"'


def test_what_is_less_sure_than_the_caption_is_left_out() -> None:
    unsure, likely, sure = ((Kind("cap", certainty),) for certainty in reversed(Certainty))
    assert weighed_kinds(unsure, None, ()) == unsure
    assert weighed_kinds(unsure, None, ("a dog",)) == ()
    assert weighed_kinds(likely, None, ("a dog",)) == likely
    assert weighed_kinds(likely, "A person is swimming.", ()) == ()
    assert weighed_kinds(sure, "A person is swimming.", ()) == sure
