"""The trained part of the vision encoder: connector and tagger."""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from assistant.models.pocket.assemble import tag_table
from assistant.models.pocket.vision_encoder import Connector, PocketVisionConfig, Tagger

_FROM_DECODER = ("tagger.table", "tagger.lengths")
"""Buffers that come from the decoder, so that no weight file holds them."""


class TrainedVisionEncoder(nn.Module):
    """`PocketVisionEncoder` without tower and word head, on precomputed features and probabilities.

    Attribute names are keys of the weight file.
    """

    def __init__(
        self, config: PocketVisionConfig, tag_names: Sequence[str], tokenizer: Tokenizer, embedding: Tensor
    ) -> None:
        """Initialise the weights.

        Args:
            config: Sizes.
            tag_names: Names of the classes, then the words of the word head.
            tokenizer: The decoder's tokenizer.
            embedding: The decoder's embedding (vocabulary, width).
        """
        super().__init__()
        self.config = config
        self.connector = Connector(config)
        self.tagger = Tagger(config)
        with torch.no_grad():
            # Start near the size of the decoder's own embeddings, with tags exactly them.
            self.connector.down.weight *= 0.3
            nn.init.zeros_(self.tagger.confidence.weight)
            nn.init.zeros_(self.tagger.confidence.bias)
            nn.init.zeros_(self.tagger.kind.weight)
            if self.connector.position is not None:
                nn.init.normal_(self.connector.position, std=0.02)
            table, lengths = tag_table(
                list(tag_names),
                lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
                embedding,
                config.pieces,
            )
            self.tagger.table.copy_(table)
            self.tagger.lengths.copy_(lengths)

    def forward(
        self, features: Tensor, classes: Tensor, words: Tensor, keep_visual: Tensor, keep_tags: Tensor
    ) -> Tensor:
        """Return image tokens (batch, tokens, width).

        Args:
            features: The tower's feature maps (batch, 1280, rows, columns).
            classes: Class probabilities (batch, 1000).
            words: Word probabilities (batch, vocabulary).
            keep_visual: 0 for images whose visual tokens are zeroed, 1 for others (batch,).
            keep_tags: The same for tag tokens.
        """
        visual: Tensor = self.connector(features) * keep_visual[:, None, None]
        if not self.config.class_slots:
            return visual
        tags = self.tagger(classes, words) * keep_tags[:, None, None]
        return torch.cat([visual, tags], 1)

    def trained_state(self) -> dict[str, Tensor]:
        """Return the trained weights."""
        return {name: value for name, value in self.state_dict().items() if name not in _FROM_DECODER}
