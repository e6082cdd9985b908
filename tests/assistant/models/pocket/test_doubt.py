"""What is believed of a caption."""

import pytest

from assistant.models.pocket.doubt import believable_drawing, believable_part, without_colours


def test_a_guessed_caption_is_left_out() -> None:
    assert believable_part("A dog is running on a dirt track.", {"dog": 0.02}, {"rocket": 0.2}) is None


def test_a_caption_is_believed_as_far_as_its_things_are_seen() -> None:
    words = {"dog": 0.9, "grass": 0.4, "fence": 0.01}
    assert believable_part("A dog is running in the grass near a fence.", words, {}) == "A dog is running in the grass."


def test_the_classifier_confirms_what_no_caption_word_does() -> None:
    assert believable_part("A fox is sitting in the snow.", {"snow": 0.6}, {"fox": 0.9}) == (
        "A fox is sitting in the snow."
    )


def test_someone_who_may_be_a_woman_is_a_person() -> None:
    words = {"man": 0.2, "woman": 0.2, "person": 0.2, "beach": 0.6}
    assert believable_part("A man in a blue shirt is walking along the beach.", words, {}) == (
        "A person is walking along the beach."
    )


@pytest.mark.parametrize("caption", ["I'm not sure what this is.", "A photo of a dog.", "A room with a bed, a toy."])
def test_sentences_that_say_nothing_are_left_out(caption: str) -> None:
    assert believable_part(caption, {"dog": 1.0, "bed": 1.0, "toy": 1.0}, {}) is None


def test_colours_are_taken_out() -> None:
    assert without_colours("A black and white dog on an orange ball.") == "A dog on a ball."
    assert without_colours("A red airplane.") == "An airplane."


def test_drawings_of_known_sorts_are_believed() -> None:
    assert believable_drawing("Two red circles on a white background.", 0.8) == "Two circles."
    assert believable_drawing("A picture of a dog.", 0.9) is None
    assert believable_drawing("A red circle on a white background.", 0.2) is None
