"""Questions without an image."""

from training.question_tables import QUESTION_TEMPLATES
from training.replay_data import replay_questions


def test_there_are_many_complete_questions() -> None:
    questions = replay_questions()
    assert len(questions) == len(set(questions)) > 100
    assert not any("{" in question or "}" in question for question in questions)
    assert replay_questions() == questions


def test_no_question_is_about_an_image() -> None:
    about_images = {question for wordings in QUESTION_TEMPLATES.values() for question in wordings}
    assert about_images.isdisjoint(replay_questions())
