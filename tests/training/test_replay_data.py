"""Questions that need no picture."""

from training.questions import ASK
from training.replay_data import questions


def test_there_are_many_different_whole_questions() -> None:
    asked = questions()
    assert len(asked) == len(set(asked)) > 100
    assert not any("{" in question or "}" in question for question in asked)
    assert questions() == asked


def test_none_of_them_is_a_question_about_the_picture() -> None:
    assert not set(questions()) & {question for wordings in ASK.values() for question in wordings}
