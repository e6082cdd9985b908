"""Parts of a bundled model small enough to be assembled in seconds: files of the real formats with random weights."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from assistant.models.pocket import assemble
from assistant.models.pocket.efficientnet import IMAGENET_CLASSES, EfficientNetLite, InvertedResidual
from assistant.models.pocket.vision_encoder import PocketVisionConfig, PocketVisionEncoder
from training.decoder import PROJECTIONS
from training.export import VISION_CONFIG_KEYS
from training.names import ACCEPTED_NAMES
from training.question_tables import QUESTION_TEMPLATES

# Heads of 16, which the attention of onnxruntime takes.
WIDTH, INNER, LAYERS, HEADS, KEY_HEADS = 48, 64, 2, 3, 1
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", assemble.IMAGE_TOKEN)
# From the decoder's published tokenizer configuration.
DECODER_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
RANK, ALPHA = 4, 8.0
CONFIG = PocketVisionConfig(
    variant="lite0", grid=2, hidden_size=WIDTH, connector_width=32, vocabulary=120, word_hidden=16,
    classes=3, class_slots=5, words=4, word_slots=6,
)  # fmt: skip


def write_tiny_weights(folder: Path) -> None:
    """Write random trained weights, as `training.export` does."""
    torch.manual_seed(0)
    trained = {
        name: value.half().contiguous()
        for name, value in PocketVisionEncoder(CONFIG).state_dict().items()
        if not name.startswith("tower.") and name not in ("tagger.table", "tagger.lengths")
    }
    save_file(trained, folder / "eyes.safetensors")
    sizes = {"q_proj": WIDTH, "o_proj": WIDTH, "gate_proj": INNER, "up_proj": INNER, "down_proj": WIDTH}
    adapter = {}
    for layer in range(LAYERS):
        for name in PROJECTIONS:
            out = sizes.get(name.rpartition(".")[2], WIDTH // HEADS * KEY_HEADS)
            into = INNER if name.endswith("down_proj") else WIDTH
            adapter[f"layers.{layer}.{name}.lora_A"] = torch.randn(RANK, into).half() / 4
            adapter[f"layers.{layer}.{name}.lora_B"] = torch.randn(out, RANK).half() / 4
    save_file(adapter, folder / "picture_adapter.safetensors", {"alpha": str(ALPHA), "r": str(RANK)})
    (folder / "eyes.json").write_text(json.dumps({name: getattr(CONFIG, name) for name in VISION_CONFIG_KEYS}))
    categories = list(dict.fromkeys(first for first, *_ in ACCEPTED_NAMES.values()))
    words = categories + [f"thing {number}" for number in range(CONFIG.vocabulary - len(categories))]
    classes = [f"class of {number}" for number in range(IMAGENET_CLASSES)]
    (folder / "names.json").write_text(json.dumps({"classes": classes, "words": words}))


def write_tiny_decoder(path: Path) -> None:
    """Write a Llama with random weights and a byte-level tokenizer, in the format of the decoder's asset."""
    text = [
        *(question for questions in QUESTION_TEMPLATES.values() for question in questions),
        *map(str, ACCEPTED_NAMES),
        "Yes. No. A dog runs.",
    ]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text * 3, trainer)
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(value=False)
    writer.add_add_space_prefix(value=False)
    writer.add_chat_template(DECODER_TEMPLATE)
    random = np.random.default_rng(0)

    def tensor(name: str, *shape: int) -> None:
        values = random.normal(0, 0.2, shape) if len(shape) > 1 else random.normal(1, 0.1, shape)
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))

    tensor("token_embd", len(tokens), WIDTH)
    tensor("output_norm", WIDTH)
    key_width = WIDTH // HEADS * KEY_HEADS
    for layer in range(LAYERS):
        for name, *shape in (
            ("attn_norm", WIDTH), ("ffn_norm", WIDTH), ("attn_q", WIDTH, WIDTH), ("attn_k", key_width, WIDTH),
            ("attn_v", key_width, WIDTH), ("attn_output", WIDTH, WIDTH), ("ffn_gate", INNER, WIDTH),
            ("ffn_up", INNER, WIDTH), ("ffn_down", WIDTH, INNER),
        ):  # fmt: skip
            tensor(f"blk.{layer}.{name}", *shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def published_tower_weights(tower: EfficientNetLite) -> dict[str, torch.Tensor]:
    """Return a state dict for `tower` in the published naming, with random values of moderate size."""
    state: dict[str, torch.Tensor] = {}

    def convolution(ours: torch.nn.Module, name: str, norm: str) -> None:
        weight = ours.get_parameter("weight")
        state[f"{name}.weight"] = torch.randn_like(weight) / weight[0].numel() ** 0.5
        for statistic in ("weight", "running_var"):
            state[f"{norm}.{statistic}"] = 1 + 0.1 * torch.rand(len(weight))
        for statistic in ("bias", "running_mean"):
            state[f"{norm}.{statistic}"] = 0.1 * torch.randn(len(weight))

    convolution(tower.stem, "_conv_stem", "_bn0")
    convolution(tower.head, "_conv_head", "_bn1")
    for index, block in enumerate(tower.blocks):
        assert isinstance(block, InvertedResidual)
        if block.expand is not None:
            convolution(block.expand, f"_blocks.{index}._expand_conv", f"_blocks.{index}._bn0")
        convolution(block.depthwise, f"_blocks.{index}._depthwise_conv", f"_blocks.{index}._bn1")
        convolution(block.project, f"_blocks.{index}._project_conv", f"_blocks.{index}._bn2")
    state["_fc.weight"] = torch.randn_like(tower.classifier.weight) / 20
    state["_fc.bias"] = torch.zeros_like(tower.classifier.bias)
    return state
