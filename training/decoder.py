"""Decoder of the bundled model for training: frozen weights in bfloat16, LoRA in float32 on every projection.

The same Llama as transformers', with one function per layer, so that it compiles once for all thirty. It takes any
attention mask, and logits are computed only where a loss needs them. `tests/training` compares its logits with
transformers'.
"""

import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

PROJECTIONS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)


class LoraLinear(nn.Module):
    """A frozen linear layer plus a trained one of low rank: x (W + scale * B A)' (Hu et al. 2021).

    The sum is computed in each step: one large product and its gradient are three times as fast on a CPU as the six
    thin products of separate LoRA. W stays in float32, so that small changes to it survive the rounding to bfloat16.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight if rank else weight.to(dtype), requires_grad=False)
        self.scale = alpha / rank if rank else 0.0
        self.dtype = dtype
        out_features, in_features = weight.shape
        self.lora_A = nn.Parameter(torch.randn(rank, in_features) / math.sqrt(in_features)) if rank else None
        self.lora_B = nn.Parameter(torch.zeros(out_features, rank)) if rank else None

    def merged_weight(self) -> Tensor:
        """Return W + scale * B A, (outputs, inputs) in `dtype`."""
        if self.lora_A is None or self.lora_B is None:
            return self.weight
        change = self.lora_B.to(self.dtype) @ self.lora_A.to(self.dtype)
        return (self.weight + change * self.scale).to(self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.merged_weight())


class DecoderLayer(nn.Module):
    """One Llama layer.

    The parameters of the constructor are the hyperparameters of all layers, which the layer itself does not know.
    """

    def __init__(
        self,
        weights: dict[str, Tensor],
        heads: int,
        key_heads: int,
        eps: float,
        rank: int,
        alpha: float,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.heads, self.key_heads, self.eps = heads, key_heads, eps
        self.input_norm = nn.Parameter(weights["input_layernorm.weight"].to(dtype), requires_grad=False)
        self.post_norm = nn.Parameter(weights["post_attention_layernorm.weight"].to(dtype), requires_grad=False)

        def linear(name: str) -> LoraLinear:
            return LoraLinear(weights[f"{name}.weight"], rank, alpha, dtype)

        # In the order of PROJECTIONS: checkpoints store parameters by their order.
        self.q_proj, self.k_proj = linear("self_attn.q_proj"), linear("self_attn.k_proj")
        self.v_proj, self.o_proj = linear("self_attn.v_proj"), linear("self_attn.o_proj")
        self.gate_proj, self.up_proj = linear("mlp.gate_proj"), linear("mlp.up_proj")
        self.down_proj = linear("mlp.down_proj")

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        size = width // self.heads
        h = rms_norm(x, self.input_norm, self.eps)
        q = self.q_proj(h).view(batch, length, self.heads, size).transpose(1, 2)
        k = self.k_proj(h).view(batch, length, self.key_heads, size).transpose(1, 2)
        v = self.v_proj(h).view(batch, length, self.key_heads, size).transpose(1, 2)
        q, k = apply_rope(q, cos, sin), apply_rope(k, cos, sin)
        groups = self.heads // self.key_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        # Compiled, this is faster on a CPU than the fused kernel, whose backward pass takes three times as long.
        scores = (q @ k.transpose(2, 3)) * size**-0.5 + mask
        attended = scores.float().softmax(-1).to(q.dtype) @ v
        x = x + self.o_proj(attended.transpose(1, 2).reshape(batch, length, width))
        h = rms_norm(x, self.post_norm, self.eps)
        out: Tensor = x + self.down_proj(F.silu(self.gate_proj(h)) * self.up_proj(h))
        return out


class Decoder(nn.Module):
    """SmolLM2 with LoRA, from a transformers folder. With `rank` 0 it has no LoRA."""

    def __init__(self, folder: Path, rank: int, alpha: float, dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        config = json.loads((folder / "config.json").read_text())
        weights = load_file(folder / "model.safetensors")
        self.eps: float = config["rms_norm_eps"]
        self.theta: float = config["rope_parameters"]["rope_theta"]
        self.size: int = config["head_dim"]
        self.rank, self.alpha = rank, alpha
        self.embedding = nn.Parameter(weights["model.embed_tokens.weight"].to(dtype), requires_grad=False)
        self.norm = nn.Parameter(weights["model.norm.weight"].to(dtype), requires_grad=False)
        self.layers = nn.ModuleList()
        for index in range(config["num_hidden_layers"]):
            prefix = f"model.layers.{index}."
            own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
            self.layers.append(
                DecoderLayer(
                    own, config["num_attention_heads"], config["num_key_value_heads"], self.eps, rank, alpha, dtype
                )
            )

    def forward(self, embeddings: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Return hidden states (batch, length, width).

        Args:
            embeddings: (batch, length, width).
            positions: (batch, length), int64.
            mask: (batch, 1, length, length), added to the attention scores.
        """
        cos, sin = self.rope_table(positions, embeddings.dtype)
        x = embeddings
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return rms_norm(x, self.norm, self.eps)

    def rope_table(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return cosines and sines (batch, 1, length, head size) of `positions` (batch, length)."""
        frequencies = self.theta ** (-torch.arange(0, self.size, 2, device=positions.device).float() / self.size)
        angles = positions[:, None, :, None].float() * frequencies
        return torch.cat([angles.cos()] * 2, -1).to(dtype), torch.cat([angles.sin()] * 2, -1).to(dtype)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits over the vocabulary for hidden states (any, width)."""
        return F.linear(hidden, self.embedding)

    def lora_state(self) -> dict[str, Tensor]:
        """Return the adapter by transformers' module names, as in `picture_adapter.safetensors`."""
        state: dict[str, Tensor] = {}
        for index, layer in enumerate(self.layers):
            for name in PROJECTIONS:
                linear = getattr(layer, name.rpartition(".")[2])
                if linear.lora_A is not None:
                    state[f"layers.{index}.{name}.lora_A"] = linear.lora_A.detach()
                    state[f"layers.{index}.{name}.lora_B"] = linear.lora_B.detach()
        return state


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide `x` (…, width) by its root mean square and multiply it by `weight`."""
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype) * weight


def apply_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary positions to `x` (batch, heads, length, size), by tables that broadcast to it."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin
