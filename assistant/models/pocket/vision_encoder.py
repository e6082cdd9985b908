"""The eyes of the pocket model: a photo becomes tokens in the decoder's own embedding space.

Two kinds of tokens come out of one pass through the tower:

    pixels ─▶ EfficientNet-Lite ─┬─▶ feature map, pooled to a grid ─▶ connector ─────────────▶ grid x grid visual tokens
                                 ├─▶ its ImageNet head: 1,000 kinds of things ─┐
                                 └─▶ word head: words a description would use ─┴─ likeliest ─▶ tag tokens

Tag tokens are the decoder's embeddings of the likeliest names and words, each with how sure it is added. A decoder of
135 M parameters learns from a few thousand photos to read words, while it would need millions to learn a thousand
kinds of things from feature maps alone.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from assistant.models.pocket.efficientnet import HEAD_WIDTH, IMAGENET_CLASSES, VARIANTS, EfficientNetLite


class PocketVisionConfig(PreTrainedConfig):
    """Shapes of the eyes.

    `grid` x `grid` visual tokens; `class_slots` and `word_slots` tag tokens, which hold the likeliest `classes` of the
    ImageNet head and `words` of the word head as far as they fit; a name has at most `pieces` tokens. `pictured_turns`
    is how many turns with pictures a prompt may hold, because the model was trained on no more; None is any number.
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
    def tokens(self) -> int:
        """How many tokens one picture becomes."""
        return self.grid**2 + self.class_slots + self.word_slots


class WordHead(nn.Module):
    """Word logits (batch, vocabulary) from the tower's feature map (batch, 1280, rows, columns).

    A hidden layer reads the mean of the map, and a linear reading of every place is pooled by a smooth maximum, for
    the words of small things that the mean drowns.
    """

    sharpness = 2.0

    def __init__(self, vocabulary: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(HEAD_WIDTH, hidden)
        self.whole = nn.Linear(hidden, vocabulary)
        self.places = nn.Linear(HEAD_WIDTH, vocabulary)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        places = features.flatten(2).transpose(1, 2)
        whole: Tensor = self.whole(self.dropout(F.gelu(self.hidden(self.dropout(places.mean(1))))))
        local = self.places(self.dropout(places)) * self.sharpness
        pooled: Tensor = (torch.logsumexp(local, 1) - torch.tensor(places.shape[1]).log()) / self.sharpness
        return whole + pooled


class Connector(nn.Module):
    """Visual tokens (batch, grid², hidden_size) from the tower's feature map."""

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
    """Tag tokens (batch, class_slots + word_slots, hidden_size) from the probabilities of names and words.

    `table` (1000 + vocabulary, pieces, hidden_size) holds the decoder's embeddings of each name's tokens and
    `lengths` how many each has; both come from the decoder when the model is assembled, the rest is trained.
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
        """The tokens of `names` (batch, n) one after the other into (batch, slots, hidden_size), cut where they end."""
        lengths = self.lengths[names]
        piece = torch.arange(self.config.pieces, device=names.device)
        slot = (lengths.cumsum(1) - lengths)[..., None] + piece
        used = (piece < lengths[..., None]) & (slot < slots)
        batch, name, column = used.nonzero(as_tuple=True)
        sure = probability.float().clamp(1e-4, 1 - 1e-4)
        confidence = self.confidence(torch.stack([sure, sure.logit() / 6], -1).to(self.confidence.weight.dtype))
        values = (
            self.table[names[batch, name], column].to(confidence.dtype)
            + confidence[batch, name]
            + self.kind(kind + (column == 0).long())
        )
        tokens = values.new_zeros(len(names), slots, values.shape[-1])
        filled: Tensor = tokens.index_put((batch, slot[batch, name, column]), values)
        return filled


class PocketVisionEncoder(PreTrainedModel):
    """Pixels (batch, 3, side, side), normalised as (x - 127) / 128, to tokens (batch, tokens, hidden_size)."""

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
        """Every weight comes from the folder; there is nothing to initialise."""

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutput:
        """The tokens, as last and only hidden state. LLaVA passes keywords meant for other eyes."""
        features = self.tower.features(self.tower.neck(pixel_values))
        tags = self.tagger(self.tower.class_logits(features).softmax(-1), self.word_head(features).sigmoid())
        tokens = torch.cat([self.connector(features), tags], 1)
        return BaseModelOutput(last_hidden_state=tokens, hidden_states=(tokens,))
