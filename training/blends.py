"""Two photos seen as one: pictures of which the tower is unsure, so that doubt is learned where doubt is due.

The tower is trained to be sure of photos of the collections here; what people show is often of no kind it knows. The
mean of two feature maps is such a thing, and its own classifier says how unsure it is.
"""

import random
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.names import with_article
from training.questions import ASK, Exchange
from training.recipe import SEED
from training.words import Photos

COUNT = 700
DEV = 60
"""How many of the blends, the last ones, are kept for judging."""
SUREST = 0.35
"""The highest probability of its likeliest class at which a blend is kept."""


def maps(work: Path, photos: Photos, classify: "torch.nn.Module", things: dict[str, list[int]]) -> Tensor:
    """Maps (blends, 2, neck width, rows, columns) in float16 of pairs of the training photos `things`; made once.

    `classify` turns features into logits of the tower's classes.
    """
    path = work / "features" / "blends.safetensors"
    if not path.exists():
        rng = random.Random(SEED)
        kept: list[Tensor] = []
        while len(kept) < COUNT:
            pair = [(name, rng.choice(rows)) for name, rows in rng.choices(list(things.items()), k=2)]
            both = torch.stack([torch.tensor(photos.maps[name][row]) for name, row in pair])
            blend = both.float().mean(0).half()
            with torch.inference_mode():
                sure = classify(photos.head(blend[:1].to(torch.bfloat16))).float().softmax(-1).max()
            if sure < SUREST:
                kept.append(blend)
        save_file({"maps": torch.stack(kept)}, path)
    return load_file(path)["maps"]


def exchanges(guess: str, rng: random.Random) -> list[Exchange]:
    """What is said about a blend whose likeliest class is called `guess`."""
    doubt = f"It may be {with_article(guess)}."
    return [
        Exchange(rng.choice(ASK["name"]), [f"I'm not sure. {doubt}"], "doubt"),
        Exchange(rng.choice(ASK["caption"]), [f"I'm not sure what this is. {doubt}"], "doubt"),
    ]
