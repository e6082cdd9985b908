"""The pictures that training draws for itself show what is said about them."""

import random
from collections import Counter

import numpy as np

from training.synthetic_images import COUNT, INKS, NOT_SURE, draw, exchanges


def test_a_number_is_the_same_drawing_every_time() -> None:
    assert draw(3).image.tobytes() == draw(3).image.tobytes()
    assert draw(3).caption == draw(3).caption
    assert draw(3).image.tobytes() != draw(4).image.tobytes()


def test_a_plain_picture_has_the_colour_it_is_said_to_have() -> None:
    plain = [drawing for drawing in map(draw, range(200)) if drawing.name.startswith("A plain ")]
    assert plain
    for drawing in plain:
        colour = drawing.name.split()[2]
        pixel = np.array(drawing.image.getpixel((9, 9)))
        nearest = min(INKS, key=lambda name: np.abs(np.array(INKS[name]) - pixel).sum())
        assert nearest == colour


def test_every_kind_of_drawing_is_among_them() -> None:
    names = Counter(draw(number).name for number in range(COUNT))
    for name in ("A page of text.", "A terminal window.", "A screenshot.", "A bar chart.", NOT_SURE):
        assert names[name] > 10


def test_nothing_is_both_there_and_not_there() -> None:
    for number in range(60):
        said = exchanges(draw(number), random.Random(number))
        answers = {(one.question, one.answers[0]) for one in said if one.task == "there"}
        assert len({question for question, _ in answers}) == len(answers)
        assert "No." in {answer for _, answer in answers}
