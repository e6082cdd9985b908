"""Training samples say what their tags and captions show."""

import random

from tests.fakes.captions import DOG
from training.curriculum import DOG_WORDS, MIX, Curriculum


def test_all_datasets_are_sampled(curriculum: Curriculum) -> None:
    samples = [curriculum.sample(random.Random(seed)) for seed in range(200)]
    assert {sample.dataset for sample in samples} == MIX.keys()
    for sample in samples:
        assert sample.row in curriculum.train[sample.dataset]
        assert sample.exchanges


def test_some_samples_hold_a_question_without_an_image(curriculum: Curriculum) -> None:
    samples = [curriculum.sample(random.Random(seed)) for seed in range(200)]
    tasks = [exchange.task for sample in samples for exchange in sample.exchanges]
    assert 0 < tasks.count("chatter") < 60


def test_a_replaced_dog_is_in_no_answer(curriculum: Curriculum) -> None:
    for row in curriculum.annotations.captions:
        curriculum.annotations.captions[row] = DOG
    samples = [curriculum.sample(random.Random(seed)) for seed in range(200)]
    replaced = [sample for sample in samples if sample.replaced_class]
    assert replaced
    for sample in replaced:
        caption, _, presence = sample.exchanges
        words = {word.strip(".").lower() for answer in caption.answers for word in answer.split()}
        assert words.isdisjoint(DOG_WORDS)
        assert (presence.question, presence.answers) == ("Is there a dog?", ["No."])
        assert sample.replaced_class
        assert 0.3 <= sample.replaced_class[1] <= 0.98


def test_an_image_for_reward_is_not_augmented(curriculum: Curriculum) -> None:
    sample = curriculum.sample_for_reward(random.Random(0))
    assert sample.dataset == "flickr8k"
    assert not sample.augment
