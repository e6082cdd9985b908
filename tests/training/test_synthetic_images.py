"""Drawn images show what their captions and answers say."""

import random
from collections import Counter

import numpy as np

from training.synthetic_images import COLOURS, NOT_SURE, NUM_IMAGES, draw, synthetic_exchanges


def test_an_index_always_gives_the_same_image() -> None:
    assert draw(3).image.tobytes() == draw(3).image.tobytes()
    assert draw(3).caption == draw(3).caption
    assert draw(3).image.tobytes() != draw(4).image.tobytes()


def test_a_plain_image_has_the_colour_of_its_caption() -> None:
    plain = [drawn for drawn in map(draw, range(200)) if drawn.name.startswith("A plain ")]
    assert plain
    for drawn in plain:
        colour = drawn.name.split()[2]
        pixel = np.array(drawn.image.getpixel((9, 9)))
        nearest = min(COLOURS, key=lambda name: np.abs(np.array(COLOURS[name]) - pixel).sum())
        assert nearest == colour


def test_all_kinds_of_images_are_drawn() -> None:
    names = Counter(draw(index).name for index in range(NUM_IMAGES))
    for name in ("A page of text.", "A terminal window.", "A screenshot.", "A bar chart.", NOT_SURE):
        assert names[name] > 10


def test_no_object_is_both_present_and_absent() -> None:
    for index in range(60):
        exchanges = synthetic_exchanges(draw(index), random.Random(index))
        answers = {(exchange.question, exchange.answers[0]) for exchange in exchanges if exchange.task == "there"}
        assert len({question for question, _ in answers}) == len(answers)
        assert "No." in {answer for _, answer in answers}
