"""LoRA adapters: low-rank changes of a model's weights."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from assistant.errors import ModelError

_SUFFIXES = ("lora_A", "lora_B")


@dataclass(frozen=True)
class LoraAdapter:
    """A low-rank change of some weights (LoRA, Hu et al. 2021): W + alpha / rank * B A.

    Attributes:
        tensors: `layers.{i}.{self_attn.q_proj|...|mlp.down_proj}.lora_A` (rank, in_features) and `.lora_B`
            (out_features, rank).
        alpha: Scale of the change.
        rank: Rank of the change.
    """

    tensors: Mapping[str, Tensor]
    alpha: float
    rank: int

    def merge(self, name: str, weight: Tensor) -> Tensor:
        """Return `weight` of the module `name` with the change added, or unchanged if the adapter has none for it."""
        down, up = (self.tensors.get(f"{name}.{suffix}") for suffix in _SUFFIXES)
        if down is None or up is None:
            return weight
        change = (up.float() @ down.float()) * (self.alpha / self.rank)
        return (weight.float() + change.to(weight.device)).to(weight.dtype)

    def validate(self, module: nn.Module) -> None:
        """Raise `ModelError` unless every tensor belongs to a linear layer of `module` and has its shape."""
        layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
        for key, tensor in self.tensors.items():
            name, _, suffix = key.rpartition(".")
            layer = layers.get(name)
            shapes = {} if layer is None else {
                "lora_A": (self.rank, layer.in_features), "lora_B": (layer.out_features, self.rank)
            }  # fmt: skip
            if shapes.get(suffix) != tuple(tensor.shape):
                raise ModelError(f"The picture adapter's {key} {tuple(tensor.shape)} fits no layer of this model.")
