"""The vision encoder of the bundled model: it turns an image into tokens in the decoder's embedding space.

One pass through the tower produces two kinds of tokens:

    pixels ─▶ EfficientNet-Lite ─┬─▶ feature map, pooled to a grid ─▶ connector ────────▶ grid x grid visual tokens
                                 ├─▶ ImageNet head: 1,000 classes ───────────────┐
                                 └─▶ word head: words that a caption would use ──┴─ most probable ─▶ tag tokens

Tag tokens are the decoder's own embeddings of the most probable class names and words, plus an embedding of their
probability. A decoder with 135 M parameters learns to use words from a few thousand images; it would need millions to
learn a thousand classes from feature maps alone.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from assistant.models.pocket.efficientnet import HEAD_WIDTH, IMAGENET_CLASSES, VARIANTS, EfficientNetLite


class PocketVisionConfig(PreTrainedConfig):
    """Sizes of the vision encoder.

    Parameter names are the keys in the config.json of assembled models, so they stay as they are.

    Attributes:
        variant: Name in `efficientnet.VARIANTS`.
        grid: Side of the grid of visual tokens.
        hidden_size: Width of a token.
        connector_width: Inner width of the connector.
        vocabulary: Number of words of the word head.
        word_hidden: Inner width of the word head.
        classes: How many of the most probable classes become tags, as far as they fit into the slots.
        class_slots: Tokens for class tags.
        words: How many of the most probable words become tags.
        word_slots: Tokens for word tags.
        pieces: Most tokens of one name.
        pictured_turns: Most turns with images in a prompt, because the model was trained with no more; None for any.
        positions: Add a learned position to each visual token.
    """

    model_type = "parley_pocket_eyes"

    def __init__(
        self,
        variant: str = "lite2",
        grid: int = 7,
        hidden_size: int = 576,
        connector_width: int = 1152,
        vocabulary: int = 824,
        word_hidden: int = 768,
        classes: int = 5,
        class_slots: int = 12,
        words: int = 20,
        word_slots: int = 20,
        pieces: int = 4,
        pictured_turns: int | None = 1,
        positions: bool = True,  # noqa: FBT001, FBT002 - transformers makes configurations from keywords
        **kwargs: Any,
    ) -> None:
        self.variant = variant
        self.image_size = VARIANTS[variant].image_size
        self.grid = grid
        self.hidden_size = hidden_size
        self.connector_width = connector_width
        self.vocabulary = vocabulary
        self.word_hidden = word_hidden
        self.classes = classes
        self.class_slots = class_slots
        self.words = words
        self.word_slots = word_slots
        self.pieces = pieces
        self.positions = positions
        self.pictured_turns = pictured_turns
        super().__init__(**kwargs)

    @property
    def num_tokens(self) -> int:
        """Number of tokens per image."""
        return self.grid**2 + self.class_slots + self.word_slots

    @property
    def max_image_turns(self) -> int | None:
        """Most turns with images in a prompt; None for any number."""
        return self.pictured_turns


class WordHead(nn.Module):
    """Predict word logits (batch, vocabulary) from the tower's feature map (batch, 1280, rows, columns).

    The sum of an MLP on the mean of the map, and of a linear layer at every position, pooled by a smooth maximum for
    small objects that vanish in the mean. Attribute names are keys of the weight file.
    """

    sharpness = 2.0

    def __init__(self, vocabulary: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(HEAD_WIDTH, hidden)
        self.whole = nn.Linear(hidden, vocabulary)
        self.places = nn.Linear(HEAD_WIDTH, vocabulary)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        positions = features.flatten(2).transpose(1, 2)
        global_logits: Tensor = self.whole(self.dropout(F.gelu(self.hidden(self.dropout(positions.mean(1))))))
        local_logits = self.places(self.dropout(positions)) * self.sharpness
        pooled: Tensor = (torch.logsumexp(local_logits, 1) - torch.tensor(positions.shape[1]).log()) / self.sharpness
        return global_logits + pooled


class Connector(nn.Module):
    """Project the tower's feature map to visual tokens (batch, grid², hidden_size)."""

    def __init__(self, config: PocketVisionConfig) -> None:
        super().__init__()
        self.grid = config.grid
        self.norm = nn.LayerNorm(HEAD_WIDTH)
        self.up = nn.Linear(HEAD_WIDTH, config.connector_width)
        self.down = nn.Linear(config.connector_width, config.hidden_size)
        self.position = nn.Parameter(torch.zeros(config.grid**2, config.hidden_size)) if config.positions else None

    def forward(self, features: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(features, self.grid).flatten(2).transpose(1, 2)
        tokens: Tensor = self.down(F.gelu(self.up(self.norm(pooled))))
        return tokens if self.position is None else tokens + self.position


class Tagger(nn.Module):
    """Turn class and word probabilities into tag tokens (batch, class_slots + word_slots, hidden_size).

    Attributes:
        table: The decoder's embeddings of each name's tokens (1000 + vocabulary, pieces, hidden_size). It and `lengths`
            are filled in when the model is assembled; the other weights are trained.
        lengths: Number of tokens of each name.
    """

    table: Tensor
    lengths: Tensor

    def __init__(self, config: PocketVisionConfig) -> None:
        super().__init__()
        names = IMAGENET_CLASSES + config.vocabulary
        self.config = config
        self.register_buffer("table", torch.zeros(names, config.pieces, config.hidden_size))
        self.register_buffer("lengths", torch.ones(names, dtype=torch.long))
        self.confidence = nn.Linear(2, config.hidden_size)
        self.kind = nn.Embedding(4, config.hidden_size)

    def forward(self, class_probability: Tensor, word_probability: Tensor) -> Tensor:
        classes = class_probability.topk(self.config.classes)
        words = word_probability.topk(self.config.words)
        return torch.cat(
            [
                self._spell(classes.indices, classes.values, self.config.class_slots, 0),
                self._spell(words.indices + IMAGENET_CLASSES, words.values, self.config.word_slots, 2),
            ],
            1,
        )

    def _spell(self, names: Tensor, probability: Tensor, slots: int, kind: int) -> Tensor:
        """Concatenate the tokens of `names` (batch, n) into (batch, slots, hidden_size), truncated to the slots."""
        lengths = self.lengths[names]
        piece = torch.arange(self.config.pieces, device=names.device)
        slot = (lengths.cumsum(1) - lengths)[..., None] + piece
        used = (piece < lengths[..., None]) & (slot < slots)
        batch, name, column = used.nonzero(as_tuple=True)
        clamped = probability.float().clamp(1e-4, 1 - 1e-4)
        confidence = self.confidence(torch.stack([clamped, clamped.logit() / 6], -1).to(self.confidence.weight.dtype))
        values = (
            self.table[names[batch, name], column].to(confidence.dtype)
            + confidence[batch, name]
            + self.kind(kind + (column == 0).long())
        )
        tokens = values.new_zeros(len(names), slots, values.shape[-1])
        filled: Tensor = tokens.index_put((batch, slot[batch, name, column]), values)
        return filled


class PocketVisionEncoder(PreTrainedModel):
    """Encode pixels (batch, 3, side, side), normalised as (x - 127) / 128, to tokens (batch, tokens, hidden_size)."""

    config_class = PocketVisionConfig
    config: PocketVisionConfig
    main_input_name = "pixel_values"
    _no_split_modules: list[str] = []  # noqa: RUF012 - as transformers declares it

    def __init__(self, config: PocketVisionConfig) -> None:
        super().__init__(config)
        self.tower = EfficientNetLite(config.variant)
        self.word_head = WordHead(config.vocabulary, config.word_hidden)
        self.connector = Connector(config)
        self.tagger = Tagger(config)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise nothing: every weight comes from the checkpoint."""

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutput:
        """Return the tokens as last and only hidden state. LLaVA passes keywords for other vision encoders."""
        features = self.tower.features(self.tower.neck(pixel_values))
        tags = self.tagger(self.tower.class_logits(features).softmax(-1), self.word_head(features).sigmoid())
        tokens = torch.cat([self.connector(features), tags], 1)
        return BaseModelOutput(last_hidden_state=tokens, hidden_states=(tokens,))


AutoConfig.register(PocketVisionConfig.model_type, PocketVisionConfig)
AutoModel.register(PocketVisionConfig, PocketVisionEncoder)
