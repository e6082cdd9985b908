"""The figures about descriptions of images."""

from pathlib import Path

import pytest

from assistant.attachments.images import decode
from assistant.messages import Image
from assistant.models.pocket.colours import find_colours
from assistant.models.pocket.image_description import ImageDescription
from assistant.models.scripted import ScriptedModel
from benchmarks import descriptions
from benchmarks.descriptions import Eyes, Photos, face_range, recall, supported_share


def test_things_that_captions_rule_out_are_unsupported() -> None:
    share, stated = supported_share(["A dog with a ball."], [["A dog runs in the snow."]])
    assert (share, stated) == (50, 2)
    assert recall(["A dog."], [["A dog runs in the snow."]]) == pytest.approx(50)


def test_hidden_faces_may_be_counted_or_not() -> None:
    assert face_range([[0, 0, 60, 60, "f"], [0, 0, 60, 50, "i"], [0, 0, 20, 20, "p"]]) == (1, 3)
    assert face_range([]) == (0, 0)


def test_colours_are_compared_with_the_drawn_ones(tmp_path: Path) -> None:
    def describe(image: Image) -> ImageDescription:
        return ImageDescription(colours=find_colours(decode(image)))

    eyes = Eyes(describe, ScriptedModel(), [])
    colour, background = descriptions.measure_colours(eyes, Photos(tmp_path, "dev", 8))
    assert colour.value == background.value == 100
    assert colour.shuffled is not None
    assert colour.shuffled < 100
    assert set(colour.baselines) == {"small model"}
