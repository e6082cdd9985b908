"""Hyperparameters of a training run."""

from dataclasses import dataclass

from assistant.models.pocket.vision_encoder import PocketVisionConfig

SEED = 20261123
WORD_HIDDEN = 768
"""Inner width of the word head."""


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of stage 3.

    Field names are command line options of `training.connector` and keys of `recipe.json`, so they stay as they are.

    Attributes:
        grid: Side of the grid of visual tokens.
        rank: Rank of LoRA; 0 trains no adapter.
        alpha: LoRA multiplies its product by `alpha / rank`.
        positions: Add a learned position to each visual token.
        tags: Give the decoder tag tokens.
        mix: Train on all datasets and tasks; without it, on Flickr8k captions alone.
        steps: Optimizer steps.
        batch: Images per step.
        length: Tokens of a packed sequence.
        connector_rate: Learning rate of connector and tagger.
        lora_rate: Learning rate of the adapter.
        warmup: Steps of linear warm-up.
        tag_dropout: Probability that an image's tag tokens are zeroed.
        picture_dropout: Probability that an image's visual tokens are zeroed.
        rewarded: Images per step, besides `batch`, that the model captions itself and learns from by reward.
        reward_samples: Captions sampled for each of them.
        reward_weight: Weight of their loss.
        chatter: Probability that a sequence holds a question that is not about the image, answered as the original
            decoder would.
        substitution: Probability that an image of one dog becomes another animal in its tags and captions, so that the
            model trusts its tags.
    """

    grid: int = 7
    rank: int = 16
    alpha: float = 32.0
    positions: bool = True
    tags: bool = True
    mix: bool = True
    steps: int = 900
    batch: int = 16
    length: int = 256
    connector_rate: float = 1.0e-3
    lora_rate: float = 4.0e-4
    warmup: int = 40
    tag_dropout: float = 0.08
    picture_dropout: float = 0.04
    rewarded: int = 0
    reward_samples: int = 5
    reward_weight: float = 0.5
    chatter: float = 0.1
    substitution: float = 0.36

    def vision_config(self, vocabulary: int) -> PocketVisionConfig:
        """Return the configuration of the vision encoder to train, whose word head knows `vocabulary` words."""
        config = PocketVisionConfig(
            grid=self.grid, positions=self.positions, vocabulary=vocabulary, word_hidden=WORD_HIDDEN
        )
        if not self.tags:
            config.class_slots = config.word_slots = 0
        return config
