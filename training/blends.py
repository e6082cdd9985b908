"""Blend the feature maps of two images, so that the model learns to express doubt.

The tower is trained to be sure about images of the datasets here, but people show images of kinds that it does not
know. The mean of two feature maps is such an image, and the tower's own classifier tells how unsure it is.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.features import FeatureStore
from training.recipe import SEED

NUM_BLENDS = 700
NUM_DEV = 60
"""Blends held out as dev: the last ones."""
MAX_CONFIDENCE = 0.35
"""A blend is kept if the probability of its most probable class is below this."""


def blend_maps(
    work: Path, store: FeatureStore, class_logits: Callable[[Tensor], Tensor], rows: Mapping[str, Sequence[int]]
) -> Tensor:
    """Return the neck maps of all blends, float16 (blends, 2, neck width, rows, columns).

    Written to `WORK/features/blends.safetensors` by the first call.

    Args:
        work: The work folder.
        store: Maps of the images to blend.
        class_logits: Turns features into logits of the tower's classes.
        rows: Training images to blend, by dataset.
    """
    path = work / "features" / "blends.safetensors"
    if not path.exists():
        rng = random.Random(SEED)
        kept: list[Tensor] = []
        while len(kept) < NUM_BLENDS:
            pair = [(name, rng.choice(members)) for name, members in rng.choices(list(rows.items()), k=2)]
            both = torch.stack([torch.tensor(store.maps[name][row]) for name, row in pair])
            blend = both.float().mean(0).half()
            with torch.inference_mode():
                confidence = class_logits(store.head(blend[:1].to(torch.bfloat16))).float().softmax(-1).max()
            if confidence < MAX_CONFIDENCE:
                kept.append(blend)
        save_file({"maps": torch.stack(kept)}, path)
    return load_file(path)["maps"]
