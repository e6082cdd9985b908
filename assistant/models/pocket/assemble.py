"""Put the small vision model together from its downloaded files and the trained weights.

The result is an ordinary `LlavaForConditionalGeneration` folder; `vision_weights.ensure` keeps it in the cache.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from assistant.errors import ModelError
from assistant.models.pocket.efficientnet import IMAGENET_CLASSES, fold_published_weights
from assistant.models.pocket.vision_encoder import PocketVisionConfig

IMAGE_TOKEN = "<reponame>"
"""Image token: one that the decoder has and never uses in a conversation, so that its vocabulary does not change."""

DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""Default system message of the decoder's own chat template."""

# The decoder's own template for a conversation without images. With images, those of a message come before its text,
# and the default system message is left out, as in training.
CHAT_TEMPLATE = (
    "{%- set seen = namespace(picture=false) -%}"
    "{%- for message in messages -%}{%- if message['content'] is not string -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{%- set seen.picture = true -%}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{%- endfor -%}"
    "{%- if messages[0]['role'] != 'system' and not seen.picture -%}"
    "{{ '<|im_start|>system\n" + DEFAULT_SYSTEM + "<|im_end|>\n' }}{%- endif -%}"
    "{%- for message in messages -%}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{ '" + IMAGE_TOKEN + "\n' }}{%- else -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{{ '<|im_end|>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


def assemble(decoder_file: Path, tower_file: Path, weights: Path, target: Path) -> None:
    """Write the complete model: weights in float32, configuration, processor and chat template.

    Args:
        decoder_file: GGUF of the decoder.
        tower_file: Published state dict of the vision tower.
        weights: Folder of the trained weights.
        target: Folder to write to.
    """
    from transformers import CLIPImageProcessorPil, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    decoder, tokenizer = read_decoder(decoder_file)
    names = json.loads((weights / "names.json").read_text())
    trained = load_file(weights / "eyes.safetensors")
    vision_config = PocketVisionConfig(**json.loads((weights / "eyes.json").read_text()))
    config = LlavaConfig(
        vision_config=vision_config,
        text_config=decoder.config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=vision_config.num_tokens,
        projector_hidden_act="linear",
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        multimodal_projector_bias=False,
        tie_word_embeddings=True,
    )
    embedding = decoder.model.embed_tokens.weight.detach()
    state = {f"model.language_model.{name}": value for name, value in decoder.model.state_dict().items()}
    published = torch.load(tower_file, map_location="cpu", weights_only=True)
    parts = {f"tower.{name}": value for name, value in fold_published_weights(published).items()}
    parts |= {name: value.float() for name, value in trained.items()}
    parts["tagger.table"], parts["tagger.lengths"] = tag_table(
        names["classes"] + names["words"],
        lambda text: tokenizer.encode(text, add_special_tokens=False),
        embedding,
        vision_config.pieces,
    )
    state |= {f"model.vision_tower.{name}": value for name, value in parts.items()}
    # The vision encoder's tokens are in the decoder's embedding space already, so LLaVA's projector is the identity.
    identity = torch.eye(vision_config.hidden_size)
    state |= {f"model.multi_modal_projector.linear_{number}.weight": identity.clone() for number in (1, 2)}
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    model.generation_config = decoder.generation_config
    missing = model.load_state_dict(state | {"lm_head.weight": embedding}, strict=True, assign=True)
    assert not missing.missing_keys
    model.tie_weights()
    model.save_pretrained(target)
    side = vision_config.image_size
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"height": side, "width": side},
            do_center_crop=False,
            resample=3,
            image_mean=[127 / 255] * 3,
            image_std=[128 / 255] * 3,
        ),
        tokenizer=tokenizer,
        patch_size=side // vision_config.grid,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=vision_config.num_tokens - vision_config.grid**2,
        image_token=IMAGE_TOKEN,
        chat_template=CHAT_TEMPLATE,
    )
    processor.save_pretrained(target)
    for kept in ("picture_adapter.safetensors", "names.json"):
        shutil.copyfile(weights / kept, target / kept)


def tag_table(
    names: list[str], encode: Callable[[str], list[int]], embedding: Tensor, pieces: int
) -> tuple[Tensor, Tensor]:
    """Look up the decoder's embeddings of each name's tokens.

    Args:
        names: Class names, then words. Each is tokenized as inside a sentence, after a space.
        encode: Tokenize a text.
        embedding: The decoder's embeddings (vocab_size, width).
        pieces: Most tokens of a name; longer names are truncated.

    Returns:
        Embeddings (names, pieces, width) and the number of tokens of each name (names,).
    """
    assert len(names) > IMAGENET_CLASSES
    table = torch.zeros(len(names), pieces, embedding.shape[1])
    lengths = torch.zeros(len(names), dtype=torch.long)
    for row, name in enumerate(names):
        ids = encode(f" {name}")[:pieces]
        table[row, : len(ids)] = embedding[ids].float()
        lengths[row] = len(ids)
    return table, lengths


def read_decoder(file: Path) -> tuple[Any, Any]:
    """Return the decoder, dequantized to float32, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    # A model that is marked as quantized cannot be saved.
    del model.config.quantization_config, model.hf_quantizer
    # The path of the GGUF does not belong into the saved configuration.
    model.config.name_or_path = ""
    if (model.config.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")) != (2, 2):
        raise ModelError("The decoder's tokenizer is not the one the pocket model was trained with: update Parley.")
    return model, tokenizer
