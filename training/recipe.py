"""What is trained and how: the one value in which runs differ."""

from dataclasses import dataclass

from assistant.models.pocket.vision_encoder import PocketVisionConfig
from training.words import SEED, WORD_HIDDEN

__all__ = ["DEV_ROOMS", "SEED", "Recipe"]


DEV_ROOMS = 80
"""How many of DAQUAR's training photos, which have no dev split of their own, are kept for judging."""


@dataclass(frozen=True)
class Recipe:
    """What is trained and how; the trials differ in these."""

    grid: int = 7
    rank: int = 16
    alpha: float = 32.0
    positions: bool = True
    tags: bool = True
    mix: bool = True
    """Every collection and task; without it, Flickr captions alone."""
    steps: int = 900
    batch: int = 16
    length: int = 256
    connector_rate: float = 1.0e-3
    lora_rate: float = 4.0e-4
    warmup: int = 40
    tag_dropout: float = 0.08
    picture_dropout: float = 0.04
    rewarded: int = 0
    """How many photos a step are captioned by the model itself and learned from by reward, beside the `batch`."""
    reward_samples: int = 5
    reward_weight: float = 0.5
    chatter: float = 0.1
    """How many rows hold a question that is not about the photo, answered as the untouched decoder would."""
    substitution: float = 0.36
    """How many of the photos of one dog become another animal by their tags and words, so that tags are believed."""

    def eyes(self, vocabulary: int) -> PocketVisionConfig:
        """The configuration of the eyes that this recipe trains."""
        config = PocketVisionConfig(
            grid=self.grid, positions=self.positions, vocabulary=vocabulary, word_hidden=WORD_HIDDEN
        )
        if not self.tags:
            config.class_slots = config.word_slots = 0
        return config
