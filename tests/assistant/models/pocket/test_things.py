"""Other things in an image."""

from assistant.models.pocket.things import choose_things, words_said


def test_likely_words_are_things_and_colours_are_not() -> None:
    assert choose_things({"ball": 0.9, "red": 0.95, "running": 0.9, "fence": 0.1}) == ("a ball",)


def test_words_for_one_thing_add_up_and_are_said_once() -> None:
    assert choose_things({"bike": 0.3, "bicycle": 0.3, "bikes": 0.1}) == ("a bicycle",)


def test_one_person_has_one_name() -> None:
    assert choose_things({"man": 0.7, "boy": 0.5, "person": 0.45}) == ("a man",)


def test_what_is_said_already_is_left_out() -> None:
    assert choose_things({"ball": 0.9, "grass": 0.8}, words_said("A dog with a ball.")) == ("grass",)


def test_the_person_of_the_caption_is_not_a_second_one() -> None:
    assert choose_things({"man": 0.9, "ball": 0.9}, words_said("A person is jumping.")) == ("a ball",)


def test_furniture_needs_more_than_what_captions_name() -> None:
    assert choose_things({"pillow": 0.5, "grass": 0.5}) == ("grass",)
